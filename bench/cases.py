"""Matrices of the benchmarks: float32 features with heavy-tailed rows, as backbones give them."""

import numpy as np

PASS_SHAPES = [(200_000, 384), (100_000, 768), (50_000, 1280)]


def features(n_rows, n_dims, seed=0):
    """(n_rows, n_dims) float32, condition about 2, row norms with a tail."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n_rows, n_dims), dtype=np.float32)
    rows *= np.sqrt(5 / rng.chisquare(5, size=(n_rows, 1))).astype(np.float32)
    return rows


def upper_inverse(rows, p):
    """U with U U' = G^-1, G the quadratic form after a few steps towards the Lewis weights of a sample."""
    sample = rows[:: max(1, len(rows) // 20_000)].astype(np.float64)
    u = np.linalg.inv(np.linalg.cholesky(sample.T @ sample)).T
    for _ in range(3):
        b = sample @ u
        tau = (b * b).sum(axis=1)
        form = b.T @ (b * (tau ** (p / 2 - 1))[:, None])
        u = u @ np.linalg.inv(np.linalg.cholesky(form)).T
        u = np.linalg.qr(u.T, mode="r").T
        u = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(u @ u.T))).T
    return np.triu(u)
