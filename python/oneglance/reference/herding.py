"""Kernel herding of a pool: the picks' mean embedding follows the pool's, by definition."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray, IntArray
from .nearest import distances, prepared

DECIMALS = 12  # objectives are compared to so many, so that rounding decides nothing


def kernel(x: FloatArray, sigma2: float, metric: str) -> Float64Array:
    """exp(-d / sigma2) of all pairs of rows, d in the metric's own unit (a squared distance)."""
    rows = prepared(x, metric)
    return np.array([np.exp(-distances(row, rows, metric) / sigma2) for row in rows])


def herding(
    x: FloatArray, free: IntArray, labelled: IntArray, count: int, sigma2: float, alpha: float, metric: str = "cosine"
) -> list[int]:
    """Rows of `free` in the order in which they are picked. The pool is the rows of free and labelled.

    With mu_i the mean of k(x_i, x_j) over the pool and S_i the mean of k(x_i, x_s) over all chosen rows s, labelled
    ones included (0 before any): each pick is the row with the least S_i - alpha mu_i, ties to the lower row.
    """
    pool = np.union1d(free, labelled)
    k = kernel(x[pool], sigma2, metric)
    mean = k.mean(axis=1)
    allowed = np.isin(pool, free)
    chosen = [int(i) for i in np.flatnonzero(~allowed)]
    picks: list[int] = []
    for _ in range(count):
        held = k[:, chosen].sum(axis=1) / max(1, len(chosen))
        objective = np.round(held - alpha * mean, DECIMALS)
        best = int(np.argmin(np.where(allowed, objective, np.inf)))
        allowed[best] = False
        chosen.append(best)
        picks.append(int(pool[best]))
    return picks
