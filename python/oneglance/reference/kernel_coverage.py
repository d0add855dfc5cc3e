"""Greedy maximum of the mean largest Gaussian kernel (MaxHerding), with the n x n kernel written out."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray, IntArray
from .nearest import prepared


def kernel(x: FloatArray, width: float, metric: str = "sqeuclidean") -> Float64Array:
    """exp(-d_ij / width), d the metric's distances, (n, n)."""
    rows = prepared(x, metric)
    d = np.stack([((rows - row) ** 2).sum(axis=1) for row in rows]) / (1 if metric == "sqeuclidean" else 2)
    result: Float64Array = np.exp(-d / width)
    return result


def kernel_coverage(k: Float64Array, n_picks: int, already: IntArray, mask: IntArray) -> tuple[list[int], list[float]]:
    """(picks, gains): each pick raises mean_i max_{s chosen} k[i, s] most; ties to the lower row.

    k  (evaluated, n)
    """
    covered = k[:, already].max(axis=1, initial=0.0)
    picks: list[int] = []
    gains: list[float] = []
    for _ in range(n_picks):
        gain = np.maximum(k - covered[:, None], 0).mean(axis=0)
        gain[[*picks, *already]] = -1.0
        gain[~mask] = -1.0
        picks.append(int(gain.argmax()))
        gains.append(float(gain.max()))
        covered = np.maximum(covered, k[:, picks[-1]])
    return picks, gains
