"""Newton systems: a weighted Gram matrix, in full for few rows, as products with a sampled preconditioner for many."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._types import Float64Array, IntArray
from .design import SAMPLED_ROWS, Design

_FEW_ROWS = 20
"""Rows per column up to which the full Gram matrix is formed: it then costs about as much as the products."""
_SMALL_WORK = 2e8
"""Multiply-adds (n r^2) up to which it is formed anyway: some ten milliseconds."""
_MOST_PRODUCTS = 40


class NormalSystem:
    """Solves (sum_i w_i b_i b_i' + K) z = g for many w.

    Up to 20 rows per column, or small: the Gram matrix, factored. Else: conjugate gradients, each step one reading of
    the rows (4 n d flops instead of n d^2), preconditioned by the Gram matrix of about 12 r rows, half of them taken
    in proportion to w_i, half evenly, at equal distances along the cumulated shares and so without chance. Where that
    has not converged after 40 products, the full Gram matrix is formed after all.
    """

    def __init__(self, design: Design, penalty: Float64Array) -> None:
        self.design, self.penalty = design, penalty
        self.n_grams = self.n_products = 0
        self.exact = False

    def prepare(self, weights: Float64Array, *, in_full: bool = False) -> None:
        """Factors for these weights (n,) >= 0; in_full: of all rows, however many; exact but for rounding."""
        self._weights = weights
        self._totals: Float64Array | None = None
        rank = self.design.rank
        n_rows = self.design.n_rows
        self.exact = in_full or n_rows <= _FEW_ROWS * rank or n_rows * rank**2 <= _SMALL_WORK
        if np.ptp(used := weights[weights > 0]) == 0 and used.size == self.design.n_used:
            # Equal weights: the coordinates were made for them. Rounding in that is left to the caller's refinement.
            self._matrix = used[0] * np.eye(rank) + self.penalty
            self._half = _half_inverse(self._matrix)
            self.exact = self.design.exact
            return
        if self.exact:
            self._factor_all()
            return
        rows, share = _even_sample(weights, SAMPLED_ROWS * rank)
        self._half = _half_inverse(self.design.gram(weights[rows] / share, only=rows) + self.penalty)

    def _factor_all(self) -> None:
        self.n_grams += 1
        self._matrix = self.design.gram(self._weights) + self.penalty
        self._half = _half_inverse(self._matrix)
        self.exact = True

    def back(self, right: Float64Array) -> Float64Array:
        """(r, c): the inverse of the factored matrix times `right`."""
        return np.asarray(self._half @ (self._half.T @ right))

    def size(self, g: Float64Array) -> float:
        """g'(..)^-1 g by the factored matrix: exact for the full Gram, within a small factor for a sampled one."""
        return float(np.square(g @ self._half).sum())

    def solve(self, g: Float64Array, accuracy: float) -> tuple[Float64Array, Float64Array, Float64Array]:
        """z (r,), what it predicts for every row, b_i' z (n,), and the residual g - (..) z left, its preconditioned
        norm at most accuracy times that of g."""
        z, fitted, residual, done = self._descend(g, accuracy)
        if not done and not self.exact:
            self._factor_all()
            more, _, residual, _ = self._descend(residual, accuracy)
            z, fitted = z + more, None
        return z, self.design.times(z[:, None])[:, 0] if fitted is None else fitted, residual

    def _product(self, z: Float64Array) -> tuple[Float64Array, Float64Array | float]:
        """(sum_i w_i b_i b_i' + K) z for z (r,); where that reads the rows, also b_i' z (n,), else 0."""
        if self.exact:
            return np.asarray(self._matrix @ z), 0.0
        self.n_products += 1
        if self._totals is None:
            self._totals = self.design.totals(self._weights)
        turned, fitted = self.design.normal(self._weights, self._totals, z)
        return turned + self.penalty @ z, fitted

    def _descend(
        self, g: Float64Array, accuracy: float
    ) -> tuple[Float64Array, Float64Array | None, Float64Array, bool]:
        z, residual = np.zeros_like(g), g
        fitted = None if self.exact else np.zeros(self.design.n_rows)
        step = ahead = self.back(residual)
        size = float(residual @ ahead)
        enough = accuracy**2 * size
        for _ in range(_MOST_PRODUCTS):
            if not size > enough:
                return z, fitted, residual, True
            turned, rows = self._product(step)
            along = float(step @ turned)
            if not along > 0:
                break
            z, residual = z + size / along * step, residual - size / along * turned
            if fitted is not None:
                fitted += size / along * rows
            ahead = self.back(residual)
            new = float(residual @ ahead)
            if self.exact and not new < 0.25 * size:  # as far as rounding lets a factored matrix be refined
                return z, fitted, residual, True
            step, size = ahead + new / size * step, new
        return z, fitted, residual, not size > enough


def _even_sample(weights: Float64Array, n_wanted: int) -> tuple[IntArray, Float64Array]:
    """Rows with their inclusion shares in (0, 1], about n_wanted of them, evenly spaced along the cumulated shares."""
    on = weights > 0
    count = int(np.count_nonzero(on))
    if count <= n_wanted:
        rows = np.flatnonzero(on) if count else np.arange(0, weights.size, max(1, weights.size // n_wanted))
        return rows, np.ones(rows.size)
    share = np.minimum(1.0, _proportional(weights, n_wanted // 2) * weights + on * (0.5 * n_wanted / count))
    edges = np.floor(np.cumsum(share) + 0.5)
    rows = np.flatnonzero(np.diff(edges, prepend=0.0) > 0)
    return rows, share[rows]


def _proportional(weights: Float64Array, n_wanted: int) -> float:
    """c with sum_i min(1, c w_i) = n_wanted, for more than n_wanted weights > 0."""
    top = -np.sort(-np.partition(weights, weights.size - n_wanted)[-n_wanted:])  # no others can reach 1
    rest = float(weights.sum()) - np.concatenate([[0.0], np.cumsum(top)[:-1]])
    factors = (n_wanted - np.arange(n_wanted)) / np.maximum(rest, 1e-300)
    fits = factors * top <= 1.0
    return float(factors[np.argmax(fits)]) if fits.any() else float(factors[-1])


def _half_inverse(matrix: Float64Array) -> Float64Array:
    """H with H H' the inverse of a symmetric positive semidefinite matrix; directions lost to rounding are damped, not
    blown up."""
    if not matrix.size:
        return matrix
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(np.float64).tiny))
    unit = matrix * scale * scale[:, None]
    for jitter in (0.0, 1e-14, 1e-11):
        half = _core.cholesky_inverse(unit + jitter * np.eye(len(unit)) if jitter else unit)
        if half is not None and np.isfinite(half).all():
            return np.asarray(half * scale[:, None])
    values, vectors = np.linalg.eigh(unit)
    half = vectors / np.sqrt(np.maximum(values, 1e-11 * max(values[-1], 1e-300)))
    return np.asarray(half * scale[:, None])
