"""What features promise before anybody has trained on them, by definition."""

from __future__ import annotations

import math

import numpy as np

from .._types import Float64Array, IntArray


def rank_me(x: Float64Array) -> float:
    """exp of the entropy of p_k = sigma_k / sum sigma + 1e-7, sigma the singular values (Garrido et al. 2023)."""
    sigma = np.linalg.svd(x, compute_uv=False)
    p = sigma / sigma.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def alpha_req(x: Float64Array) -> float:
    """-slope of log eigenvalue of the covariance against log of its number, 5 .. min(50, d / 2), by least squares."""
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1]
    place = np.arange(5, min(50, x.shape[1] // 2) + 1)
    return float(-np.polyfit(np.log(place), np.log(values[place - 1]), 1)[0])


def participation_ratio(x: Float64Array) -> float:
    """(sum of the covariance's eigenvalues)^2 / sum of their squares."""
    values = np.linalg.eigvalsh(np.cov(x.T))
    return float(values.sum() ** 2 / (values**2).sum())


def log_me(x: Float64Array, codes: IntArray, n_classes: int) -> float:
    """Mean over classes of the evidence per row of Bayesian linear regression of one-hot labels, maximised by 11 steps
    alpha = gamma / |m|^2, beta = (n - gamma) / |x m - y|^2 (You et al. 2021)."""
    n, d = x.shape
    total = 0.0
    for c in range(n_classes):
        y = (codes == c).astype(np.float64)
        alpha = beta = 1.0
        for _ in range(12):
            precision = alpha * np.eye(d) + beta * x.T @ x
            m = beta * np.linalg.solve(precision, x.T @ y)
            residual, length = float(((x @ m - y) ** 2).sum()), float(m @ m)
            evidence = (
                d / 2 * math.log(alpha) + n / 2 * math.log(beta) - np.linalg.slogdet(precision)[1] / 2
                - beta / 2 * residual - alpha / 2 * length - n / 2 * math.log(2 * math.pi)
            )  # fmt: skip
            gamma = d - alpha * np.trace(np.linalg.inv(precision))
            alpha, beta = gamma / length, (n - gamma) / residual
        total += evidence / n
    return total / n_classes


def purity(x: Float64Array, codes: IntArray, k: int) -> float:
    """Mean share of the k nearest other rows, by cosine, that have the row's own class."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return float((codes[near] == codes[:, None]).mean())
