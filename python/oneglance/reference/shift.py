"""How far two pools are apart, by definition."""

from __future__ import annotations

import math

import numpy as np

from .._types import Float64Array


def frechet(x: Float64Array, y: Float64Array) -> float:
    """|mean difference|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)), S with n - 1."""
    sx, sy = np.cov(x.T).reshape(x.shape[1], -1), np.cov(y.T).reshape(x.shape[1], -1)
    root = np.sqrt(np.maximum(np.linalg.eigvals(sx @ sy).real, 0.0)).sum()
    return float(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(sx) + np.trace(sy) - 2.0 * root)


def mmd2(x: Float64Array, y: Float64Array, width2: float) -> float:
    """Unbiased squared maximum mean discrepancy with k = exp(-|a - b|^2 / width2) (Gretton et al. 2012)."""

    def k(a: Float64Array, b: Float64Array) -> Float64Array:
        return np.asarray(np.exp(-((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2) / width2))

    n, m = len(x), len(y)
    within_x = (k(x, x).sum() - n) / (n * (n - 1))
    within_y = (k(y, y).sum() - m) / (m * (m - 1))
    return float(within_x + within_y - 2.0 * k(x, y).mean())


def binomial_tail(n: int, least: int) -> float:
    """P(at least so many heads of n fair coins)."""
    return float(sum(math.comb(n, i) for i in range(max(least, 0), n + 1)) / 2**n)
