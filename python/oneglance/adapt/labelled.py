"""Which rows are labelled, with what and how much they count, whatever form the labels came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import Float64Array, IntArray
from ..errors import InvalidInput
from ..strategies.pool import Pool


@dataclass(frozen=True, eq=False)
class Labelled:
    """rows: (m,) positions in the pool; labels: (m, ...); weights: (m,) > 0; n_unlabelled: picks without a label."""

    rows: IntArray
    labels: npt.NDArray[Any]
    weights: Float64Array
    n_unlabelled: int


def as_labelled(pool: Pool, labels: Any, selection: Any, weights: Any, *, numbers: bool) -> Labelled:
    """Rows with a label.

    labels     None: the store's column "label"; a dict item id or position -> label; or an array, one entry per pick of
               the selection or one per item of the pool. None and NaN mean unlabelled
    selection  a Selection, whose weights are used; or positions, ids, a mask; None: all rows that are labelled
    weights    None: the selection's, else equal; "equal"; or one number >= 0 per pick, or per item of the pool
    numbers    labels are targets (n,) or (n, c), not classes

    Raises InvalidInput naming labels, selection or weights.
    """
    picked, own = _picks(pool, selection)
    values = _labels_of(pool, labels, picked, numbers)
    known = _known(values, numbers)
    share = _weights_of(pool, weights, picked, own)
    bad = known & ~pool.valid[picked]
    if bad.any():
        raise InvalidInput(
            f"labels: {int(bad.sum())} labelled items have no features, first row {int(picked[bad][0])}. "
            "Leave them without a label."
        )
    used = known & (share > 0)
    if not used.any():
        raise InvalidInput(
            f"labels leave nothing to fit: {int(known.sum())} of {picked.size} picks have a label, and none of these "
            "a weight > 0. Label some of them."
        )
    return Labelled(picked[used], values[used], share[used], int((~known).sum()) if selection is not None else 0)


def _picks(pool: Pool, selection: Any) -> tuple[IntArray, Float64Array | None]:
    if selection is None:
        return np.arange(pool.n_items, dtype=np.int64), None
    if hasattr(selection, "indices") and hasattr(selection, "weights"):
        rows = pool.ordered_positions(selection.indices, "selection")
        return rows, np.asarray(selection.weights, dtype=np.float64)
    return pool.ordered_positions(selection, "selection"), None


def _labels_of(pool: Pool, labels: Any, picked: IntArray, numbers: bool) -> npt.NDArray[Any]:
    if labels is None:
        if "label" not in pool.columns:
            raise InvalidInput(f'labels are needed: {pool.where} has no column "label". Pass labels=.')
        return _array(np.asarray(pool.columns["label"])[picked].tolist(), numbers)
    if isinstance(labels, Mapping):
        items = list(labels)
        rows = dict(zip(pool.ordered_positions(items, "labels").tolist(), labels.values(), strict=True))
        inside = set(picked.tolist())
        strangers = [row for row in rows if row not in inside]
        if strangers:
            raise InvalidInput(
                f"labels name {len(strangers)} items outside the selection, first row {strangers[0]}. Leave them out, "
                "or drop selection= to use every label."
            )
        width = np.shape(next(iter(rows.values()))) if rows and numbers else ()
        missing: Any = np.full(width, np.nan) if numbers else None
        return _array([rows.get(row, missing) for row in picked.tolist()], numbers)
    if hasattr(labels, "detach"):  # a tensor is a list of tensors, of which no two are equal
        labels = labels.detach().cpu().numpy()
    as_it_is = isinstance(labels, np.ndarray) and not (numbers and labels.dtype.kind in "OUS")
    values = np.asarray(labels) if as_it_is else _array(list(labels), numbers)
    if values.shape[:1] not in ((picked.size,), (pool.n_items,)):
        raise InvalidInput(
            f"labels must have one entry per pick ({picked.size}) or one per item of {pool.where} ({pool.n_items}), "
            f"got shape {values.shape}."
        )
    if picked.size == pool.n_items and not np.array_equal(picked, np.arange(picked.size)):
        raise InvalidInput(
            "labels could be in the order of the picks or of the pool: the selection holds every item. "
            "Pass a dict of item id or position -> label."
        )
    return values if values.shape[0] == picked.size else values[picked]


def _array(values: list[Any], numbers: bool) -> npt.NDArray[Any]:
    try:
        if numbers:
            return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput('labels must be numbers for task="regression", None or NaN for none.') from None
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _known(values: npt.NDArray[Any], numbers: bool) -> npt.NDArray[np.bool_]:
    if numbers:
        table = values.reshape(len(values), -1).astype(np.float64)
        endless = np.flatnonzero(np.isinf(table).any(axis=1))
        if endless.size:
            raise InvalidInput(
                f"labels must be finite, or NaN where there is none; got infinity in {endless.size} entries, first "
                f"{int(endless[0])}."
            )
        return np.asarray(~np.isnan(table).all(axis=1))
    if values.ndim != 1:
        raise InvalidInput(f'labels must be 1-D for task="classification", got shape {values.shape}.')
    if values.dtype.kind == "f":
        return np.asarray(~np.isnan(values))
    if values.dtype == object:
        return np.array([value is not None and value == value for value in values.tolist()], dtype=np.bool_)
    return np.ones(values.size, dtype=np.bool_)


def _weights_of(pool: Pool, weights: Any, picked: IntArray, own: Float64Array | None) -> Float64Array:
    if isinstance(weights, str):
        if weights != "equal":
            raise InvalidInput(f'weights must be numbers, None or "equal", got {weights!r}.')
        return np.ones(picked.size)
    if weights is None:
        values = np.ones(picked.size) if own is None else own
        name = "weights" if own is None else "selection.weights"
    else:
        values, name = np.asarray(weights, dtype=np.float64), "weights"
        if values.shape not in ((picked.size,), (pool.n_items,)):
            raise InvalidInput(
                f"weights must have one entry per pick ({picked.size}) or per item ({pool.n_items}), "
                f"got shape {values.shape}."
            )
        values = values if values.size == picked.size else values[picked]
    if not np.isfinite(values).all() or (values < 0).any():
        raise InvalidInput(f"{name} must be finite numbers >= 0, got {values.min():g}..{values.max():g}.")
    return values
