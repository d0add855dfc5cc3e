"""Multinomial logistic regression along a path of penalties, all folds at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .._types import Float64Array, FloatArray, IntArray
from ..errors import InvalidInput
from .lbfgs import minimise_all

_SMALL = 3e7
"""Multiply-adds of a product (n d K) up to which it is done in float64: it costs little and rounds nothing away."""


@dataclass(frozen=True, slots=True, eq=False)
class LogisticFit:
    """The fit of one penalty; logits are `X @ coef + intercept`.

    coef (d, K), intercept (K,) float64, from all rows      lambda_  the penalty      value  the objective
    gap       proven bound on value - minimum, |gradient of coef|^2 / (2 lambda), up to the gradient of the intercept
    n_iter    most steps of a problem
    held_out  (n, K) float64 logits of every row by the fit that did not see it, NaN for rows never held out, -inf for
              classes that fit never saw; None without folds
    """

    coef: Float64Array
    intercept: Float64Array
    lambda_: float
    value: float
    gap: float
    n_iter: int
    held_out: Float64Array | None


def logistic_path(
    X: FloatArray,
    codes: IntArray,
    n_classes: int,
    lambdas: Sequence[float],
    *,
    weights: Float64Array | None = None,
    folds: IntArray | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
) -> Iterator[LogisticFit]:
    """Minimises  sum_i s_i CE(x_i W + b, codes_i) + lambda / 2 |W|^2,  sum s = 1, penalty after penalty.

    X        (n, d) float32 or float64 rows, in memory; products are in its type (small ones in float64), sums and
             coefficients float64
    codes    (n,) classes 0..K-1, each there at least once; weights (n,) >= 0, only ratios matter
    lambdas  > 0, any order; fits come from the strongest to the weakest, each starting where the last two point to.
             lambda = 1 / (n C) in scikit-learn's words
    folds    (n,) fold 0, 1, ... of every row, -1 for rows that are never held out: then every penalty has a problem
             per fold and one with all rows, and they share every product with X
    tol      value - minimum wanted, relative to the value (to 1e-3 if that is more), judged by the estimate
             g' H^-1 g / 2 <= tol value / 100; in float32 no closer than the value is rounded

    The rows are rotated once onto the eigenvectors of their weighted Gram matrix: for n < d that makes them few, and
    there the Hessian is nearly diagonal, which L-BFGS starts from. Cost: n d min(n, d) once, then 4 n d K
    (folds + 1) flops per step, 5-40 steps per penalty. Memory: X three times at first, once later, and 25 (d, K) per
    problem. Raises InvalidInput (lambdas).
    Source: Liu and Nocedal 1989 for L-BFGS; warm starts along the path as in the probes of DINOv2 and LP-FT.
    """
    order = sorted(lambdas, reverse=True)
    if not order or not all(np.isfinite(value) and value > 0 for value in order):
        raise InvalidInput(f"lambdas must be finite numbers > 0, at least one, got {list(lambdas)[:5]}.")
    return _walk(_Batch(X, codes, n_classes, weights, folds), order, tol, max_iter)


def _walk(problem: _Batch, lambdas: list[float], tol: float, max_iter: int) -> Iterator[LogisticFit]:
    theta, older = problem.start(), None
    for lam in lambdas:
        guess = theta if older is None else problem.better(theta, 2.0 * theta - older, lam)
        older, theta = theta, guess
        n_iter = np.zeros(len(theta), dtype=np.int64)
        for _ in range(3):  # the estimate of what is left is as good as the curvatures: judged again by those found
            theta, more = minimise_all(
                lambda t, at, lam=lam: problem.loss(t, at, lam),  # type: ignore[misc]
                theta,
                problem.inverse_hessian(lam),
                0.01 * tol,  # it is off by some factor all the same where classes are all but separated
                max_iter,
            )
            n_iter += more
            fit = problem.fit(theta, lam, int(n_iter.max()))
            if not more.any():
                break
        yield fit


class _Batch:
    """Problems that differ in their row weights only. theta (B, r + 1, K) in rotated coordinates, constant last."""

    def __init__(
        self, X: FloatArray, codes: IntArray, n_classes: int, weights: Float64Array | None, folds: IntArray | None
    ) -> None:
        small = X.size * n_classes <= _SMALL
        self.dtype = np.dtype(np.float64 if X.dtype == np.float64 or small else np.float32)
        n_rows = X.shape[0]
        s = np.ones(n_rows) if weights is None else np.asarray(weights, dtype=np.float64)
        self.folds = folds
        kept = [s] if folds is None else [np.where(folds == f, 0.0, s) for f in range(int(folds.max()) + 1)] + [s]
        self.share = np.stack([one / one.sum() for one in kept])  # (B, n)
        self.codes, self.n_classes = codes, n_classes
        mean = self.share[-1] @ X
        centred = X.astype(np.float64) - mean
        scaled = centred * np.sqrt(self.share[-1])[:, None]
        wide = n_rows <= X.shape[1]
        square, vectors = np.linalg.eigh(scaled @ scaled.T if wide else scaled.T @ scaled)
        kept_dims = square > 1e-12 * max(float(square[-1]), 1e-300)
        self.spread = square[kept_dims]
        self.basis = vectors[:, kept_dims]
        if wide:
            self.basis = scaled.T @ self.basis / np.sqrt(self.spread)
        self.mean = mean
        self.rows = np.empty((n_rows, self.spread.size + 1), dtype=self.dtype)
        self.rows[:, :-1] = centred @ self.basis
        self.rows[:, -1] = 1.0
        self.seen = np.stack([np.bincount(codes, one, n_classes) > 0 for one in self.share])  # (B, K)
        self.curve = np.stack(
            [_curvature(np.asarray(np.bincount(codes, one, n_classes), np.float64)) for one in self.share]
        )

    def start(self) -> Float64Array:
        """Class frequencies, no features: the answer for an infinite penalty."""
        theta = np.zeros((len(self.share), self.rows.shape[1], self.n_classes))
        for at, one in enumerate(self.share):
            theta[at, -1] = np.log(np.maximum(np.bincount(self.codes, one, self.n_classes), 1e-12))
        return theta

    def loss(
        self, theta: Float64Array, at: IntArray, lam: float, *, curve: bool = False
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Values (b,), gradients (b, r + 1, K), rounding of values (b,); two products for all problems `at` together.

        curve  note the mean p (1 - p) of every class for `inverse_hessian`
        """
        width, n_classes = self.rows.shape[1], self.n_classes
        values, noise = np.empty(len(at)), np.empty(len(at))
        unit = 2.0**-52 if self.dtype == np.float64 else 2.0**-23
        flat = np.ascontiguousarray(theta.transpose(1, 0, 2).reshape(width, -1), dtype=self.dtype)
        logits = self.rows @ flat
        every = np.arange(self.rows.shape[0])
        for b, problem in enumerate(at):
            block = logits[:, b * n_classes : (b + 1) * n_classes]
            share = self.share[problem]
            top = block.max(axis=1, keepdims=True)
            block -= top
            own = block[every, self.codes].astype(np.float64)
            np.exp(block, out=block)
            whole = block.sum(axis=1, dtype=np.float64)
            values[b] = share @ (np.log(whole) - own)
            # A loss below 1 is rounded relative to itself; rounding of rows is like coin tosses, so that of the mean
            # falls with the root of their number.
            noise[b] = 4.0 * unit * (1.0 + float(share @ np.abs(top[:, 0]))) * min(1.0, float(values[b]))
            noise[b] *= float(np.sqrt(share @ share))
            if curve:
                block /= whole.astype(self.dtype)[:, None]
                self.curve[problem] = np.maximum((share @ block) - share @ np.square(block), 1e-9)
                whole = np.ones_like(whole)
            block *= (share / whole).astype(self.dtype)[:, None]
            block[every, self.codes] -= share.astype(self.dtype)
        slopes = (self.rows.T @ logits).astype(np.float64).reshape(width, len(at), n_classes).transpose(1, 0, 2)
        slopes[:, :-1] += lam * theta[:, :-1]
        values += 0.5 * lam * np.square(theta[:, :-1]).sum(axis=(1, 2))
        return values, np.ascontiguousarray(slopes), noise

    def inverse_hessian(self, lam: float) -> Float64Array:
        """(B, r + 1, K): diagonal guess, from the mean p (1 - p) of every class at the last penalty's answer."""
        spread = np.append(self.spread, 1.0)[None, :, None]
        penalty = np.append(np.full(self.spread.size, lam), 0.0)[None, :, None]
        return np.asarray(1.0 / (spread * self.curve[:, None, :] + penalty))

    def better(self, one: Float64Array, other: Float64Array, lam: float) -> Float64Array:
        """Per problem, the start with the lower value."""
        every = np.arange(len(one))
        worse = self.loss(one, every, lam)[0] <= self.loss(other, every, lam)[0]
        return np.where(worse[:, None, None], one, other)

    def fit(self, theta: Float64Array, lam: float, n_iter: int) -> LogisticFit:
        """The last problem in the caller's coordinates, and the logits of rows by problems that did not see them."""
        values, slopes, _ = self.loss(theta, np.arange(len(theta)), lam, curve=True)
        coef = self.basis @ theta[-1, :-1]
        gap = float(np.square(slopes[-1, :-1]).sum()) / (2.0 * lam)
        held_out = None
        if self.folds is not None:
            held_out = np.full((self.rows.shape[0], self.n_classes), np.nan)
            for fold in range(len(theta) - 1):
                rows = self.folds == fold
                held_out[rows] = self.rows[rows] @ theta[fold].astype(self.dtype)
                held_out[np.ix_(rows, ~self.seen[fold])] = -np.inf
        constant = theta[-1, -1] - self.mean @ coef
        return LogisticFit(coef, constant - constant.mean(), lam, float(values[-1]), gap, n_iter, held_out)


def _curvature(share: Float64Array) -> Float64Array:
    """Mean of p (1 - p) when every row is given the class frequencies; classes without rows get that of the rarest."""
    rarest = share[share > 0].min() if (share > 0).any() else 1.0
    p = np.clip(np.maximum(share, rarest), 1e-6, 0.5)
    return np.asarray(p * (1.0 - p))
