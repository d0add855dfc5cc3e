"""Typicality inside clusters, by definition: the most typical item of each cluster in turn."""

from __future__ import annotations

from itertools import count as forever

import numpy as np

from .._types import FloatArray, IntArray
from .nearest import distances, prepared


def mean_distances(x: FloatArray, k: int, metric: str) -> list[float]:
    """Per row the mean rooted distance to its k nearest other rows (1 / typicality); 0 for k = 0."""
    rows = prepared(x, metric)
    means = []
    for i, row in enumerate(rows):
        others = np.delete(distances(row, rows, metric), i)
        means.append(float(np.sqrt(np.sort(others)[:k]).sum() / max(k, 1)))
    return means


def typiclust(
    x: FloatArray,
    labels: IntArray,
    free: IntArray,
    labelled: IntArray,
    count: int,
    metric: str = "cosine",
    *,
    neighbors: int = 20,
    min_cluster: int = 6,
) -> list[int]:
    """Rows of `free` in the order in which they are picked; labels are the clusters of free and labelled rows.

    Clusters go in the order of fewest labelled rows, most rows, lowest number, round after round; those of fewer
    than min_cluster rows only when the others have nothing left. Each gives the row with the least mean distance
    to its min(neighbors, m // 2) nearest among the m free rows that are left in it, ties to the lower row.
    """
    left = {int(c): [int(i) for i in np.sort(free) if labels[i] == c] for c in np.unique(labels[free])}
    held = {c: int(np.count_nonzero(labels[labelled] == c)) for c in left}
    size = {c: len(left[c]) + held[c] for c in left}
    picks: list[int] = []
    for small in (False, True):
        order = sorted((c for c in left if (size[c] < min_cluster) == small), key=lambda c: (held[c], -size[c], c))
        for _ in forever():
            if len(picks) == count or not any(left[c] for c in order):
                break
            for c in order:
                if left[c] and len(picks) < count:
                    k = min(neighbors, len(left[c]) // 2)
                    picks.append(left[c].pop(int(np.argmin(mean_distances(x[left[c]], k, metric)))))
    return picks
