"""Heads of the one-shot protocol: fitted on labelled rows, they answer for others, and their losses per row."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..._types import Float64Array, FloatArray, IntArray
from ...solvers import logistic_path, lp_regression
from ..heads import fit_ridge_head, one_hot
from ..probes import DECAY, ridge_coefficients

CLASSIFIERS = ("linear", "ridge")
REGRESSORS = ("ridge", "unpenalised")

Answer: TypeAlias = Callable[[FloatArray], Float64Array]
"""rows (m, d) -> outputs (m, n_outputs)"""


@dataclass(frozen=True, slots=True)
class Task:
    """What the heads of all backbones learn.

    head       classification, on rows at unit length and with the fixed penalties of `probes`: "linear", multinomial
               logistic regression, outputs are probabilities; "ridge", least squares to one-hot classes, outputs are
               its values. Regression, on features of unit spread, outputs are predictions: "ridge", the penalty by
               leave-one-out; "unpenalised", as the theory has it, of least norm where labels are fewer than features
    p          of the regression's loss |r|^p, finite
    n_outputs  classes, or target columns
    """

    regression: bool
    head: str
    p: float
    n_outputs: int

    @property
    def metrics(self) -> tuple[str, ...]:
        """Of test rows, and for a regression of all rows of the pool: what the theory of Lewis weights bounds."""
        return ("loss", "pool_loss") if self.regression else ("loss", "accuracy")

    @property
    def loss_name(self) -> str:
        """The loss in words."""
        if self.regression:
            return f"|error|^{self.p:g} of targets at unit spread"
        return "log loss" if self.head == "linear" else "squared error to one-hot classes"

    def fit(self, rows: FloatArray, labels: Any, weights: Float64Array | None) -> Answer:
        """A head. labels (m,) codes or (m, c) targets; weights (m,) > 0, only ratios matter, None: all equal."""
        if self.regression:
            return _linear(*_fit_lp(rows, labels, weights, self.p, self.head == "ridge"))
        seen, codes = np.unique(labels, return_inverse=True)
        if self.head == "ridge":
            coef, constant = ridge_coefficients(rows, codes, seen.size, weights)
            return _linear(*_all_columns(coef, constant, seen, self.n_outputs))
        if seen.size == 1:
            coef, constant = np.zeros((rows.shape[1], 1)), np.zeros(1)
        else:
            fit = next(logistic_path(rows, codes, seen.size, [DECAY], weights=weights))
            coef, constant = fit.coef, fit.intercept
        logits, n_rows = _linear(coef, constant), len(labels)
        return lambda new: all_classes(_softmax(logits(new)), seen, self.n_outputs, n_rows)

    def losses(self, outputs: Float64Array, labels: Any) -> dict[str, Float64Array]:
        """Per row: "loss", and for classification "accuracy" (1 where the largest output is the class, ties low)."""
        if self.regression:
            return {"loss": (np.abs(outputs - labels) ** self.p).mean(axis=1)}
        hits = (outputs.argmax(axis=1) == labels).astype(np.float64)
        if self.head == "ridge":
            return {"loss": np.square(outputs - one_hot(labels, self.n_outputs)).sum(axis=1), "accuracy": hits}
        own = outputs[np.arange(len(labels)), labels]
        return {"loss": -np.log(np.maximum(own, np.finfo(np.float64).tiny)), "accuracy": hits}

    def probabilities(self, outputs: Float64Array) -> Float64Array:
        """Outputs of a classifier as probabilities; those of "ridge" cut at 1e-6 and scaled to sum 1."""
        if self.head == "linear":
            return outputs
        kept = np.maximum(outputs, 1e-6)
        return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def all_classes(probabilities: Float64Array, seen: IntArray, n_classes: int, n_labels: int) -> Float64Array:
    """(m, n_classes): classes without a label get half a label's share each, the same rule for all strategies.

    With probability 0 a single test row of such a class would make the log loss infinite.
    """
    n_missing = n_classes - seen.size
    share = 0.5 / (n_labels + 0.5 * n_missing)
    out = np.full((len(probabilities), n_classes), share)
    out[:, seen] = probabilities * (1.0 - share * n_missing)
    return out


def imbalance(labels: IntArray, n_classes: int) -> tuple[float, int]:
    """Largest over smallest number of labels of a class, and how many classes have none; then the ratio is inf."""
    counts = np.bincount(labels, minlength=n_classes)
    n_missing = int((counts == 0).sum())
    return (float("inf") if n_missing else float(counts.max() / counts.min())), n_missing


def _fit_lp(
    rows: FloatArray, targets: Float64Array, weights: Float64Array | None, p: float, penalised: bool
) -> tuple[Float64Array, Float64Array]:
    """p = 2: ridge by leave-one-out. Other p: that penalty, turned into one of |r|^p by the slope of the loss where
    r is the left-out error."""
    ridge = 0.0
    if penalised:
        head = fit_ridge_head(rows, targets, weights)
        if p == 2:
            return head.coef, head.intercept
        spread = max(float(np.sqrt(head.left_out_error / targets.shape[1])), 1e-12)
        ridge = head.penalty * p / 2 * spread ** (p - 2)
    fit = lp_regression(rows, targets, p, weights=weights, ridge=ridge, intercept=True, tol=1e-6)
    if not fit.converged.all():
        gap = float((fit.gap / np.maximum(fit.value, 1e-300)).max())
        warnings.warn(f"a head with p={p:g} stopped at a relative gap of {gap:.1e}, asked for 1e-6", stacklevel=2)
    return fit.coef, fit.intercept


def _linear(coef: FloatArray, constant: FloatArray) -> Answer:
    def answer(rows: FloatArray) -> Float64Array:
        return np.asarray(rows @ coef.astype(rows.dtype) + constant, dtype=np.float64)

    return answer


def _all_columns(
    coef: Float64Array, constant: Float64Array, seen: IntArray, n_classes: int
) -> tuple[Float64Array, Float64Array]:
    """Classes without a label get the value 0."""
    if seen.size == n_classes:
        return coef, constant
    wide, shifts = np.zeros((len(coef), n_classes)), np.zeros(n_classes)
    wide[:, seen], shifts[seen] = coef, constant
    return wide, shifts


def _softmax(logits: Float64Array) -> Float64Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
