"""ActiveFT's two objectives and their gradients (arXiv 2303.14382), with every matrix written out."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray
from .nearest import prepared


def objective(x: FloatArray, v: Float64Array, kind: str, tau: float = 0.07, balance: float = 1.0) -> float:
    """The loss at v (B, d); theta_k = v_k / |v_k|, c_i the theta nearest to row i, s_i = f_i . theta_{c_i} / tau.

    paper     -mean_i s_i + balance * mean_j log sum_{k != j} exp(theta_j . theta_k / tau)
    released  mean_i [-s_i + log(exp(s_i) + balance * Z_{c_i})], Z_k = sum_j exp(theta_j . theta_k / tau)
    """
    f, theta = prepared(x, "cosine"), v / np.linalg.norm(v, axis=1, keepdims=True)
    cosine = f @ theta.T
    c, e = cosine.argmax(axis=1), np.exp(theta @ theta.T / tau)
    s = cosine[np.arange(len(f)), c] / tau
    if kind == "paper":
        np.fill_diagonal(e, 0.0)
        return float(-s.mean() + (balance * np.log(e.sum(axis=1)).mean() if len(v) > 1 else 0.0))
    return float(np.mean(np.log(np.exp(s) + balance * e.sum(axis=0)[c]) - s))


def gradient(x: FloatArray, v: Float64Array, kind: str, tau: float = 0.07, balance: float = 1.0) -> Float64Array:
    """The gradient (B, d) with respect to v; of `released` without the part through the theta_j in Z_k."""
    f, norm = prepared(x, "cosine"), np.linalg.norm(v, axis=1, keepdims=True)
    theta = v / norm
    cosine = f @ theta.T
    c, e = cosine.argmax(axis=1), np.exp(theta @ theta.T / tau)
    own = np.eye(len(v))[c]
    if kind == "paper":
        np.fill_diagonal(e, 0.0)
        g = -(own.T @ f) / (len(f) * tau)
        if len(v) > 1:
            inverse = 1 / e.sum(axis=1)
            g += balance / (len(v) * tau) * (e * (inverse[:, None] + inverse)) @ theta
    else:
        z, s = e.sum(axis=0), cosine[np.arange(len(f)), c] / tau
        w = balance * z[c] / (np.exp(s) + balance * z[c])
        g = (-(own.T @ (w[:, None] * f)) + (own.T @ w / z)[:, None] * (e @ theta)) / (len(f) * tau)
    result: Float64Array = (g - (g * theta).sum(axis=1, keepdims=True) * theta) / norm
    return result
