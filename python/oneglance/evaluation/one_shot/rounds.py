"""Iterative baselines: label, fit the heads again, label where they are least sure or agree least."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..._check import positive_int
from ..._types import Float64Array, IntArray

ITERATIVE: Mapping[str, Mapping[str, Any]] = {"entropy": {"rounds": 5}, "qbc": {"rounds": 5}}
"""Names, and their parameters with defaults."""


def label_in_rounds(
    scores: Callable[[IntArray], Float64Array], n_rows: int, start: IntArray, budget: int, rounds: int
) -> IntArray:
    """(budget,) rows picked, in the order of picking, in `rounds` rounds of as equal size as can be.

    scores  (labelled rows so far) -> (n_rows,) how much each row is wanted; it alone meets labels, those of these rows
    start   rows that have a label already, at least one

    A round takes the rows with the largest scores, ties to the lower row. Larger batches cost less and know less.
    """
    labelled = np.asarray(start, dtype=np.int64)
    parts = min(positive_int(rounds, "rounds"), budget)
    for size in (part.size for part in np.array_split(np.arange(budget), parts)):
        wanted = np.asarray(scores(labelled), dtype=np.float64).copy()
        wanted[labelled] = -np.inf
        labelled = np.concatenate([labelled, np.argsort(-wanted, kind="stable")[:size]])
    return labelled[start.size :]


def mean_entropy(probabilities: Sequence[Float64Array]) -> Float64Array:
    """(n,): the mean over heads of the entropy of (n, c) probabilities, nats."""
    return np.asarray(np.mean([-_xlogy(p, p).sum(axis=1) for p in probabilities], axis=0))


def disagreement(probabilities: Sequence[Float64Array]) -> Float64Array:
    """(n,): query by committee, the mean over heads of KL(head || mean of the heads), nats."""
    consensus = np.mean(probabilities, axis=0)
    return np.asarray(np.mean([(_xlogy(p, p) - _xlogy(p, consensus)).sum(axis=1) for p in probabilities], axis=0))


def spread(predictions: Sequence[Float64Array], labelled_targets: Float64Array) -> Float64Array:
    """(n,): query by committee for a regression, the variance over heads of the (n, c) predictions, each target in
    units of its variance over the labelled rows, summed over targets."""
    unit = np.var(labelled_targets, axis=0)
    return np.asarray((np.var(predictions, axis=0) / np.where(unit > 0, unit, 1.0)).sum(axis=1))


def _xlogy(x: Float64Array, y: Float64Array) -> Float64Array:
    """x log y, 0 where x is."""
    return np.asarray(x * np.log(np.where(x > 0, np.maximum(y, np.finfo(np.float64).tiny), 1.0)))
