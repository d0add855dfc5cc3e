"""One value per item: given as they are, or by the name of a column of the store."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, Float64Array
from ..errors import InvalidInput
from .pool import Pool

_SHOWN = 5


def column(pool: Pool, given: Any, name: str, what: str) -> npt.NDArray[Any]:
    """(n_items,) values of the argument `name`, `what` in the singular. Raises InvalidInput."""
    if isinstance(given, str):
        if given not in pool.columns:
            known = f"its columns are {list(pool.columns)}" if pool.columns else "it has no columns"
            raise InvalidInput(f"{name} names the column {given!r}, but {pool.where} has no such: {known}.")
        values = pool.columns[given]
        if all(value is None for value in values.tolist()):
            raise InvalidInput(f"{name} names the column {given!r} of {pool.where}, which is empty. Use another.")
    else:
        values = plain_array(given)
    if values.shape != (pool.n_items,):
        raise InvalidInput(f"{name} must hold one {what} per item, shape ({pool.n_items},), got shape {values.shape}.")
    return values


def plain_array(given: Any) -> npt.NDArray[Any]:
    """An array of what was given; a list of names stays one, where NumPy would call a NaN among them "nan"."""
    values = np.asarray(given)
    is_list = values.dtype.kind in "SU" and not hasattr(given, "dtype")
    return np.array(given, dtype=object) if is_list else values


def texts(values: npt.NDArray[Any]) -> list[str | None]:
    """Values as strings, None for those that are `missing`."""
    return [None if missing(value) else str(value) for value in values.tolist()]


def missing(value: Any) -> bool:
    """None, NaN, pandas' NA, empty text."""
    if value is None or (isinstance(value, str) and not value):
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA is neither equal to itself nor not
        return True


def numbers(pool: Pool, given: Any, name: str, candidates: BoolArray, *, above_zero: bool) -> Float64Array:
    """(n_items,) float64 of the argument `name`: finite and > 0 (or >= 0) for candidates, NaN for missing ones
    elsewhere. Raises InvalidInput naming rows."""
    values = column(pool, given, name, "number")
    found = values.astype(np.float64) if values.dtype.kind in "fiu" else _parsed(values, name)
    fine = np.isfinite(found) & ((found > 0) if above_zero else (found >= 0))
    bad = np.flatnonzero(candidates & ~fine)
    if bad.size:
        shown = ", ".join(f"row {row}: {found[row]:g}" for row in bad[:_SHOWN])
        more = f" and {bad.size - _SHOWN} more" if bad.size > _SHOWN else ""
        raise InvalidInput(
            f"{name} must be finite and {'> 0' if above_zero else '>= 0'} for every item that may be picked, got "
            f"{shown}{more}. Fill them in, or exclude these items."
        )
    return found


def _parsed(values: npt.NDArray[Any], name: str) -> Float64Array:
    """Texts and objects as numbers, NaN for missing ones."""
    found = np.full(values.size, np.nan)
    for row, value in enumerate(values.tolist()):
        try:
            found[row] = np.nan if missing(value) else float(value)
        except (TypeError, ValueError):
            raise InvalidInput(f"{name} must hold numbers, got {value!r} at row {row}.") from None
    return found
