"""Linear heads on frozen features: a weighted ridge in closed form, and its score on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import Float64Array, FloatArray, IntArray
from ..adapt.spread import Spread as Scaling
from ..errors import InvalidInput

__all__ = ["HeadScore", "RidgeHead", "Scaling", "fit_ridge_head", "one_hot", "plain_pool_mse", "score_head"]

PENALTIES: tuple[float, ...] = tuple(float(value) for value in np.logspace(-4, 3, 22))
"""The ridge penalties tried, each for features of unit spread."""


@dataclass(frozen=True, slots=True, eq=False)
class RidgeHead:
    """Predictions are `X @ coef + intercept`.

    coef (d, c), intercept (c,); penalty: the one chosen; left_out_error: weighted mean over the fitted rows
    of the squared error of each row predicted from the others, summed over the c columns.
    """

    coef: Float64Array
    intercept: Float64Array
    penalty: float
    left_out_error: float

    def predict(self, X: FloatArray) -> Float64Array:
        """(m, d) -> (m, c)."""
        out: Float64Array = np.asarray(X, dtype=np.float64) @ self.coef + self.intercept
        return out


@dataclass(frozen=True, slots=True)
class HeadScore:
    """accuracy: share of rows whose largest output is their class; mse: mean of |prediction - one-hot|^2."""

    accuracy: float
    mse: float


def one_hot(labels: IntArray, n_classes: int) -> Float64Array:
    """Classes (n,) in 0..n_classes-1 -> (n, n_classes) of zeros and ones."""
    codes = np.asarray(labels)
    if codes.ndim != 1 or codes.dtype.kind not in "iu":
        raise InvalidInput(
            f"labels must be a 1-D integer array, got {codes.dtype} of shape {codes.shape}. "
            "For names use numpy.unique(names, return_inverse=True)[1]."
        )
    if codes.size and (codes.min() < 0 or codes.max() >= n_classes):
        raise InvalidInput(f"labels must lie in 0..{n_classes - 1}, got {codes.min()}..{codes.max()}.")
    return np.eye(n_classes)[codes]


def fit_ridge_head(
    X: FloatArray,
    targets: FloatArray,
    weights: npt.ArrayLike | None = None,
    *,
    penalties: tuple[float, ...] = PENALTIES,
) -> RidgeHead:
    """Weighted least squares with an intercept and a ridge penalty chosen by leave-one-out on the same rows.

    X        (m, d) features of the labelled rows, scaled (`Scaling`)
    targets  (m, c) what to predict; one-hot rows for classes
    weights  (m,) > 0 importance weights, or None for all equal; only their ratios matter

    Minimises  mean_i w_i |x_i B + b - y_i|^2 + penalty |B|^2  with mean weight 1. The rule for the penalty is
    fixed: of `penalties`, the one with the smallest weighted leave-one-out error, which the hat matrix gives
    exactly and without further fits; ties go to the larger penalty. No held-out label is used.
    Cost: one symmetric eigenproblem of size min(m, d). Errors: InvalidInput.
    """
    rows, wanted = np.asarray(X, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if rows.ndim != 2 or wanted.ndim != 2 or rows.shape[0] != wanted.shape[0] or rows.shape[0] == 0:
        raise InvalidInput(
            "X must be (m, d) and targets (m, c) with the same m >= 1, "
            f"got shapes {rows.shape} and {wanted.shape}. Use one_hot(labels, n_classes) for classes."
        )
    share = _shares(weights, rows.shape[0])
    x_mean, y_mean = share @ rows, share @ wanted
    root = np.sqrt(share)[:, None]
    centred, residual_target = (rows - x_mean) * root, (wanted - y_mean) * root
    wide = rows.shape[0] <= rows.shape[1]
    square, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    square = np.maximum(square, 0.0)
    basis = vectors if wide else centred @ vectors
    loadings = basis.T @ residual_target
    best: tuple[float, float] | None = None
    for penalty in sorted(penalties, reverse=True):
        shrink = (square if wide else 1.0) / (square + penalty)
        kept = 1.0 - np.square(basis) @ shrink - share
        error = (residual_target - basis @ (shrink[:, None] * loadings)) / np.maximum(kept, 1e-9)[:, None]
        left_out = float(np.square(error).sum())
        if best is None or left_out < best[0]:
            best = left_out, penalty
    if best is None:
        raise InvalidInput("penalties must hold at least one number, got none.")
    left_out, penalty = best
    solution = vectors @ (loadings / (square + penalty)[:, None])
    coef = centred.T @ solution if wide else solution
    return RidgeHead(coef, y_mean - x_mean @ coef, penalty, left_out)


def plain_pool_mse(
    X: FloatArray, targets: FloatArray, indices: IntArray, weights: npt.ArrayLike | None = None
) -> float:
    """What the theory of Lewis weights bounds: error on the whole pool of a head without penalty.

    X (n, d) the pool's features as they are, targets (n, c), indices (m,) the picks, weights (m,) or None.
    The head is the weighted least squares solution on the picks, without intercept, of least norm where there
    are several: (1) of arXiv 2405.14121 with p = 2 and f the identity. Returns the mean over all n rows of
    |x_i B - y_i|^2, which is smallest for indices = all rows. Cost: one SVD (m, d) and n d c.
    """
    rows, wanted = np.asarray(X, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    root = np.sqrt(_shares(weights, len(indices)))[:, None]
    coef = np.linalg.lstsq(rows[indices] * root, wanted[indices] * root, rcond=None)[0]
    return float(np.square(rows @ coef - wanted).sum(axis=1).mean())


def score_head(head: RidgeHead, X: FloatArray, labels: IntArray) -> HeadScore:
    """A classification head on rows X (m, d) with classes `labels` (m,). Ties go to the lowest class."""
    guess = head.predict(X)
    wanted = one_hot(labels, guess.shape[1])
    hits = guess.argmax(axis=1) == np.asarray(labels)
    return HeadScore(float(hits.mean()), float(np.square(guess - wanted).sum(axis=1).mean()))


def _shares(weights: Any, n_rows: int) -> Float64Array:
    """Weights that sum to 1."""
    if weights is None:
        return np.full(n_rows, 1.0 / n_rows)
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (n_rows,) or not np.isfinite(values).all() or (values <= 0).any():
        raise InvalidInput(
            f"weights must be {n_rows} finite numbers > 0, one per row of X, got shape {values.shape}"
            + (f" with smallest value {values.min():g}." if values.size else ".")
        )
    out: Float64Array = values / values.sum()
    return out
