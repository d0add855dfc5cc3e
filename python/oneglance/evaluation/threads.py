"""One thread for many small problems."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """A context in which the BLAS and OpenMP libraries loaded so far use one thread, in this thread of Python.

    Thousands of small products and decompositions gain nothing from threads, lose up to 12 times the time when
    another program wants the cores (spinning barriers; measured on 2 cores), and their last bits depend on the
    number of threads. Needs threadpoolctl, which scikit-learn brings; without it nothing is changed.
    """
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
