"""Ways to pick, all of one shape: the pool's features, a budget and a seed in, picks out. No labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .._types import Float64Array, FloatArray, IntArray
from ..errors import InvalidInput
from ..strategies import select


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """indices (budget,) int64 distinct rows of the pool; weights (budget,) for the loss, None: all equal."""

    indices: IntArray
    weights: Float64Array | None


Picker: TypeAlias = Callable[[Mapping[str, FloatArray], int, int], Picks]


def strategy_picker(strategy: str, *, use_weights: bool, **params: Any) -> Picker:
    """A strategy of `oneglance.select`; with `use_weights=False` its importance weights are thrown away."""

    def pick(features: Mapping[str, FloatArray], budget: int, seed: int) -> Picks:
        chosen = select(dict(features), budget, strategy, seed=seed, **params)
        return Picks(chosen.indices, chosen.weights if use_weights else None)

    return pick


def kmeans_picker() -> Picker:
    """k-means with `budget` centres on the backbones' features side by side; the row nearest to each centre.

    Every backbone is centred and its rows brought to unit length first, so that none outweighs another. A row
    that is already taken is passed over for the next nearest one. scikit-learn's KMeans, one k-means++ start.
    No importance weights: nothing here is drawn with a known probability.
    Cost: budget * n * sum of d per Lloyd step.
    """

    def pick(features: Mapping[str, FloatArray], budget: int, seed: int) -> Picks:
        from sklearn.cluster import KMeans

        rows = unit_rows(features)
        if budget > rows.shape[0]:
            raise InvalidInput(f"budget must be at most the pool's {rows.shape[0]} rows, got {budget}.")
        centres = KMeans(budget, n_init=1, random_state=seed % 2**32).fit(rows).cluster_centers_
        taken = np.zeros(rows.shape[0], dtype=np.bool_)
        indices = np.empty(budget, dtype=np.int64)
        sizes = np.square(rows).sum(axis=1)
        for place, centre in enumerate(centres):
            dist2 = np.where(taken, np.inf, sizes - 2.0 * (rows @ centre))  # without |centre|^2: same for all
            indices[place] = dist2.argmin()
            taken[indices[place]] = True
        return Picks(indices, None)

    return pick


def unit_rows(features: Mapping[str, FloatArray]) -> Float64Array:
    """(n, sum of d): each backbone minus its mean, rows at unit length (or 0), side by side."""
    parts = []
    for rows in features.values():
        centred = np.asarray(rows, dtype=np.float64)
        centred = centred - centred.mean(axis=0)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        parts.append(centred / np.where(length > 0, length, 1.0))
    out: Float64Array = np.concatenate(parts, axis=1)
    return out
