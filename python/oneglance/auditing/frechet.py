"""Frechet distance between two samples of features, on few directions."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray

MAX_DIMS = 64


def leading_directions(rows: FloatArray, n_dims: int = MAX_DIMS) -> tuple[Float64Array, Float64Array]:
    """Mean (d,) and principal directions (d, k) of rows (n, d), orthonormal: as many as the rows vary in beyond
    rounding, at most n_dims, at least 1."""
    wide = np.asarray(rows, dtype=np.float64)
    mean = wide.mean(axis=0)
    x = wide - mean
    n, d = x.shape
    values, vectors = np.linalg.eigh(x @ x.T if n < d else x.T @ x)
    largest = float(values[-1])
    rank = int(np.count_nonzero(values > max(n, d) * np.finfo(np.float64).eps * largest)) if largest > 0 else 0
    kept = vectors[:, ::-1][:, : max(1, min(n_dims, rank))]
    if n >= d:
        return mean, np.asarray(kept)
    if rank == 0:
        return mean, np.eye(d, 1)
    return mean, np.asarray(x.T @ kept / np.sqrt(values[::-1][: kept.shape[1]]))


def frechet_distance(x: Float64Array, y: Float64Array) -> float:
    """|mean difference|^2 + tr S_x + tr S_y - 2 tr (S_x S_y)^(1/2) of samples (n, k) and (m, k), n and m >= 2.

    The last trace is the sum of singular values of A' B for S_x = A A', S_y = B B'. Biased upwards: for two samples of
    one pool it is not 0 but falls as 1 / n (Chong and Forsyth 2020), so compare it only with two samples of the same
    sizes from one pool, and use many more rows than columns.
    """
    gap = x.mean(axis=0) - y.mean(axis=0)
    roots = [(z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y)]
    factors = [np.asarray(np.linalg.qr(root, mode="r")).T if len(root) > root.shape[1] else root.T for root in roots]
    cross = float(np.linalg.svd(factors[0].T @ factors[1], compute_uv=False).sum())
    traces = sum(float(np.square(factor).sum()) for factor in factors)
    return max(0.0, float(gap @ gap) + traces - 2.0 * cross)
