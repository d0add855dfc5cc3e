"""Temperature scaling: one number per head, so that probabilities mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import Float64Array, IntArray

_COLDEST, _HOTTEST = 0.05, 20.0


def best_temperature(logits: Float64Array, codes: IntArray, weights: Any = None) -> float:
    """T in [0.05, 20] of least weighted log loss of softmax(logits / T); rows with NaN, or whose class has -inf, are
    left out; 1 where none is left. The loss is convex in 1 / T: bisection of its slope, to 1e-9.

    The truth is softened: a class is sure to 1 - 1 / (m + 2) only, m being the effective number of rows (Kish's, where
    weights differ), and the rest is shared by the other classes with a chance. Few rows that are all right would
    otherwise ask for T = 0, which the next wrong one pays dearly.
    Source: Guo et al. 2017; Platt 1999 for the softening.
    """
    fine = np.isfinite(logits[np.arange(len(codes)), codes]) & ~np.isnan(logits).any(axis=1)
    share = np.ones(int(fine.sum())) if weights is None else np.asarray(weights, dtype=np.float64)[fine]
    if not share.any():
        return 1.0
    rows, own, share = logits[fine], codes[fine], share / share.max()
    rows = rows - rows.max(axis=1, keepdims=True)
    finite = np.where(np.isfinite(rows), rows, 0.0)
    truth = rows[np.arange(len(own)), own]
    chances = np.count_nonzero(np.isfinite(rows), axis=1) - 1
    doubt = 1.0 / (float(share.sum()) ** 2 / float(share @ share) + 2.0)
    others = (finite.sum(axis=1) - truth) / np.maximum(chances, 1)
    truth = np.where(chances > 0, (1.0 - doubt) * truth + doubt * others, truth)

    def slope(beta: float) -> float:
        p = np.exp(beta * rows)
        mean = (p * finite).sum(axis=1) / p.sum(axis=1)
        return float(share @ (mean - truth))

    low, high = np.log(1.0 / _HOTTEST), np.log(1.0 / _COLDEST)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(float(np.exp(middle))) < 0 else (low, middle)
    return float(np.exp(-0.5 * (low + high)))


def log_loss(logits: Float64Array, codes: IntArray, weights: Float64Array) -> float:
    """Weighted mean of -log softmax(logits)[code] over rows without NaN; inf where a class had no chance."""
    fine = ~np.isnan(logits).any(axis=1)
    rows, own, share = logits[fine], codes[fine], weights[fine]
    top = rows.max(axis=1)
    whole = np.log(np.exp(rows - top[:, None]).sum(axis=1)) + top
    return float(share @ (whole - rows[np.arange(len(own)), own]) / share.sum())
