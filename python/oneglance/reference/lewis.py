"""l_p Lewis weights: the definition as a residual, and the usual fixed-point iterations.

All use X' W^(1-2/p) X through a triangular factor and row-wise solves: an explicit orthogonal factor
loses the relative digits of small weights.
"""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray


def _independent_columns(x: FloatArray) -> Float64Array:
    """Nonzero rows in an orthogonal basis of their row space: full column rank, the same weights."""
    rows = np.asarray(x, np.float64)
    rows = rows[:, np.abs(rows).max(axis=0) > 0]
    rows = rows / np.linalg.norm(rows / np.abs(rows).max(axis=0), axis=0) / np.abs(rows).max(axis=0)
    _, s, vt = np.linalg.svd(rows, full_matrices=False)
    rank = int((s > s[0] * max(rows.shape) * np.finfo(np.float64).eps).sum())
    basis: Float64Array = rows @ (vt[:rank].T / s[:rank])
    return basis


def quadratic_form_values(rows: Float64Array, weights: Float64Array, p: float) -> Float64Array:
    """a_i' (A' W^(1-2/p) A)^-1 a_i for full-column-rank rows and positive weights: (n,)."""
    scaled = rows * (weights ** (0.5 - 1.0 / p))[:, None]
    _, r = np.linalg.qr(scaled)
    values: Float64Array = (np.linalg.solve(r.T, rows.T) ** 2).sum(axis=0)
    return values


def residual(x: FloatArray, weights: Float64Array, p: float) -> float:
    """max_i |log(a_i' G(w)^-1 a_i / w_i^(2/p))| over nonzero rows: 0 exactly at the Lewis weights."""
    used = np.abs(np.asarray(x, np.float64)).max(axis=1) > 0
    rows = _independent_columns(np.asarray(x, np.float64)[used])
    values = quadratic_form_values(rows, weights[used], p)
    return float(np.abs(np.log(values) - 2.0 / p * np.log(weights[used])).max())


def lewis_weights(
    x: FloatArray, p: float, *, exponent: float | None = None, tol: float = 1e-12, max_steps: int = 2000
) -> Float64Array:
    """Fixed point of w <- w r^e, r_i = w_i^(1-2/p) a_i' G(w)^-1 a_i / w_i; zero rows weigh 0.

    exponent None: 2p/(p+2), converges for every p. p/2 is the map of Cohen and Peng 2015, which
    contracts for p < 4 only. Returns the last iterate whether or not it converged.
    """
    x64 = np.asarray(x, np.float64)
    used = np.abs(x64).max(axis=1) > 0
    weights = np.zeros(x64.shape[0])
    if not used.any():
        return weights
    rows = _independent_columns(x64[used])
    n_rows, rank = rows.shape
    w = np.full(n_rows, rank / n_rows)
    step = 2.0 * p / (p + 2.0) if exponent is None else exponent
    for _ in range(max_steps):
        log_r = np.log(quadratic_form_values(rows, w, p)) - 2.0 / p * np.log(w)
        if np.abs(log_r).max() <= tol:
            break
        with np.errstate(over="ignore"):
            w = w * np.exp(step * log_r)
        if not np.isfinite(w).all() or w.min() <= 0:
            break  # diverged: an exponent of p/2 does so for p >= 4
    weights[used] = w
    return weights
