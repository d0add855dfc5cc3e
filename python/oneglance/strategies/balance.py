"""Balanced draws from clusters: as even as sizes and labelled items allow (water-filling)."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, IntArray


def shares(count: int, available: IntArray, held: IntArray) -> IntArray:
    """How many of `count` each cluster gives, so that the least held is as much as possible, given ones included.

    All are filled up to one level; what is left over goes one each to clusters on that level with room, those with
    more available first, then those of a lower number. count <= sum of available.
    """
    low, high = 0, int((available + held).max())  # filled to `low`, they never need more than count
    while low < high:
        level = (low + high + 1) // 2
        if int(np.clip(level - held, 0, available).sum()) <= count:
            low = level
        else:
            high = level - 1
    given = np.clip(low - held, 0, available)
    room = np.flatnonzero((given < available) & (held + given == low))
    first = room[np.lexsort((room, -available[room]))][: count - int(given.sum())]
    given[first] += 1
    return given.astype(np.int64)


def tree_shares(count: int, levels: list[IntArray], free: IntArray, labelled: IntArray) -> IntArray:
    """How many each lowest cluster gives, shared out from the top.

    levels  lowest first: cluster of every item, then parent of every cluster of the level below, ...
    """
    counts = []
    for items in (free, labelled):
        here = [np.bincount(levels[0][items], minlength=_size(levels, 0))]
        for depth in range(1, len(levels)):
            below = np.zeros(_size(levels, depth), dtype=np.int64)
            np.add.at(below, levels[depth], here[-1])
            here.append(below)
        counts.append(here)
    available, held = counts
    given = shares(count, available[-1], held[-1])
    for depth in range(len(levels) - 1, 0, -1):
        lower = np.zeros(available[depth - 1].size, dtype=np.int64)
        for parent in np.flatnonzero(given):
            children = np.flatnonzero(levels[depth] == parent)
            lower[children] = shares(int(given[parent]), available[depth - 1][children], held[depth - 1][children])
        given = lower
    return given


def _size(levels: list[IntArray], depth: int) -> int:
    """Clusters of a level: as many as the next one names parents for."""
    return levels[depth + 1].size if depth + 1 < len(levels) else int(levels[depth].max()) + 1


def from_clusters(labels: IntArray, key: Float64Array, free: IntArray, given: IntArray) -> IntArray:
    """Items of `free` in the order in which they are picked: every cluster's least key, then every second least, ...

    Within a round the clusters that give more come first, then those of a lower number; equal keys: the lower row.
    """
    by_cluster = np.lexsort((free, key[free], labels[free]))
    owner = labels[free][by_cluster]
    sizes = np.bincount(owner, minlength=given.size)
    turn = np.arange(free.size) - (np.cumsum(sizes) - sizes)[owner]
    taken = turn < given[owner]
    items, owner, turn = free[by_cluster][taken], owner[taken], turn[taken]
    order: IntArray = items[np.lexsort((owner, -given[owner], turn))]
    return order
