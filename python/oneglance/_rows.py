"""What the compiled core finds wrong with rows, said in the words of the caller's argument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from . import _core
from ._types import RowShards
from .errors import InvalidInput

_ZERO_ROWS = getattr(_core, "ZeroRows", _core.NonFiniteRows)


def said(name: str, found: ValueError, what: str, cure: str) -> InvalidInput:
    """ "X has 2 rows with NaN or infinity: 3, 17. <cure>" """
    count, first = found.args
    shown = ", ".join(str(row) for row in first) + (", ..." if count > len(first) else "")
    return InvalidInput(f"{name} has {count} {'row' if count == 1 else 'rows'} {what}: {shown}. {cure}")


@contextmanager
def named_rows(name: str, *, cure: str | None = None) -> Iterator[None]:
    """Rows with NaN, or of zeros under cosine, that the block meets become InvalidInput about the argument `name`."""
    x = name if name.isidentifier() else "X"
    try:
        yield
    except _core.NonFiniteRows as error:
        leave_out = cure or f"Fix them, or leave them out with mask=numpy.isfinite({x}).all(axis=1)."
        raise said(name, error, "with NaN or infinity", leave_out) from None
    except _ZERO_ROWS as error:
        leave_out = cure or f'Leave them out with mask=({x} != 0).any(axis=1), or use metric="sqeuclidean".'
        raise said(name, error, "of zeros, which have no cosine", leave_out) from None


@contextmanager
def named_rows_of_two(queries: RowShards, rows: RowShards, names: tuple[str, str]) -> Iterator[None]:
    """named_rows for a block that reads two matrices: the one whose rows are bad is blamed."""
    try:
        yield
    except (_core.NonFiniteRows, _ZERO_ROWS) as error:
        first = np.array(error.args[1], dtype=np.int64)
        inside = first.size > 0 and first.max() < len(rows)
        found = np.asarray(rows.take(first), np.float64) if inside else np.ones((1, 1))
        blamed = ~np.isfinite(found).all(axis=1) | ~found.any(axis=1)
        cure = None if blamed.all() else f"Fix them, or leave them out of {names[0]}."
        with named_rows(names[1] if blamed.all() else names[0], cure=cure):
            raise
