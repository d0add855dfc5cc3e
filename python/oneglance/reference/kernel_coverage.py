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


def kernel_coverage(
    k: Float64Array,
    n_picks: int,
    already: IntArray,
    mask: IntArray,
    *,
    weights: Float64Array | None = None,
    costs: Float64Array | None = None,
    budget: float = np.inf,
) -> tuple[list[int], list[float]]:
    """(picks, gains): each pick raises the weighted mean_i of max_{s chosen} k[i, s] most; ties to the lower row.

    k        (evaluated, n)
    weights  (evaluated,)
    costs    (n,): each pick raises it most per cost, among those that the budget still pays; ends where there is none
    """
    covered = k[:, already].max(axis=1, initial=0.0)
    price = np.zeros(k.shape[1]) if costs is None else costs
    picks: list[int] = []
    gains: list[float] = []
    while len(picks) < n_picks:
        gain = np.average(np.maximum(k - covered[:, None], 0), axis=0, weights=weights)
        open_ = mask & (price <= budget - price[picks].sum())
        open_[[*picks, *already]] = False
        if not open_.any():
            break
        picks.append(int(np.where(open_, gain if costs is None else gain / costs, -1.0).argmax()))
        gains.append(float(gain[picks[-1]]))
        covered = np.maximum(covered, k[:, picks[-1]])
    return picks, gains
