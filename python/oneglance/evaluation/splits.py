"""Labels as classes, and the one division into pool and test rows that every strategy gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import positive_int
from .._types import IntArray
from ..errors import InvalidInput
from ..strategies import Pool
from ..strategies.columns import missing, plain_array

TEST_SHARE, N_SPLITS = 0.2, 5


@dataclass(frozen=True, slots=True, eq=False)
class TrainTest:
    """Rows of one split, positions among the labelled items; both in an order that says nothing."""

    pool: IntArray
    test: IntArray


def as_classes(labels: Any, pool: Pool, name: str = "labels") -> list[str | None]:
    """One class name per item of the pool, None for items without a label.

    labels  (n,) classes (str or int), the name of a column of the store, or {item id: class}; None, NaN, "" and -1
            mean no label. Raises InvalidInput for anything that is no class, such as 0.37.
    """
    if isinstance(labels, str):
        if labels not in pool.columns:
            known = f"its columns are {list(pool.columns)}" if pool.columns else "it has no columns"
            raise InvalidInput(f"{name} names the column {labels!r}, but {pool.where} has no such: {known}.")
        values = pool.columns[labels].tolist()
    elif isinstance(labels, Mapping):
        strange = [key for key in labels if pool.ids is not None and not isinstance(key, str)]
        if strange:
            raise InvalidInput(
                f"{name} must be {{item id: class}} with the ids of {pool.where} (str), got the key {strange[0]!r}. "
                "Write str(id), or give one class per item."
            )
        keys = np.array([*labels, None], dtype=object)[:-1]
        values = [None] * pool.n_items
        if keys.size:
            found = pool.ordered_positions(keys if pool.ids is not None else keys.astype(np.int64), name)
            for row, value in zip(found.tolist(), labels.values(), strict=True):
                values[row] = value
    else:
        array = plain_array(labels.detach().cpu() if hasattr(labels, "detach") else labels)
        if array.shape != (pool.n_items,):
            raise InvalidInput(
                f"{name} must hold one class per item, shape ({pool.n_items},), got shape {array.shape}. "
                "For a part of the items use None for the others, or {item id: class}."
            )
        values = array.tolist()
    return [_class_name(value, name) for value in values]


def _class_name(value: Any, name: str) -> str | None:
    if isinstance(value, bytes):
        value = value.decode()
    if missing(value) or (not isinstance(value, (str, bool)) and value == -1):
        return None
    if isinstance(value, float):
        if not value.is_integer():
            raise InvalidInput(f"{name} must be classes (names or whole numbers), got {value!r}. Bin it first.")
        value = int(value)
    return str(value)


def codes_of(*parts: list[str | None]) -> tuple[list[IntArray], list[str]]:
    """Classes as 0 .. n_classes - 1 over all parts, in sorted order (numbers by value); -1 for no label."""
    names = {value for part in parts for value in part if value is not None}
    whole = all(value.removeprefix("-").isdecimal() for value in names)
    classes = sorted(names, key=lambda value: (int(value), value)) if whole else sorted(names)  # "1" and "01" differ
    code = {value: number for number, value in enumerate(classes)}
    return [
        np.array([-1 if value is None else code[value] for value in part], dtype=np.int64) for part in parts
    ], classes


def make_splits(
    n_items: int, share: float, n_splits: int | None, folds: int | None, groups: list[Any] | None
) -> list[TrainTest]:
    """Random divisions of the items, the same for the same arguments.

    share, n_splits  so many splits, each with this share of the items as test rows
    folds            instead: so many disjoint test parts, which together are all items
    groups           one per item: a group is never divided; items whose group is None stand alone
    """
    if folds is not None:
        if positive_int(folds, "folds") < 2:
            raise InvalidInput("folds must be at least 2, got 1. For one division use test=0.2 and splits=1.")
        if n_splits is not None:
            raise InvalidInput("folds and splits exclude each other: folds=5 makes 5 disjoint test parts. Drop one.")
    elif not 0 < share < 1:
        raise InvalidInput(f"test must be a share between 0 and 1, or features with their labels; got {share!r}.")
    keys = list(range(n_items)) if groups is None else [i if g is None else ("g", str(g)) for i, g in enumerate(groups)]
    number: dict[Any, int] = {}
    unit = np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)
    n_units = len(number)
    if n_units < max(2, folds or 2):
        raise InvalidInput(f"a split needs at least {max(2, folds or 2)} items or groups, got {n_units}. Label more.")
    splits = []
    for index in range(folds or positive_int(N_SPLITS if n_splits is None else n_splits, "splits")):
        order = _shuffled(n_units, 0 if folds else index)
        n_chosen = min(n_units - 1, max(1, round(share * n_units)))
        chosen = order[index::folds] if folds else order[:n_chosen]
        inside = np.isin(unit, chosen)
        rows = _shuffled(n_items, 1000 + index)  # sorted input must not tell classes by position
        splits.append(TrainTest(rows[~inside[rows]], rows[inside[rows]]))
    return splits


def shuffled_pool(n_items: int) -> IntArray:
    """An order of the pool's rows for a test set of its own."""
    return _shuffled(n_items, 1000)


def _shuffled(count: int, number: int) -> IntArray:
    uniforms = np.random.Generator(np.random.Philox(key=7, counter=[0, 0, 0, number])).random(count)
    return np.argsort(uniforms, kind="stable").astype(np.int64)
