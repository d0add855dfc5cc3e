"""How good heads are, from the labels that they are fitted on: each item judged by heads that have not seen it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._types import BoolArray, IntArray
from ...adapt import Heads, fit_heads
from ...adapt.classify import make_folds
from ..trial import mean_dict, share_dict
from .base import Known


@dataclass(frozen=True, eq=False)
class Judged:
    """Accuracy of the mean of all heads on items held out in turn.

    accuracy   the share named right, with its interval          by_backbone  of each head alone
    majority   the same of always naming the largest class of the other items
    gain       accuracy less majority, in pairs                  n  items held out (a class of one label never is)
    right      (n,) named right, in the order of the rows; None of all these where too few labels could be held out
    groups     (n,) numbers of those, None where there are none
    """

    accuracy: Mapping[str, float] | None
    majority: float | None
    gain: Mapping[str, float] | None
    by_backbone: Mapping[str, float]
    n: int
    right: BoolArray
    groups: IntArray | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "majority": self.majority,
            "gain": self.gain,
            "by_backbone": dict(self.by_backbone),
            "n": self.n,
        }


def fit(source: Any, known: Known, settings: Mapping[str, Any]) -> Heads:
    """og.fit_heads of these labels."""
    values = np.array([*known.labels.tolist(), None], dtype=object)[:-1]
    picked = {int(row): label for row, label in zip(known.rows, values, strict=True)}
    return fit_heads(source, picked, known.rows, weights=known.weights, **settings)


def cross_validated(source: Any, known: Known, settings: Mapping[str, Any], level: float) -> Judged:
    """Folds as og.fit_heads makes them, but groups held out as wholes; inside each the penalty is chosen anew. Cost:
    `folds` fits.

    Picks are not drawn like the pool: this compares methods on the same picks and says whether anything was learnt;
    what the pool's accuracy is, a test set says.
    """
    codes = np.unique(known.labels.astype(str), return_inverse=True)[1].astype(np.int64)
    folds = make_folds(codes, int(settings["folds"]), int(settings["seed"]), known.groups)
    if folds is None:
        return Judged(None, None, None, {}, 0, np.empty(0, dtype=np.bool_))
    right = np.zeros(codes.size, dtype=np.bool_)
    plain = np.zeros(codes.size, dtype=np.bool_)
    hits: Counter[str] = Counter()
    for fold in range(int(folds.max()) + 1):
        inside, outside = folds != fold, folds == fold
        heads = fit(source, known.part(inside), settings)
        rows, truth = known.rows[outside], known.labels[outside]
        right[outside] = heads.predict_ensemble(source, rows=rows) == truth
        plain[outside] = largest(known.labels[inside]) == truth
        for name, guess in heads.predict(source, rows=rows).items():
            hits[name] += int(np.count_nonzero(guess == truth))
    held = folds >= 0
    n = int(np.count_nonzero(held))
    groups = None if known.groups is None else known.groups[held]
    gain = right[held].astype(np.float64) - plain[held]
    n_right, n_units = int(np.count_nonzero(right[held])), n if groups is None else np.unique(groups).size
    accuracy = share_dict(round(n_right * n_units / n), n_units, level)  # as many draws as there are groups
    return Judged(
        {**accuracy, "mean": n_right / n},
        float(plain[held].mean()),
        mean_dict(gain, level, groups=groups),
        {name: hits[name] / n for name in heads},
        n,
        right[held],
        groups,
    )


def largest(labels: Any) -> str:
    """The most frequent label, ties to the first in order."""
    counts: Counter[str] = Counter(labels.tolist())
    return min(counts, key=lambda name: (-counts[name], name))
