"""One cell of the protocol: what one selection was worth to the heads of all backbones."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._types import Float64Array

PLAIN, WEIGHTED, PAPER = "plain", "weighted", "paper"
WEIGHTINGS = (PLAIN, WEIGHTED, PAPER)
"""How labelled rows count in the heads' loss, of strategies that know inclusion probabilities which are not all equal:
"plain" all alike; "weighted" an initial label 1, a pick its weight times picks / unlabelled rows, which is 1 on
average for random picks; "paper" an initial label 1, a pick its weight, as in Algorithm 1 of arXiv 2405.14121."""


def loss_weights(weighting: str, weights: Float64Array, n_initial: int, n_unlabelled: int) -> Float64Array | None:
    """(n_initial + picks,) factors of the loss, initial labels first.

    weights  the picks' own: their weighted sum stands for the unlabelled rows. For random initial labels "weighted" and
             "paper" both give sums that are right on average for the whole pool; "paper" makes little of the initial
             labels where picks are few, as one stands for itself and a pick for many
    """
    if weighting == PLAIN:
        return None
    factor = weights.size / n_unlabelled if weighting == WEIGHTED else 1.0
    return np.concatenate([np.ones(n_initial), weights * factor])


@dataclass(frozen=True, slots=True, eq=False)
class OneShotCell:
    """scores     weighting -> metric -> one value per backbone's head
    rows       weighting -> metric -> bytes of (n_test,) float32, mean over heads
    imbalance  (largest / smallest number of labels of a class or None if one has none, classes without a label);
               None for a regression
    picks      hash of the picked positions
    weights_s, sampling_s, heads_s   seconds: weights that all budgets of a seed share, the rest of the selection
               (of iterative baselines: rounds with their heads), and fits and answers of all heads
    """

    scores: Mapping[str, Mapping[str, list[float]]]
    rows: Mapping[str, Mapping[str, bytes]]
    imbalance: tuple[float | None, int] | None
    picks: str
    weights_s: float
    sampling_s: float
    heads_s: float

    def as_json(self) -> dict[str, Any]:
        return {
            "scores": self.scores,
            "rows": {
                weighting: {metric: base64.b64encode(values).decode() for metric, values in found.items()}
                for weighting, found in self.rows.items()
            },
            "imbalance": self.imbalance,
            "picks": self.picks,
            "seconds": [self.weights_s, self.sampling_s, self.heads_s],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> OneShotCell:
        found = value["imbalance"]
        return cls(
            {
                str(weighting): {metric: [float(v) for v in values] for metric, values in scores.items()}
                for weighting, scores in value["scores"].items()
            },
            {
                str(weighting): {metric: base64.b64decode(text) for metric, text in rows.items()}
                for weighting, rows in value["rows"].items()
            },
            None if found is None else (None if found[0] is None else float(found[0]), int(found[1])),
            str(value["picks"]),
            *(float(second) for second in value["seconds"]),
        )

    def row_values(self, weighting: str, metric: str) -> Float64Array:
        """(n_test,)."""
        return np.frombuffer(self.rows[weighting][metric], dtype=np.float32).astype(np.float64)
