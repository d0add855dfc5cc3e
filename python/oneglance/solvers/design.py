"""Rows of one matrix in coordinates in which they are well conditioned: what every regression here works on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._rows import named_rows
from .._types import BoolArray, Float64Array, RowShards

_SAFE_CONDITION = 1e5
"""Up to here Cholesky of a float64 Gram matrix of unit columns is kept; above it eigenvectors decide."""
_MANY_ROWS, _MUCH_WORK = 24, 2e8
"""Rows per column, and multiply-adds of a Gram matrix, from which `sampled` coordinates save anything."""
SAMPLED_ROWS = 12
"""Rows per column that stand in for all: their Gram matrix is then off by a factor of 3.3 at most, on rows that are
much alike."""
_DEPENDENT = 1e-12
"""Eigenvalues of that Gram matrix below this share of the largest are taken for 0 (1e-6 in singular values)."""


class Design:
    """The rows a_i of a matrix, with a free constant if asked for, as rows b_i of `rank` well-conditioned columns.

    rows       (n, d) shards, float16/32/64, in memory or mapped; read in panels, never copied (see below)
    mask       (n,) bool or None: rows with False are never read; whoever calls gives them weight 0
    intercept  a constant column, which is centred away from the others and is not part of any norm
    name       what to call the rows in a message
    sampled    from 24 rows per column on, take the coordinates from 12 d of them, if these are of full rank

    With X = design.coef(Z) every z has a_i' x + x_0 = b_i' z, and x has the least norm among all that predict the
    same: dependent, dead and constant columns and n < d need no care. Unweighted, sum_i b_i b_i' is the identity
    (`exact`); in sampled coordinates it is somewhere near. A direction counts as dependent when the rows' spread along
    it is below 1e-6 of the largest, columns of unit norm: rows that hold some of full rank are of full rank.
    Cost: one weighted Gram, n d^2, or that of the sample, and O(d^3). For n <= d the rows are read into memory (no
    more than d^2 numbers).
    Raises InvalidInput for rows with NaN.
    """

    def __init__(
        self, rows: RowShards, mask: BoolArray | None, intercept: bool, name: str, *, sampled: bool = False
    ) -> None:
        self.n_rows, self.n_dims = rows.shape
        self.intercept = intercept
        self._mask = mask
        self._name = name
        self._shards = list(rows)
        self._source = rows
        self.n_used = self.n_rows if mask is None else int(np.count_nonzero(mask))
        self._constant = 1.0 / np.sqrt(self.n_used)
        self.exact, self._upper = True, False
        if mask is None and self.n_rows <= self.n_dims:
            self._from_wide(np.asarray(rows, dtype=np.float64))
        else:
            much = self.n_used >= _MANY_ROWS * self.n_dims and self.n_used * self.n_dims**2 >= _MUCH_WORK
            self.exact = not (sampled and much and self._from_sample())
            if self.exact:
                self._from_tall(self.n_used)
        self.rank = self._outer.shape[1] + int(intercept)

    def _from_wide(self, rows: Float64Array) -> None:
        """Singular vectors; the rows in the new coordinates replace the old ones."""
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            with named_rows(self._name, cure=CURE):
                raise _core.NonFiniteRows(bad.size, bad[:8].tolist())
        center = rows.mean(axis=0) if self.intercept else np.zeros(self.n_dims)
        u, lengths, vt = np.linalg.svd(rows - center, full_matrices=False)
        kept = lengths > max(rows.shape) * np.finfo(np.float64).eps * max(lengths[0], float(np.abs(center).max()))
        self._outer: Float64Array = vt[kept].T / lengths[kept]
        self._outer_center = center @ self._outer
        # Rows that are all alike have no direction left; the products want a column, which then counts for nothing.
        self._inner: Float64Array | None = None if kept.any() else np.zeros((1, 0))
        self._center = np.zeros(max(int(kept.sum()), 1))
        self._shards = [np.ascontiguousarray(u[:, kept]) if kept.any() else np.zeros((len(rows), 1))]
        self._source = RowShards(tuple(self._shards))

    def _from_tall(self, n_used: int) -> None:
        ones = np.ones(self.n_rows)
        gram, total = self._raw_gram(self._shards, self._mask, ones)
        self._center = total / n_used if self.intercept else np.zeros(self.n_dims)
        spread = gram - n_used * np.outer(self._center, self._center)
        floor = 1e-14 * np.diag(gram) if self.intercept else 0.0
        alive = np.flatnonzero(np.diag(spread) > floor)
        scale = 1.0 / np.sqrt(np.diag(spread)[alive])
        spread = spread[np.ix_(alive, alive)] * scale * scale[:, None]
        basis = _whitening(spread)
        self._upper = basis.shape[1] == self.n_dims and not np.tril(basis, -1).any()
        outer = np.zeros((self.n_dims, basis.shape[1]))
        outer[alive] = scale[:, None] * basis
        if basis.shape[1] < alive.size:  # the part along the null space predicts nothing: without it the norm is least
            null = np.zeros((self.n_dims, alive.size - basis.shape[1]))
            null[alive] = scale[:, None] * np.linalg.eigh(spread)[1][:, : null.shape[1]]
            flat = np.linalg.qr(null)[0]
            outer -= flat @ (flat.T @ outer)
        self._outer = self._inner = outer
        self._outer_center = self._center @ outer

    def _from_sample(self) -> bool:
        """Coordinates from evenly spaced rows; False where these leave the rank open."""
        used = np.arange(self.n_rows) if self._mask is None else np.flatnonzero(self._mask)
        rows = used[np.linspace(0, used.size - 1, SAMPLED_ROWS * self.n_dims).astype(np.int64)]
        ones = np.ones(self.n_rows)
        gram, total = self._raw_gram([self._source.take(rows)], None, ones[: rows.size])
        center = np.zeros(self.n_dims)
        if self.intercept:
            with named_rows(self._name, cure=CURE):
                whole = _core.row_products(self._shards, self._mask, None, ones[:, None], True)[1][:, 0]
            center = whole / used.size
        spread = gram - np.outer(center, total) - np.outer(total, center) + rows.size * np.outer(center, center)
        if not (np.diag(spread) > 1e-14 * np.diag(gram)).all():
            return False
        scale = np.sqrt(rows.size / used.size / np.diag(spread))
        basis = _core.cholesky_inverse(spread * scale * scale[:, None] * (used.size / rows.size))
        if basis is None or not np.linalg.norm(basis) <= _SAFE_CONDITION:
            return False
        self._center, self._upper = center, True
        self._outer = self._inner = scale[:, None] * basis
        self._outer_center = center @ self._outer
        return True

    def _raw_gram(
        self, shards: list[Any], mask: BoolArray | None, weights: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """sum_i w_i a_i a_i' and sum_i w_i a_i of rows as they lie."""
        with named_rows(self._name, cure=CURE):
            gram = _core.weighted_gram(shards, mask, np.sqrt(weights))
            if not self.intercept:
                return gram, np.zeros(gram.shape[0])
            return gram, _core.row_products(shards, mask, None, weights[:, None], True)[1][:, 0]

    def times(self, Z: Float64Array) -> Float64Array:
        """(r, c) -> (n, c): b_i' z for every row. One reading."""
        inner, constant = self._split(Z)
        return np.asarray(_core.row_products(self._shards, self._mask, inner, None, False)[0] + constant)

    def sums(self, Y: Float64Array) -> Float64Array:
        """(n, c) -> (r, c): sum_i b_i y_i'. One reading. Raises InvalidInput for rows with NaN: the first to see them
        where the coordinates come from a sample."""
        with named_rows(self._name, cure=CURE):
            sums = _core.row_products(self._shards, self._mask, None, Y, True)[1]
        return self._join(sums, Y.sum(axis=0))

    def totals(self, weights: Float64Array) -> Float64Array:
        """(n,) -> (d,): sum_i w_i a_i, which `normal` needs where there is a constant. One reading."""
        if not self.intercept:
            return np.zeros(self._shards[0].shape[1])
        return np.asarray(_core.row_products(self._shards, self._mask, None, weights[:, None], True)[1][:, 0])

    def normal(self, weights: Float64Array, totals: Float64Array, z: Float64Array) -> tuple[Float64Array, Float64Array]:
        """(n,), totals(weights), (r,) -> (r,), (n,): sum_i w_i b_i b_i' z, and b_i' z for every row. One reading;
        left-out rows must weigh 0."""
        inner, constant = self._split(z[:, None])
        products, sums = _core.row_products(self._shards, self._mask, inner, weights[:, None], True)
        fitted = np.asarray(products[:, 0] + constant)
        if not self.intercept:
            return self._join(sums, np.zeros(1))[:, 0], fitted
        whole = float(weights @ products[:, 0]) + float(weights.sum()) * constant
        return self._join(sums + totals[:, None] * constant, np.atleast_1d(whole))[:, 0], fitted

    def gram(self, weights: Float64Array, only: npt.NDArray[np.int64] | None = None) -> Float64Array:
        """(n,) >= 0 -> (r, r): sum_i w_i b_i b_i'. One reading, n d^2; `only` reads these rows, weights are theirs."""
        shards, mask = (self._shards, self._mask) if only is None else ([self._source.take(only)], None)
        gram, total = self._raw_gram(shards, mask, weights)
        if not self.intercept:
            return self._turned(gram)
        whole = float(weights.sum())
        border = total - whole * self._center
        gram = gram - np.outer(border, self._center) - np.outer(self._center, total)
        gram = self._turned(gram)
        border = (border if self._inner is None else border @ self._inner) * self._constant
        return np.block([[gram, border[:, None]], [border[None, :], np.array([[whole * self._constant**2]])]])

    def _turned(self, gram: Float64Array) -> Float64Array:
        """A Gram matrix of rows as they lie, in the new coordinates."""
        if self._inner is None:
            return gram
        return _core.congruence(gram, self._inner) if self._upper else np.asarray(self._inner.T @ gram @ self._inner)

    def penalty(self, factor: float) -> Float64Array:
        """(r, r) K with z' K z = factor |x|^2; the constant goes free."""
        out = np.zeros((self.rank, self.rank))
        if factor == 0:
            return out
        width = self._outer.shape[1]
        out[:width, :width] = factor * (self._outer.T @ self._outer)
        return out

    def coef(self, Z: Float64Array) -> tuple[Float64Array, Float64Array]:
        """(r, c) -> coefficients (d, c) and constants (c,)."""
        width = self._outer.shape[1]
        constant = Z[width] * self._constant if self.intercept else np.zeros(Z.shape[1])
        return self._outer @ Z[:width], constant - self._outer_center @ Z[:width] * self.intercept

    def _split(self, Z: Float64Array) -> tuple[Float64Array, Float64Array | float]:
        """Coefficients of the rows as they lie, and the constant."""
        width = self._outer.shape[1]
        inner = Z[:width] if self._inner is None else self._inner @ Z[:width]
        constant = Z[width] * self._constant - self._center @ inner if self.intercept else 0.0
        return np.ascontiguousarray(inner), constant

    def _join(self, sums: Float64Array, whole: Float64Array) -> Float64Array:
        if self.intercept:
            sums = sums - np.outer(self._center, whole)
        inner = sums if self._inner is None else self._inner.T @ sums
        return np.vstack([inner, whole * self._constant]) if self.intercept else np.asarray(inner)


CURE = "Fix them, or give them no label: rows without one are never read."


def _whitening(gram: Float64Array) -> Float64Array:
    """T (a, r) with T' gram T = I for a Gram matrix of unit columns; r < a where columns are dependent."""
    if gram.shape[0] == 0:
        return np.zeros((0, 0))
    inverse = _core.cholesky_inverse(gram)
    if inverse is not None and np.linalg.norm(inverse) <= _SAFE_CONDITION:
        return inverse
    values, vectors = np.linalg.eigh(gram)
    kept = values > _DEPENDENT * values[-1]
    return np.asarray(vectors[:, kept] / np.sqrt(values[kept]))
