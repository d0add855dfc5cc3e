"""A few coordinates that tell most of how rows lie to each other."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, FloatArray, RowShards

_ROUNDS = 3


def principal_coordinates(rows: RowShards, mask: BoolArray, n_dims: int) -> FloatArray:
    """float32 (n, k), k <= n_dims: the rows in about their first principal directions, those of most variance first.

    rows  (n, d), finite where the mask holds, and of about zero mean there; others get zeros

    Block power iteration of 3 rounds from a fixed random start; directions of nearly equal variance may mix. Products
    are those of the compiled core, so the bytes do not depend on the number of threads. Cost 16 n d k flops.
    """
    width = rows.shape[1]
    size = min(n_dims, width)
    shards, each = list(rows.shards), mask.astype(np.float64)[:, None]
    numbers = np.arange(width * size, dtype=np.int64)
    basis = _orthonormal((uniforms(0, Purpose.DIRECTION, numbers) - 0.5).reshape(width, size))
    ones = np.repeat(each, size, axis=1)
    for _ in range(_ROUNDS):
        basis = _orthonormal(_core.row_products(shards, mask, basis, ones, True)[1])
    out = _core.row_products(shards, mask, basis, None, False)[0].astype(np.float32)
    out[~mask] = 0.0
    return np.asarray(out)


def _orthonormal(columns: Float64Array) -> Float64Array:
    """The columns made orthonormal one after another, twice over; those that depend on the ones before become 0.

    Sums by einsum: plain NumPy, the same for any number of threads of a linear algebra library.
    """
    out = columns.copy()
    for j in range(out.shape[1]):
        before, size = out[:, :j], np.sqrt(np.einsum("i,i->", out[:, j], out[:, j]))
        for _ in range(2):
            out[:, j] -= np.einsum("ij,j->i", before, np.einsum("ij,i->j", before, out[:, j]))
        left = np.sqrt(np.einsum("i,i->", out[:, j], out[:, j]))
        out[:, j] = out[:, j] / left if left > 1e-10 * size else 0.0
    return out
