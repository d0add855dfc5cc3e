"""How far the backbones agree on which rows matter: T(k) and kappa(t) (Huang et al. 2024, figures 1 and 4)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..._types import RowShards
from ...strategies.agreement import coherence_total, kappa
from ...strategies.lewis import backbone_weights

SHARES = (0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of the Lewis weights of k backbones over the pool of the first split, no row labelled.

    backbones, ranks   in the order given
    totals      T(j) = sum_i max over the first j backbones of w_i: labels that serve them all, up to logarithms
    bounds      min(sum of their ranks, n), which T(j) cannot exceed
    kappas      share t -> mean over backbones of |top t of the backbone, also in the top t of the maximum| / |top t|;
                about t for unrelated backbones, 1 for a single one
    p, n_rows, converged, weights_s (seconds for all backbones)
    """

    backbones: tuple[str, ...]
    ranks: tuple[int, ...]
    totals: tuple[float, ...]
    bounds: tuple[int, ...]
    kappas: Mapping[float, float]
    p: float
    n_rows: int
    converged: bool
    weights_s: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON: shares as percentages."""
        return {**asdict(self), "kappas": {f"{100 * share:g}%": value for share, value in self.kappas.items()}}


def agreement(features: Mapping[str, RowShards], p: float, **settings: Any) -> Agreement:
    """T(1) .. T(k) and kappa of all k. Cost: the passes of `lewis_weights` per backbone, n log n per share."""
    n_rows = len(next(iter(features.values())))
    started = time.perf_counter()
    asked = {"p": p, "tol": 1e-6, "max_passes": 100, "ridge": 0.0, **settings}
    found = backbone_weights(dict(features), np.ones(n_rows, dtype=np.bool_), lambda text: None, **asked)
    weights_s = time.perf_counter() - started
    weights, ranks = [result.weights for result in found.values()], [result.rank for result in found.values()]
    first = range(1, len(weights) + 1)
    return Agreement(
        tuple(found),
        tuple(ranks),
        tuple(coherence_total(weights[:k]) for k in first),
        tuple(min(sum(ranks[:k]), n_rows) for k in first),
        {share: kappa(weights, share) for share in SHARES},
        p,
        n_rows,
        all(result.converged for result in found.values()),
        weights_s,
    )
