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


@dataclass(frozen=True, slots=True, eq=False)
class UnitLength:
    """Backbones side by side, none outweighing another: each minus its mean over the pool, rows at unit length."""

    centres: Mapping[str, Float64Array]

    @classmethod
    def of(cls, features: Mapping[str, FloatArray]) -> UnitLength:
        """From the pool's rows {backbone: (n, d)}: no labels, and the same for every strategy."""
        return cls({name: np.asarray(rows).mean(axis=0, dtype=np.float64) for name, rows in features.items()})

    def apply(self, features: Mapping[str, FloatArray]) -> Float64Array:
        """(m, sum of d): rows of each backbone at unit length, or 0."""
        parts = []
        for name, centre in self.centres.items():
            centred = np.asarray(features[name], dtype=np.float64) - centre
            length = np.linalg.norm(centred, axis=1, keepdims=True)
            parts.append(centred / np.where(length > 0, length, 1.0))
        out: Float64Array = np.concatenate(parts, axis=1)
        return out


def unit_rows(features: Mapping[str, FloatArray]) -> Float64Array:
    """(n, sum of d): the pool's backbones side by side as in `UnitLength`."""
    return UnitLength.of(features).apply(features)


def read_only(rows: FloatArray) -> FloatArray:
    """The same rows for a stranger: what it wrote into them would change the features of all who come after."""
    view = rows.view()
    view.flags.writeable = False
    return view


def as_picked(answer: Any, strategy: str) -> IntArray:
    """The positions that a function answered. Raises InvalidInput for anything else."""
    rows = np.asarray(answer)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise InvalidInput(
            f"strategy {strategy!r} must return positions of rows (a 1-D array of int), got {rows.dtype} of shape "
            f"{rows.shape}. For a mask return numpy.flatnonzero(mask)."
        )
    return rows.astype(np.int64)


def check_picks(picks: Picks, strategy: str, budget: int, n_rows: int) -> None:
    """A strategy that cheats on its budget must not enter a table. Raises InvalidInput."""
    rows = np.asarray(picks.indices)
    if rows.shape != (budget,) or np.unique(rows).size != budget or rows.min() < 0 or rows.max() >= n_rows:
        raise InvalidInput(
            f"strategy {strategy!r} must return {budget} distinct rows in 0..{n_rows - 1}, "
            f"got {rows.size} with {np.unique(rows).size} distinct."
        )
