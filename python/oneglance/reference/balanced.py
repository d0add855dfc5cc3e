"""Balanced draws from clusters and from a tree of clusters, by definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._types import Float64Array, IntArray


def shares(count: int, available: Sequence[int], held: Sequence[int]) -> list[int]:
    """How many of `count` each cluster gives: one at a time from the cluster that has the fewest, held ones counted.

    Ties go to the cluster with more available, then to the lower number. A cluster gives what it has at most.
    """
    given = [0] * len(available)
    for _ in range(count):
        room = [c for c in range(len(available)) if given[c] < available[c]]
        given[min(room, key=lambda c: (held[c] + given[c], -available[c], c))] += 1
    return given


def tree_shares(count: int, levels: Sequence[IntArray], free: IntArray, labelled: IntArray) -> dict[int, int]:
    """How many each lowest cluster gives, shared out from the top.

    levels  lowest first: cluster of every item, then parent of every cluster of the level below, ...
    """
    if len(levels) == 1:
        n = int(levels[0].max()) + 1
        available, held = (np.bincount(levels[0][rows], minlength=n).tolist() for rows in (free, labelled))
        return dict(enumerate(shares(count, available, held)))
    above = [levels[1][levels[0]], *levels[2:]]
    result: dict[int, int] = {}
    for parent, part in tree_shares(count, above, free, labelled).items():
        children = np.flatnonzero(levels[1] == parent)
        available, held = ([int((levels[0][rows] == c).sum()) for c in children] for rows in (free, labelled))
        result.update(zip(children.tolist(), shares(part, available, held), strict=True))
    return result


def from_clusters(labels: IntArray, key: Float64Array, free: IntArray, given: dict[int, int]) -> list[int]:
    """Rows of `free` in the order in which they are picked: every cluster's least key, then every second least, ...

    Within a round the clusters that give more come first, then those of a lower number; equal keys: the lower row.
    """
    ordered = {
        c: sorted((int(i) for i in free if labels[i] == c), key=lambda i: (key[i], i))[:m] for c, m in given.items()
    }
    picks: list[int] = []
    for turn in range(max(given.values())):
        for c in sorted(given, key=lambda c: (-given[c], c)):
            picks.extend(ordered[c][turn : turn + 1])
    return picks
