"""What heads minimise, in plain float64: losses, and the duals that bound them from below."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, IntArray


def lp_objective(
    A: Float64Array,
    b: Float64Array,
    s: Float64Array,
    x: Float64Array,
    p: float,
    ridge: float = 0.0,
    eps: float = 0.0,
    huber: float | None = None,
) -> float:
    """sum_i s_i |a_i x - b_i|^p + eps sum_i s_i |a_i x|^p + ridge |x|^2; p = inf: max |a_i x - b_i|, s_i > 0."""
    r = np.abs(A @ x - b)
    penalty = ridge * float(x @ x)
    if huber is not None:
        return float(s @ np.where(r <= huber, r**2, 2 * huber * r - huber**2)) + penalty
    if np.isinf(p):
        return float(r[s > 0].max()) + penalty
    return float(s @ r**p + eps * (s @ np.abs(A @ x) ** p)) + penalty


def lp_dual(b: Float64Array, s: Float64Array, y: Float64Array, p: float) -> float:
    """A lower bound on min_x sum_i s_i |a_i x - b_i|^p / p for 1 < p < inf and any y with A'y = 0."""
    q = p / (p - 1)
    return float(b @ y - (s ** (1 - q) @ np.abs(y) ** q) / q)


def least_norm(A: Float64Array, b: Float64Array, s: Float64Array) -> Float64Array:
    """The x of least norm among the minimisers of sum_i s_i (a_i x - b_i)^2."""
    root = np.sqrt(s)
    return np.asarray(np.linalg.lstsq(A * root[:, None], b * root, rcond=None)[0])


def logistic_objective(
    X: Float64Array, codes: IntArray, s: Float64Array, W: Float64Array, c: Float64Array, lam: float
) -> tuple[float, Float64Array, Float64Array]:
    """sum_i s_i CE(x_i W + c, codes_i) / sum s + lam / 2 |W|^2, and its gradients in W and c."""
    logits = X @ W + c
    logits = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    share, truth = s / s.sum(), np.eye(W.shape[1])[codes]
    off = share[:, None] * (p - truth)
    value = -float(share @ np.log(p[np.arange(len(codes)), codes])) + 0.5 * lam * float((W**2).sum())
    return value, X.T @ off + lam * W, off.sum(axis=0)
