"""Masked reconstruction by its definition, float64. Source: arXiv 2111.06377."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray, IntArray


def sincos_positions(height: int, width: int, n_dims: int) -> Float64Array:
    """(height * width, n_dims): sin and cos of row * rate_i, then of column * rate_i; rate_i = 10000^(-4i/d)."""
    quarter = n_dims // 4
    table = np.empty((height * width, n_dims))
    for row in range(height):
        for column in range(width):
            for i in range(quarter):
                rate = 10000.0 ** (-i / quarter)
                table[row * width + column, [i, quarter + i]] = np.sin(row * rate), np.cos(row * rate)
                table[row * width + column, [2 * quarter + i, 3 * quarter + i]] = (
                    np.sin(column * rate),
                    np.cos(column * rate),
                )
    return table


def masking(noise: FloatArray, n_kept: int) -> tuple[IntArray, IntArray]:
    """Patches in the order of their noise (B, L): the first n_kept are seen. Returns (kept, hidden), (B, n_kept) and
    (B, L - n_kept); together a permutation of 0 .. L - 1 in every row."""
    order = np.argsort(noise, axis=1, kind="stable")
    return order[:, :n_kept], order[:, n_kept:]


def patches_of(pictures: FloatArray, patch: tuple[int, int]) -> Float64Array:
    """(B, C, H, W) -> (B, L, C * ph * pw), patches row after row, inside by channel, row, column."""
    n, height, width = len(pictures), pictures.shape[2], pictures.shape[3]
    high, wide = patch
    found = []
    for top in range(0, height, high):
        for left in range(0, width, wide):
            found.append(pictures[:, :, top : top + high, left : left + wide].reshape(n, -1))
    return np.stack(found, axis=1).astype(np.float64)


def mae_loss(
    pictures: FloatArray, predicted: FloatArray, hidden: IntArray, patch: tuple[int, int], norm: bool
) -> float:
    """Mean squared error per hidden patch, averaged over the hidden patches of all pictures.

    predicted  (B, L, C * ph * pw); only rows named in hidden (B, M) count
    norm       patches are standardised first: (x - mean) / sqrt(variance with n - 1 + 1e-6)
    """
    target = patches_of(pictures, patch)
    if norm:
        mean, variance = target.mean(axis=2, keepdims=True), target.var(axis=2, ddof=1, keepdims=True)
        target = (target - mean) / np.sqrt(variance + 1e-6)
    error = ((predicted.astype(np.float64) - target) ** 2).mean(axis=2)
    return float(np.take_along_axis(error, hidden, axis=1).mean())
