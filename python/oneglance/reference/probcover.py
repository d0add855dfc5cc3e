"""Greedy cover of the pool by balls of one radius, by definition."""

from __future__ import annotations

import numpy as np

from .._types import FloatArray, IntArray
from .nearest import distances, prepared

PARALLEL = 1e-28  # a cosine distance below it is the rounding of parallel rows


def probcover(
    x: FloatArray, free: IntArray, labelled: IntArray, count: int, delta: float, metric: str = "cosine"
) -> tuple[list[int], list[float]]:
    """Rows of `free` in the order in which they are picked, and the radius that each was picked with.

    The pool is the rows of free and labelled. A ball holds all rows of the pool at a distance < delta. Each pick is
    the row whose ball holds the most rows that no chosen row's ball holds, ties to the lower row. When every row is
    held, delta is halved until some row is not; when no distance is left, the lowest rows follow, at radius 0.
    """
    pool = np.union1d(free, labelled)
    rows = prepared(x[pool], metric)
    d = np.array([distances(row, rows, metric) for row in rows])
    if metric == "cosine":
        d[d <= PARALLEL] = 0.0
    allowed = np.isin(pool, free)
    chosen = [int(i) for i in np.flatnonzero(~allowed)]
    picks: list[int] = []
    radii: list[float] = []
    for _ in range(count):
        nearest = d[chosen].min(axis=0) if chosen else np.full(pool.size, np.inf)
        while 0 < nearest.max() < delta:
            delta /= 2
        if nearest.max() == 0:
            delta = 0.0
        gain = (d < delta)[:, nearest >= delta].sum(axis=1)
        best = int(np.argmax(np.where(allowed, gain, -1)))
        allowed[best] = False
        chosen.append(best)
        picks.append(int(pool[best]))
        radii.append(delta)
    return picks, radii
