"""What the compiled core finds wrong with rows, said in the words of the caller's argument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import _core
from .errors import InvalidInput


def said(name: str, found: ValueError, what: str, cure: str) -> InvalidInput:
    """ "X has 2 rows with NaN or infinity: 3, 17. <cure>" """
    count, first = found.args
    shown = ", ".join(str(row) for row in first) + (", ..." if count > len(first) else "")
    return InvalidInput(f"{name} has {count} {'row' if count == 1 else 'rows'} {what}: {shown}. {cure}")


@contextmanager
def named_rows(name: str, *, queries: str = "Q", cure: str | None = None) -> Iterator[None]:
    """Rows with NaN, or of zeros under cosine, that the block meets become InvalidInput about the argument `name`.

    queries  the argument that rows which were asked for come from
    cure     what to do about them; default: mask=
    """
    nan, zero = "with NaN or infinity", "of zeros, which have no cosine"
    try:
        yield
    except _core.NonFiniteQueries as error:
        raise said(queries, error, nan, f"Fix them, or leave them out of {queries}.") from None
    except _core.ZeroQueries as error:
        raise said(queries, error, zero, f'Leave them out of {queries}, or use metric="sqeuclidean".') from None
    except _core.NonFiniteRows as error:
        mask = "Fix them, or leave them out with mask=numpy.isfinite(X).all(axis=1)."
        raise said(name, error, nan, cure or mask) from None
    except _core.ZeroRows as error:
        mask = 'Leave them out with mask=(X != 0).any(axis=1), or use metric="sqeuclidean".'
        raise said(name, error, zero, cure or mask) from None
