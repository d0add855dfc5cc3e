"""Facility location on a graph of nearest neighbours, by definition."""

from __future__ import annotations

import numpy as np

from .._types import FloatArray, IntArray
from .nearest import nearest

UNIT = 1 << 30  # similarities are whole multiples of 1 / UNIT, so their sums are exact in any order


def facility(
    x: FloatArray,
    free: IntArray,
    labelled: IntArray,
    count: int,
    neighbors: int,
    scale: float,
    metric: str = "cosine",
) -> tuple[list[int], list[int]]:
    """Rows of `free` in the order in which they are picked, and the gain of each, in units of 1 / UNIT.

    The pool is the rows of free and labelled. Each row i is served by itself, with similarity 1, and by its nearest
    `neighbors` other rows of the pool, with exp(-d / scale) rounded to a multiple of 1 / UNIT; by others with 0.
    Each pick adds most to the sum over i of the largest similarity to a chosen row, ties to the lower row.
    """
    pool = np.union1d(free, labelled)
    n = pool.size
    similarity = np.zeros((n, n), dtype=np.int64)
    k = min(neighbors, n - 1)
    if k:
        near, d = nearest(x[pool], x[pool], k, metric, skip_self=True)
        similarity[np.arange(n)[:, None], near] = np.rint(np.exp(-d / scale) * UNIT)
    similarity[np.arange(n), np.arange(n)] = UNIT
    allowed = np.isin(pool, free)
    best = similarity[:, ~allowed].max(axis=1, initial=0)
    picks, gains = [], []
    for _ in range(count):
        gain = np.maximum(similarity - best[:, None], 0).sum(axis=0)
        pick = int(np.argmax(np.where(allowed, gain, -1)))
        allowed[pick] = False
        best = np.maximum(best, similarity[:, pick])
        picks.append(int(pool[pick]))
        gains.append(int(gain[pick]))
    return picks, gains
