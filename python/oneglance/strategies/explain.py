"""Who represents whom: the nearest pick of every item, and how the picks cover the pool as their number grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray, IntArray
from ..search import nearest
from .space import Space

_BLOCK_ROWS = 1 << 16
_PICK_BLOCK = 256
_LEVELS = 25


@dataclass(frozen=True, eq=False)
class Explanation:
    """Distances are in the metric's own unit. "Chosen" items are the picks, and those that were labelled before.

    represented_by        int64 (n_items,), position of the chosen item that an item is nearest to; itself for a
                          chosen one; -1 for an item that cannot be used or has no patterns
    represented_distance  float64 (n_items,), to it: for items with several patterns the largest distance of a
                          pattern to its nearest chosen pattern, and represented_by owns that one. NaN for -1
    distances             float64 (n_picks,), of each pick to the nearest item chosen before it; NaN for the first
    nearest               int64 (n_picks,), that item, -1 for none
    n_represented         float64 (n_picks,), candidates that the pick represents, itself included
    curve                 per budget: {"picks", "radius", "mean"}, largest and mean represented_distance of the
                          candidates after the first so many picks; None while no chosen item has patterns
    """

    represented_by: IntArray
    represented_distance: Float64Array
    distances: Float64Array
    nearest: IntArray
    n_represented: Float64Array
    curve: list[dict[str, Any]]

    def summary(self) -> dict[str, Any]:
        """The last point of the curve and the curve, for a certificate."""
        return {"radius": self.curve[-1]["radius"], "mean": self.curve[-1]["mean"], "curve": self.curve}


def explain(
    space: Space,
    picks: IntArray,
    candidates: BoolArray,
    valid: BoolArray,
    labelled: IntArray,
    note: Callable[[str], None],
    *,
    distances: Float64Array | None = None,
    nearest_pick: IntArray | None = None,
    curve: bool = True,
) -> Explanation:
    """Explanation of picks in the order of their rank.

    distances, nearest_pick  what the strategy knows already (NaN where it does not)
    curve                    False: only its last point

    Exact, by one product of all rows with all picks: 2 m B d flops; ties go to the lower row. Memory O(m + B d).
    """
    note(f"who represents whom: {picks.size} picks under {space.backbone} ({space.metric}) ...")
    covered = _Covered(space, candidates, valid)
    covered.add(labelled)
    told = np.full(picks.size, np.nan) if distances is None else distances.copy()
    by = np.full(picks.size, -1, dtype=np.int64) if nearest_pick is None else nearest_pick.copy()
    points, done = [], 0
    for level in _levels(picks.size) if curve else [picks.size]:
        for start in range(done, level, _PICK_BLOCK):
            block = slice(start, min(start + _PICK_BLOCK, level))
            _tell(space, covered, picks, done, block, told, by)
        covered.add(picks[done:level])
        radius, mean = covered.extent()
        points.append({"picks": int(level), "radius": radius, "mean": mean})
        done = level
    owner, distance = covered.by_item()
    for chosen in (labelled, picks):
        owner[chosen], distance[chosen] = chosen, 0.0
    place = np.full(valid.size, picks.size, dtype=np.int64)
    place[picks] = np.arange(picks.size)
    shown = owner[candidates & (owner >= 0)]
    counts = np.bincount(place[shown], minlength=picks.size + 1)[: picks.size]
    return Explanation(owner, distance, told, by, counts.astype(np.float64), points)


def _levels(n_picks: int) -> list[int]:
    levels = np.unique(np.round(np.geomspace(1, n_picks, _LEVELS)))
    return [int(level) for level in levels]


class _Covered:
    """Every usable row's nearest chosen row so far."""

    def __init__(self, space: Space, candidates: BoolArray, valid: BoolArray) -> None:
        self.space = space
        self.candidates = candidates
        n_rows = len(space.rows)
        self.usable = valid if space.offsets is None else np.repeat(valid, np.diff(space.offsets))
        self.distance = np.full(n_rows, np.inf)
        self.nearest = np.full(n_rows, -1, dtype=np.int64)

    def add(self, items: IntArray) -> None:
        """These items are chosen now; equal distances go to the lower row."""
        chosen = self.space.rows_of(items)
        if chosen.size == 0:
            return
        centers = self.space.rows.take(chosen)
        for rows, block in self._blocks():
            found = nearest(block, centers, metric=self.space.metric)
            d, row = found.distances[:, 0], chosen[found.indices[:, 0]]
            old, old_row = self.distance[rows], self.nearest[rows]
            closer = (d < old) | ((d == old) & (row < old_row))
            self.distance[rows] = np.where(closer, d, old)
            self.nearest[rows] = np.where(closer, row, old_row)

    def _blocks(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Usable rows, a block at a time: views where all of a block is usable."""
        first = 0
        for shard in self.space.rows:
            for start in range(0, shard.shape[0], _BLOCK_ROWS):
                block = shard[start : start + _BLOCK_ROWS]
                used = self.usable[first + start : first + start + block.shape[0]]
                if used.any():
                    yield first + start + np.flatnonzero(used), block if used.all() else block[used]
            first += shard.shape[0]

    def by_item(self) -> tuple[IntArray, Float64Array]:
        """Per item: the chosen item that represents it, and the distance; -1 and NaN where there is none."""
        n_items = self.candidates.size
        worst = self._worst_rows()
        some = worst >= 0
        owner, distance = np.full(n_items, -1, dtype=np.int64), np.full(n_items, np.nan)
        reached = np.flatnonzero(some)[self.nearest[worst[some]] >= 0]
        owner[reached] = self.space.owner_of(self.nearest[worst[reached]])
        distance[reached] = self.distance[worst[reached]]
        return owner, distance

    def extent(self) -> tuple[float | None, float | None]:
        """Largest and mean distance of the candidates that have rows; None where nothing chosen has rows, or they."""
        worst = self._worst_rows()[self.candidates]
        d = self.distance[worst[worst >= 0]]
        return (float(d.max()), float(d.mean())) if d.size and np.isfinite(d).all() else (None, None)

    def _worst_rows(self) -> IntArray:
        """Per item its row with the largest distance, the lowest on ties; -1 for items without usable rows."""
        if self.space.offsets is None:
            return np.where(self.usable, np.arange(self.usable.size), -1)
        worst = np.full(self.candidates.size, -1, dtype=np.int64)
        rows = np.flatnonzero(self.usable)
        owners = self.space.owner_of(rows)
        order = np.lexsort((rows, -self.distance[rows], owners))
        items, first = np.unique(owners[order], return_index=True)
        worst[items] = rows[order[first]]
        return worst


def _tell(
    space: Space, covered: _Covered, picks: IntArray, done: int, block: slice, told: Float64Array, by: IntArray
) -> None:
    """Fills in how far the picks of a block were from all chosen before, where that is not known.

    `covered` knows the first `done` picks.
    """
    places = np.arange(block.start, block.stop)
    places = places[np.isnan(told[places])]
    if places.size == 0:
        return
    mine = space.rows_of(picks[places])
    if mine.size == 0:
        return
    wide = space.rows.take(mine)
    d, at = covered.distance[mine].copy(), covered.nearest[mine].copy()
    between = space.rows_of(picks[done : block.start])
    if between.size:
        found = nearest(wide, space.rows.take(between), metric=space.metric)
        closer = found.distances[:, 0] < d
        d[closer], at[closer] = found.distances[closer, 0], between[found.indices[closer, 0]]
    place_of_item = {int(picks[place]): place for place in range(block.start, block.stop)}
    inside = space.rows_of(picks[block])
    inside_place = np.array([place_of_item[int(item)] for item in space.owner_of(inside)])
    found = nearest(wide, space.rows.take(inside), k=inside.size, metric=space.metric)
    mine_place = np.array([place_of_item[int(item)] for item in space.owner_of(mine)])
    earlier = inside_place[found.indices] < mine_place[:, None]
    first = earlier.argmax(axis=1)
    rows = np.arange(mine.size)
    closer = earlier[rows, first] & (found.distances[rows, first] < d)
    d[closer], at[closer] = found.distances[rows, first][closer], inside[found.indices[rows, first][closer]]
    for place in places:
        own = np.flatnonzero(mine_place == place)
        if own.size and np.isfinite(d[own]).all():
            worst = own[np.argmax(d[own])]
            told[place], by[place] = d[worst], space.owner_of(at[worst : worst + 1])[0]
