"""What the compiled core finds wrong with rows, said in the words of the caller's argument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import _core
from .errors import InvalidInput


@contextmanager
def named_rows(name: str, cure: str = "mask=numpy.isfinite({name}).all(axis=1)") -> Iterator[None]:
    """Rows with NaN or infinity that the block meets become InvalidInput about the argument `name`."""
    try:
        yield
    except _core.NonFiniteRows as error:
        count, first = error.args
        shown = ", ".join(str(row) for row in first) + (", ..." if count > len(first) else "")
        raise InvalidInput(
            f"{name} has {count} {'row' if count == 1 else 'rows'} with NaN or infinity: {shown}. "
            f"Fix them, or leave them out with {cure.format(name=name if name.isidentifier() else 'X')}."
        ) from None
