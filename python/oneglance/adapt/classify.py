"""Classification heads of one backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, FloatArray, IntArray
from ..errors import InvalidInput
from ..search.nearest import knn
from ..solvers.logistic import LogisticFit, logistic_path
from .head import count_votes
from .temperature import best_temperature, log_loss

LAMBDAS: tuple[float, ...] = tuple(float(value) for value in np.logspace(2, -9, 45))
"""The penalties tried: 1 / (n C) for C = 10^linspace(-6, 5, 45) and n = 10^4."""
KS = (1, 3, 5, 9, 15, 25, 50)
"""Numbers of neighbours tried."""

_PRIOR = 3e-4
"""Penalty where nothing can be held out, times the mean squared length of a row."""
_FEW = 4
_TIE = 1e-3
"""Held-out losses (nats per row) closer than this are equal: separable classes gain a little for ever."""
_PATIENCE = 8
"""Penalties (two decades of LAMBDAS) without a smaller held-out loss after which weaker ones are not tried. Those whose
loss is still that of the strongest are not counted."""


@dataclass(frozen=True, eq=False)
class Problem:
    """rows (m, d) scaled; codes (m,) 0..K-1 with every class there; weights (m,) > 0."""

    rows: FloatArray
    codes: IntArray
    n_classes: int
    weights: Float64Array


def make_folds(codes: IntArray, n_folds: int, seed: int, groups: IntArray | None = None) -> IntArray | None:
    """Fold 0..f-1 per row, classes spread evenly, f = min(n_folds, size of the largest class). A class of one row is
    never held out (-1). None where fewer than two classes could be.

    Rows of one class are dealt out in random order, by seed and position in the list alone.
    groups  (n,) rows that belong together (a scene, a patient) are in one fold; sizes are then counted in groups, and
            classes are as even as groups allow
    """
    if groups is not None and np.unique(groups).size < codes.size:
        return _grouped_folds(codes, n_folds, seed, groups)
    sizes = np.bincount(codes)
    n_folds = min(n_folds, int(sizes.max()))
    if n_folds < 2 or np.count_nonzero(sizes > 1) < 2:
        return None
    folds = np.full(codes.size, -1, dtype=np.int64)
    order = np.argsort(uniforms(seed, Purpose.FOLD, np.arange(codes.size)), kind="stable")
    dealt = 0
    for code in np.flatnonzero(sizes > 1):
        own = order[codes[order] == code]
        folds[own] = (dealt + np.arange(own.size)) % n_folds
        dealt += own.size
    used = np.unique(folds[folds >= 0])
    return np.where(folds >= 0, np.searchsorted(used, folds), -1).astype(np.int64)


def _grouped_folds(codes: IntArray, n_folds: int, seed: int, groups: IntArray) -> IntArray | None:
    """The large groups first, each to the fold that has least of its classes, then to the one of fewest rows."""
    names, of = np.unique(groups, return_inverse=True)
    counts = np.zeros((names.size, int(codes.max()) + 1))
    np.add.at(counts, (of, codes), 1)
    holders = np.count_nonzero(counts, axis=0)
    dealt: BoolArray = counts[:, holders == 1].sum(axis=1) == 0
    n_folds = min(n_folds, int(holders.max()), int(np.count_nonzero(dealt)))
    if n_folds < 2 or np.count_nonzero(counts[dealt].sum(axis=0)) < 2:
        return None
    whole = np.maximum(counts.sum(axis=0), 1.0)
    load = np.zeros((n_folds, whole.size))
    fold_of = np.full(names.size, -1, dtype=np.int64)
    random = np.argsort(uniforms(seed, Purpose.FOLD, np.arange(names.size)), kind="stable")
    for group in random[np.argsort(-counts[random].sum(axis=1), kind="stable")].tolist():
        if dealt[group]:
            crowd = np.round((load * counts[group] / whole).sum(axis=1), 9)  # ties are ties on every machine
            fold = np.lexsort((load.sum(axis=1), crowd))[0]
            fold_of[group] = fold
            load[fold] += counts[group]
    return np.asarray(fold_of[of.reshape(-1)])


def fit_linear(
    problem: Problem, lambdas: tuple[float, ...], folds: IntArray | None, tol: float, calibrate: bool, *, prior: bool
) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """Arrays, temperature, evidence. The penalty is the one of least weighted held-out log loss, ties to the larger.

    prior  with fewer than 4 rows per class, or without folds, a penalty of experience, 3e-4 times the mean |x|^2,
           stands in for the list: on so few rows held-out loss asks for the class frequencies and nothing else
    """
    if prior and (folds is None or problem.codes.size < _FEW * problem.n_classes):
        lengths = np.einsum("ij,ij->i", problem.rows, problem.rows, dtype=np.float64)
        lambdas = (_PRIOR * max(float(problem.weights @ lengths / problem.weights.sum()), 1e-300),)
    if folds is None and len(lambdas) > 1:
        raise InvalidInput("lambdas: too few labels to choose by folds, all classes but one have one label. Give one.")
    path = logistic_path(
        problem.rows, problem.codes, problem.n_classes, lambdas, weights=problem.weights, folds=folds, tol=tol
    )
    best: list[tuple[LogisticFit, float]] = []
    losses: list[tuple[float, float]] = []
    since = 0
    for tried in path:
        loss = np.nan if tried.held_out is None else log_loss(tried.held_out, problem.codes, problem.weights)
        losses.append((tried.lambda_, loss))
        since += abs(loss - losses[0][1]) > _TIE  # rows that hardly differ: strong penalties leave the loss as it is
        if not best or loss < best[0][1] - _TIE:
            best, since = [(tried, loss)], 0
        if since >= _PATIENCE:
            break
    fit, held_out_loss = best[0]
    temperature = 1.0
    if calibrate and fit.held_out is not None:
        temperature = best_temperature(fit.held_out, problem.codes, problem.weights)
    info = {
        "lambda": fit.lambda_,
        "held_out_log_loss": None if fit.held_out is None else held_out_loss,
        "tried": [[lam, None if np.isnan(loss) else float(loss)] for lam, loss in losses],
        "n_folds": 0 if folds is None else int(folds.max()) + 1,
        "value": fit.value,
        "gap": fit.gap,
        "n_iter": fit.n_iter,
    }
    return {"coef": fit.coef, "intercept": fit.intercept}, temperature, info


def fit_nearest_mean(problem: Problem) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """Weighted class means; logits -|x - mean|^2 / (2 T), which is linear in x but for what all classes share.

    T from leave-one-out: each row against means without it; classes of one row do not take part.
    """
    rows = np.asarray(problem.rows, dtype=np.float64)
    sums = np.zeros((problem.n_classes, rows.shape[1]))
    np.add.at(sums, problem.codes, rows * problem.weights[:, None])
    whole = np.bincount(problem.codes, problem.weights, problem.n_classes)
    means = sums / whole[:, None]
    square = np.einsum("ij,ij->i", means, means)
    logits = rows @ means.T - 0.5 * square
    left = whole[problem.codes] - problem.weights
    # A row that holds all the weight of its class, up to rounding, is as good as alone in it.
    alone = np.bincount(problem.codes, minlength=problem.n_classes)[problem.codes] < 2
    alone |= left <= 1e-12 * whole[problem.codes]
    own = (sums[problem.codes] - rows * problem.weights[:, None]) / np.where(alone, 1.0, left)[:, None]
    logits[np.arange(len(rows)), problem.codes] = np.einsum("ij,ij->i", own, rows - 0.5 * own)
    logits[alone] = np.nan
    unit = float(np.nanstd(logits)) or 1.0 if not alone.all() else 1.0  # so that the search starts near 1
    temperature = unit * best_temperature(logits / unit, problem.codes, problem.weights)
    return (
        {"coef": means.T / temperature, "intercept": -0.5 * square / temperature},
        1.0,
        {"mean_temperature": temperature},
    )


def fit_neighbours(problem: Problem, k: int | None) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """Keeps the rows that are not zero; k of KS with the largest leave-one-out weighted accuracy, ties to the smaller.

    A row counts in a vote by its closeness alone: a weight says how many a pick stands for, not how sure it is.
    """
    filled = (problem.rows != 0).any(axis=1)
    if not filled.any():
        raise InvalidInput('head="knn" needs rows that are not zero, all labelled rows of a backbone are.')
    rows, codes = np.asarray(problem.rows[filled], dtype=np.float32), problem.codes[filled]
    share = problem.weights[filled] / problem.weights[filled].sum()
    tried: list[list[float]] = []
    if k is None:
        choices = [choice for choice in KS if choice < len(rows)]
        if choices:
            found = knn(rows, choices[-1], metric="cosine")
            for choice in choices:
                guess = count_votes(found, codes, problem.n_classes, choice).argmax(axis=1)
                tried.append([choice, float(share @ (guess == codes))])
        k = int(max(tried, key=lambda pair: pair[1])[0]) if tried else 1
    return {"rows": rows, "codes": codes}, 1.0, {"k": min(k, len(rows)), "tried": tried}
