"""Matrices of the benchmarks: float32 features with heavy-tailed rows, as backbones give them."""

import os

import numpy as np

# ONEGLANCE_BENCH_SHRINK=20 divides every number of rows: to see that the benchmarks run, not to measure.
SHRINK = int(os.environ.get("ONEGLANCE_BENCH_SHRINK", "1"))
PASS_SHAPES = [(200_000 // SHRINK, 384), (100_000 // SHRINK, 768), (50_000 // SHRINK, 1280)]


def features(n_rows, n_dims, seed=0):
    """(n_rows, n_dims) float32, condition about 2, row norms with a tail."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n_rows, n_dims), dtype=np.float32)
    rows *= np.sqrt(5 / rng.chisquare(5, size=(n_rows, 1))).astype(np.float32)
    return rows


def upper_inverse(rows, p):
    """Upper U with U U' = G^-1, G the quadratic form after three steps towards the Lewis weights of a sample."""
    sample = rows[:: max(1, len(rows) // 10_000)].astype(np.float64)
    form = sample.T @ sample
    for _ in range(3):
        tau = np.einsum("ij,ij->i", sample @ np.linalg.inv(form), sample)
        form = (sample.T * tau ** (p / 2 - 1)) @ sample
    return np.triu(np.linalg.inv(np.linalg.cholesky(form).T))
