"""Heads as probes: fitted on the picked labels, they name a class for every test row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .._types import Float64Array, FloatArray, IntArray
from .heads import one_hot

KS = (1, 3, 5, 9, 15)
"""Numbers of neighbours that the kNN head tries."""

RIDGE_PENALTY = 1.0
"""Penalty of the ridge head, for features of unit spread. Fixed: leave-one-out cannot judge penalties where classes
have one or two labels (a row left out takes its class along), and then asks for so much that the largest class wins
everywhere; it was no better at any budget up to 10 labels per class."""

DECAY = 3e-4
"""Penalty of the linear head, for rows of unit length: half of it times the sum of the squared coefficients."""

Probe: TypeAlias = Callable[[FloatArray, IntArray, "Float64Array | None", FloatArray], IntArray]
"""(rows (m, d), classes (m,), weights (m,) or None, test rows (t, d)) -> classes (t,).

Rows at unit length per backbone (`UnitLength`). Nothing but the picked labels chooses penalties and neighbours.
"""


def ridge_probe(rows: FloatArray, labels: IntArray, weights: Float64Array | None, test: FloatArray) -> IntArray:
    """Least squares to one-hot classes (`ridge_coefficients`); the class with the largest output."""
    seen, codes = np.unique(labels, return_inverse=True)
    coef, intercept = ridge_coefficients(rows, codes, seen.size, weights)
    guess = test @ coef.astype(test.dtype) + intercept.astype(test.dtype)
    return np.asarray(seen[guess.argmax(axis=1)], dtype=np.int64)


def ridge_coefficients(
    rows: FloatArray, codes: IntArray, n_classes: int, weights: Float64Array | None
) -> tuple[Float64Array, Float64Array]:
    """coef (d, c) and intercept (c,) of least squares to one-hot classes, with the fixed `RIDGE_PENALTY`."""
    n_rows, width = rows.shape
    share = np.full(n_rows, 1.0 / n_rows) if weights is None else weights / weights.sum()
    mean = share @ rows.astype(np.float64)
    root = np.sqrt(share)[:, None]
    x = root * (rows - mean)
    y = one_hot(codes, n_classes)
    average = share @ y
    y = root * (y - average)
    penalty = RIDGE_PENALTY / width  # rows of unit length have features of mean square 1 / width
    if n_rows <= width:
        coef = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(n_rows), y)
    else:
        coef = np.linalg.solve(x.T @ x + penalty * np.eye(width), x.T @ y)
    return coef, average - mean @ coef


def linear_probe(rows: FloatArray, labels: IntArray, weights: Float64Array | None, test: FloatArray) -> IntArray:
    """Multinomial logistic regression with an intercept and the fixed penalty `DECAY`; weights go into the loss."""
    seen, codes = np.unique(labels, return_inverse=True)
    if seen.size == 1:
        return np.full(test.shape[0], seen[0], dtype=np.int64)
    coef, intercept = fit_logistic(rows, codes, seen.size, weights)
    guess = test @ coef.astype(test.dtype) + intercept.astype(test.dtype)
    return np.asarray(seen[guess.argmax(axis=1)], dtype=np.int64)


def knn_probe(rows: FloatArray, labels: IntArray, weights: Float64Array | None, test: FloatArray) -> IntArray:
    """Vote of the k rows with the largest cosine, equal votes to the closer ones; k from `KS` by leave-one-out.

    Votes count alike whatever the weights: a weight says how many a pick stands for, not how sure it is.
    """
    among = rows @ rows.T
    np.fill_diagonal(among, -np.inf)
    best_k, best_hits = 1, -1
    for k in KS:
        if k < len(labels):
            hits = int((_vote(among, labels, k) == labels).sum())
            if hits > best_hits:
                best_k, best_hits = k, hits
    return _vote(test @ rows.T, labels, best_k)


def _vote(cosines: FloatArray, labels: IntArray, k: int) -> IntArray:
    """(t, m) cosines -> (t,) classes."""
    seen, codes = np.unique(labels, return_inverse=True)
    if k == 1:
        return np.asarray(labels[cosines.argmax(axis=1)], dtype=np.int64)
    near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    closeness = np.take_along_axis(cosines, near, axis=1)
    votes = np.zeros((len(cosines), seen.size))
    # A cosine, a sum over backbones at most, decides only between equal numbers of votes.
    np.add.at(votes, (np.arange(len(cosines))[:, None], codes[near]), 1.0 + 1e-3 * closeness)
    return np.asarray(seen[votes.argmax(axis=1)], dtype=np.int64)


PROBES: dict[str, Probe] = {"ridge": ridge_probe, "linear": linear_probe, "knn": knn_probe}


def fit_logistic(
    X: FloatArray,
    codes: IntArray,
    n_classes: int,
    weights: npt.ArrayLike | None = None,
    *,
    decay: float = DECAY,
    max_iter: int = 100,
    tol: float = 1e-3,
) -> tuple[FloatArray, FloatArray]:
    """coef (d, c) and intercept (c,) that minimise  mean_i w_i CE_i + decay / 2 |coef|^2, by L-BFGS from zero.

    Stops when no entry of the gradient exceeds tol times the largest one at the start. In X's own precision. The
    optimum is that of `solvers.logistic_path`; this stops well before it, because accuracy no longer changes there,
    and does without the rotation of the rows that pays for paths of penalties and costs more than one such fit.
    """
    n_rows, width = X.shape
    dtype = X.dtype if X.dtype == np.float64 else np.dtype(np.float32)
    if 2 * n_rows < width:  # coefficients lie in the span of the rows: the same problem in fewer dimensions
        square, vectors = np.linalg.eigh(X.astype(np.float64) @ X.T.astype(np.float64))
        kept = square > 1e-9 * square[-1]
        lengths = np.sqrt(square[kept])
        inner = (vectors[:, kept] * lengths).astype(dtype)
        coef, intercept = fit_logistic(inner, codes, n_classes, weights, decay=decay, max_iter=max_iter, tol=tol)
        return (X.T @ (vectors[:, kept] / lengths) @ coef).astype(dtype), intercept
    rows = np.concatenate([X.astype(dtype), np.ones((n_rows, 1), dtype=dtype)], axis=1)
    share = np.full(n_rows, 1.0 / n_rows) if weights is None else np.asarray(weights, dtype=np.float64)
    share = (share / share.sum()).astype(dtype)[:, None]
    wanted = one_hot(codes, n_classes).astype(dtype)
    shrink = np.full((width + 1, 1), decay, dtype=dtype)
    shrink[-1] = 0.0  # the intercept is free

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        logits = rows @ theta
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        total = powers.sum(axis=1, keepdims=True)
        value = float((share[:, 0] * (np.log(total[:, 0]) - (logits * wanted).sum(axis=1))).sum())
        slope = rows.T @ ((powers / total - wanted) * share) + shrink * theta
        return value + 0.5 * float((shrink * np.square(theta)).sum()), slope

    theta = _lbfgs(loss, np.zeros((width + 1, n_classes), dtype=dtype), max_iter, tol)
    return theta[:-1], theta[-1]


def _lbfgs(
    loss: Callable[[FloatArray], tuple[float, FloatArray]], theta: FloatArray, max_iter: int, tol: float
) -> FloatArray:
    """Minimiser of a smooth convex loss: limited-memory BFGS (8 pairs) with halving of the step (Armijo)."""
    value, slope = loss(theta)
    enough = tol * float(np.abs(slope).max())
    slack = 4.0 * float(np.finfo(theta.dtype).eps)  # of the loss itself
    pairs: list[tuple[FloatArray, FloatArray, float]] = []
    for _ in range(max_iter):
        if float(np.abs(slope).max()) <= enough:
            break
        step = _direction(slope, pairs)
        descent = float(np.vdot(step, slope))
        if descent >= 0:  # rounding has spoilt the memory
            pairs, step = [], -slope
            descent = float(np.vdot(step, slope))
        length = 1.0 if pairs else 1.0 / max(1e-12, float(np.sqrt(np.vdot(slope, slope))))
        while True:
            new = theta + theta.dtype.type(length) * step
            new_value, new_slope = loss(new)
            if new_value <= value + 1e-4 * length * descent + slack * abs(value):
                break
            length /= 2
            if length < 1e-8:
                return theta  # as far as this precision goes
        moved, turned = new - theta, new_slope - slope
        curvature = float(np.vdot(moved, turned))
        if curvature > 0:
            pairs = [*pairs[-7:], (moved, turned, curvature)]
        theta, value, slope = new, new_value, new_slope
    return theta


def _direction(slope: FloatArray, pairs: list[tuple[FloatArray, FloatArray, float]]) -> FloatArray:
    """- H slope by the two loops of L-BFGS."""
    kind = slope.dtype.type
    step = -slope
    factors = []
    for moved, turned, curvature in reversed(pairs):
        factor = float(np.vdot(moved, step)) / curvature
        factors.append(factor)
        step = step - kind(factor) * turned
    if pairs:
        _, turned, curvature = pairs[-1]
        step = step * kind(curvature / float(np.vdot(turned, turned)))
    for (moved, turned, curvature), factor in zip(pairs, reversed(factors), strict=True):
        step = step + kind(factor - float(np.vdot(turned, step)) / curvature) * moved
    return step
