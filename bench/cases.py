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


def clustered(n_rows, n_dims, n_clusters, spread=1.0, seed=0):
    """(n_rows, n_dims) float32 around n_clusters centres, as the features of a pool with classes lie."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_clusters, n_dims), dtype=np.float32)
    rows = spread * rng.standard_normal((n_rows, n_dims), dtype=np.float32)
    rows += centers[rng.integers(0, n_clusters, n_rows)]
    return rows


class Floor:
    """`product()` is a float32 NumPy product (n, d) @ (d, d) into a ready output; `scale(m)` how many of its kind
    m multiply-adds are: the seconds of one times this are the floor of a case."""

    def __init__(self, n_rows, n_dims):
        rng = np.random.default_rng(1)
        self._rows = rng.standard_normal((n_rows, n_dims), dtype=np.float32)
        self._square = rng.standard_normal((n_dims, n_dims), dtype=np.float32)
        self._out = np.empty_like(self._rows)
        self._multiply_adds = n_rows * n_dims * n_dims

    def product(self):
        np.matmul(self._rows, self._square, out=self._out)

    def scale(self, multiply_adds):
        return multiply_adds / self._multiply_adds


def upper_inverse(rows, p):
    """Upper U with U U' = G^-1, G the quadratic form after three steps towards the Lewis weights of a sample."""
    sample = rows[:: max(1, len(rows) // 10_000)].astype(np.float64)
    form = sample.T @ sample
    for _ in range(3):
        tau = np.einsum("ij,ij->i", sample @ np.linalg.inv(form), sample)
        form = (sample.T * tau ** (p / 2 - 1)) @ sample
    return np.triu(np.linalg.inv(np.linalg.cholesky(form).T))
