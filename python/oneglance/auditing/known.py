"""What is known of the items: columns, and labels by which backbones are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, IntArray
from ..adapt.labelled import as_labelled
from ..errors import InvalidInput
from ..strategies import Pool
from ..strategies.pairs import fixed_sample
from .feature_checks import Wanted
from .suitability import CAUTION, suitability

_LABELLED = 2000
_LEAST = 20  # usable rows below which a backbone is not judged and does not narrow what the others are judged on


def _missing(value: Any) -> bool:
    """None, NaN, NaT, pandas.NA and the empty string."""
    if value is None or (isinstance(value, str) and not value):
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def _objects(values: Any) -> npt.NDArray[np.object_]:
    return np.array([*values, None], dtype=object)[:-1]


def known_columns(columns: Mapping[str, Any], n_items: int) -> dict[str, npt.NDArray[Any]]:
    """One entry per item each, None for unknown. Raises InvalidInput."""
    checked: dict[str, npt.NDArray[Any]] = {}
    for name, given in columns.items():
        if isinstance(given, str):
            raise InvalidInput(f"columns: {name!r} must have one entry per item ({n_items}), got the text {given!r}.")
        values = _objects(given)
        if values.shape != (n_items,):
            raise InvalidInput(f"columns: {name!r} must have one entry per item ({n_items}), got {len(values)}.")
        checked[name] = _objects(None if _missing(value) else value for value in values.tolist())
    return checked


def known_labels(pool: Pool, labels: Any) -> tuple[IntArray, npt.NDArray[np.str_]]:
    """Rows with a label, and their classes; None, NaN, "" and -1 are none. Raises InvalidInput: none, or one class."""
    if isinstance(labels, str):
        if labels not in pool.columns:
            raise InvalidInput(f"labels: {pool.where} has no column {labels!r}, only {list(pool.columns)}.")
        labels = pool.columns[labels]
    shared = Pool(pool.features, np.ones(pool.n_items, dtype=np.bool_), pool.ids, where=pool.where)
    known = as_labelled(shared, _without_blanks(labels), None, None, numbers=False)
    values = np.array([str(label) for label in known.labels.tolist()])
    if np.unique(values).size < 2:
        raise InvalidInput(f"labels hold one class only, {str(values[0])!r}: suitability needs two.")
    return known.rows, values


def _without_blanks(labels: Any) -> Any:
    def blank(value: Any) -> bool:
        return _missing(value) or (isinstance(value, (int, float, np.number)) and bool(value == -1))

    if isinstance(labels, Mapping):
        return {item: None if blank(value) else value for item, value in labels.items()}
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    return _objects(None if blank(value) else value for value in labels)


def judge(
    pool: Pool,
    usable: Mapping[str, BoolArray],
    likes: Mapping[str, IntArray],
    rows: IntArray,
    values: npt.NDArray[np.str_],
    metrics: dict[str, Any],
    wanted: Wanted,
) -> None:
    """Suitability of every backbone for the labels, on at most 2000 labelled rows, the same for all that have at least
    20 usable rows; a note in the place of its figures where there are too few.

    likes  by backbone, (n,) the first row that repeats link a row to: of repeats under any of them one counts, else a
           row would be judged by its copies
    """
    judged = [name for name, mask in usable.items() if np.count_nonzero(mask) >= _LEAST]
    every = np.logical_and.reduce([np.ones(pool.n_items, dtype=np.bool_), *(usable[name] for name in judged)])
    kept = every[rows]
    rows, values = rows[kept], values[kept]
    for name in judged:
        _, firsts = np.unique(likes[name][rows], return_index=True)
        rows, values = rows[np.sort(firsts)], values[np.sort(firsts)]
    some = fixed_sample(rows, _LABELLED)
    classes, codes = np.unique(values[some], return_inverse=True)
    for name, features in pool.features.items():
        if name not in judged or classes.size < 2:
            told = f"not judged: {rows.size} labelled rows of {classes.size} classes are usable under all backbones"
            if name not in judged:
                told = f"not judged: fewer than {_LEAST} usable rows"
            wanted.note(f"suitability of {name}: {told}")
            metrics["features"][name]["suitability"] = told
            continue
        wanted.note(f"suitability of {name} ...")
        found = suitability(features.take(rows[some]), codes.astype(np.int64), classes.size, seed=wanted.seed)
        metrics["features"][name]["suitability"] = asdict(found)
    metrics["caution"] = CAUTION
