"""Chosen items and what they leave uncovered: the state that farthest points and weighted draws share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray, IntArray
from .nearest import distances, prepared


@dataclass(eq=False)
class Cover:
    """Distance of every row to its nearest chosen row, updated item by item.

    items, rows, picked_at, nearest   one entry per pick, as the search functions return them
    row_distance, row_nearest         per row; masked rows keep NaN and -1
    """

    x: Float64Array
    metric: str
    owner: IntArray
    candidates: BoolArray
    row_distance: Float64Array
    row_nearest: IntArray
    chosen: set[int] = field(default_factory=set)
    items: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    picked_at: list[float] = field(default_factory=list)
    nearest: list[int] = field(default_factory=list)

    def add(self, item: int) -> None:
        """Its rows are chosen from now on, each its own nearest; equal distances go to the lower row."""
        self.chosen.add(item)
        mine = np.flatnonzero(self.owner == item)
        for row in mine:
            d = distances(self.x[row], self.x, self.metric)
            closer = (d < self.row_distance) | ((d == self.row_distance) & (row < self.row_nearest))
            self.row_distance[closer], self.row_nearest[closer] = d[closer], row
        chosen = np.flatnonzero(np.isin(self.owner, list(self.chosen)))
        self.row_distance[chosen], self.row_nearest[chosen] = 0.0, chosen

    def pick(self, item: int, row: int = -1) -> None:
        """Adds an item to the answer; `row` is the one whose distance decided, -1 where none did."""
        self.items.append(item)
        self.rows.append(row)
        self.picked_at.append(float(self.row_distance[row]) if row >= 0 else np.inf)
        self.nearest.append(int(self.owner[self.row_nearest[row]]) if row >= 0 else -1)
        self.add(item)

    def open_items(self) -> IntArray:
        """Candidates not chosen yet, ascending."""
        free = self.candidates.copy()
        free[list(self.chosen)] = False
        return np.flatnonzero(free).astype(np.int64)

    def radius(self) -> float:
        """Largest distance of a row of an open item; 0 when there is none."""
        return float(self.row_distance[self.open_rows()].max(initial=0.0))

    def open_rows(self) -> IntArray:
        """Rows of open items, ascending."""
        return np.flatnonzero(np.isin(self.owner, self.open_items())).astype(np.int64)


def new_cover(
    x: FloatArray,
    metric: str,
    offsets: IntArray | None,
    mask: BoolArray | None,
    already: Sequence[int],
    start: Sequence[int],
) -> Cover:
    """The state after `already` and `start`. Rows of masked items count for nothing, unless they are `already`."""
    rows = prepared(x, metric)
    n_items = rows.shape[0] if offsets is None else offsets.size - 1
    owner = np.arange(rows.shape[0]) if offsets is None else np.repeat(np.arange(n_items), np.diff(offsets))
    candidates = np.ones(n_items, dtype=bool) if mask is None else mask.copy()
    counted = candidates[owner]
    cover = Cover(
        rows,
        metric,
        owner.astype(np.int64),
        candidates,
        np.where(counted, np.inf, np.nan),
        np.full(rows.shape[0], -1, dtype=np.int64),
    )
    for item in already:
        cover.add(int(item))
    for item in start:
        cover.pick(int(item))
    return cover
