"""Maximum mean discrepancy of two samples, its p value by permutations of one kernel matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._rng import Purpose, uniforms
from .._types import Float64Array, FloatArray

_TILE = 512
_FOR_WIDTH = 1000
_DOUBLE = 2000


@dataclass(frozen=True, eq=False)
class Mmd:
    """mmd2: unbiased, so below 0 by chance; p: (1 + permutations with no less) / (1 + permutations); width2: of the
    kernel exp(-|a - b|^2 / width2), in squared units of the features; shuffled: the permutations' own values."""

    mmd2: float
    p: float
    width2: float
    shuffled: Float64Array


def mmd(x: FloatArray, y: FloatArray, *, permutations: int = 500, seed: int = 0, draw: int = 0) -> Mmd:
    """Are the rows of x (n, d) and y (m, d) drawn alike? n, m >= 2.

    width2 is the median squared distance of 1000 of all rows together, so it does not tell x from y and p is exact.
    With u the indicator of x under a permutation, all three sums of the kernel matrix K follow from u' K u and u' K 1:
    one product K U with a column per permutation takes the place of a matrix per permutation. K is made in tiles and
    never kept. Rows beyond 2000 in float32 with K centred, whose rounding is 1e-6 of K. Cost: 2 N^2 (d + permutations)
    flops for N = n + m; memory O(N (d + permutations)). Source: Gretton et al. 2012.
    """
    n, m = len(x), len(y)
    total = n + m
    z = np.concatenate([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    z -= z.mean(axis=0)
    scale = float(np.sqrt(np.einsum("ij,ij->i", z, z).max())) or 1.0
    rows: FloatArray = (z / scale).astype(np.float64 if total <= _DOUBLE else np.float32)
    squares = np.einsum("ij,ij->i", rows, rows)
    width2 = _median_square(rows, seed, draw)
    place = np.arange(total, dtype=np.int64)
    marks = np.zeros((total, permutations + 1), dtype=rows.dtype)
    marks[:n, 0] = 1.0
    for b in range(permutations):
        keys = uniforms(seed, Purpose.AUDIT, place, draw=(draw << 20) + b)
        marks[np.argpartition(keys, n - 1)[:n], b + 1] = 1.0
    within, reaching, whole = np.zeros(permutations + 1), np.zeros(permutations + 1), 0.0
    for start in range(0, total, _TILE):
        tile = slice(start, min(start + _TILE, total))
        k = rows[tile] @ rows.T
        k *= -2.0
        k += squares[tile][:, None]
        k += squares
        np.maximum(k, 0.0, out=k)
        k /= -rows.dtype.type(width2)
        np.exp(k, out=k)
        k -= rows.dtype.type(np.exp(-1.0))  # of all pairs: it cancels, and what is left is summed more closely
        k[np.arange(k.shape[0]), place[tile]] = 0.0
        sums = k.sum(axis=1, dtype=np.float64)
        within += np.einsum("ib,ib->b", marks[tile], k @ marks, dtype=np.float64)
        reaching += sums @ marks[tile]
        whole += float(sums.sum())
    values = (
        within / (n * (n - 1)) + (whole - 2.0 * reaching + within) / (m * (m - 1)) - 2.0 * (reaching - within) / (n * m)
    )
    seen, shuffled = float(values[0]), values[1:]
    slack = 1e-12 if rows.dtype == np.float64 else 1e-9
    p = (1 + int(np.count_nonzero(shuffled >= seen - slack))) / (1 + permutations)
    return Mmd(seen, p, width2 * scale**2, shuffled)


def _median_square(rows: FloatArray, seed: int, draw: int) -> float:
    """Median squared distance of at most 1000 rows, drawn without regard to where they come from."""
    keys = uniforms(seed, Purpose.AUDIT, np.arange(len(rows)), draw=(draw << 20) + (1 << 19))
    some = rows[np.argsort(keys, kind="stable")[:_FOR_WIDTH]].astype(np.float64)
    squares = np.einsum("ij,ij->i", some, some)
    d2 = squares[:, None] + squares - 2.0 * some @ some.T
    apart = d2[np.triu_indices(len(some), 1)]
    middle = float(np.median(apart))
    return middle if middle > 0 else max(float(apart.mean()), 1e-300)
