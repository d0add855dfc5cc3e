"""Strategies x budgets x seeds x backbones: one tidy table of head scores, the same rules for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import positive_int, seed_int
from .._types import Float64Array, FloatArray, IntArray
from ..errors import InvalidInput
from .heads import Scaling, fit_ridge_head, one_hot, plain_pool_mse, score_head
from .intervals import Interval, mean_interval, paired_difference
from .pickers import Picker, check_picks
from .threads import one_thread

_SMALL = 10**9  # products in one k-means step, below which threads do more harm than good

METRICS = ("accuracy", "mse", "pool_mse")
HIGHER_IS_BETTER = {"accuracy": True, "mse": False, "pool_mse": False}


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A pool to pick from and held-out rows to score on, every backbone's features of both.

    pool, held_out              {backbone: (n, d)} with one n each
    pool_labels, held_out_labels   (n,) integer classes 0..n_classes-1
    """

    pool: Mapping[str, FloatArray]
    pool_labels: IntArray
    held_out: Mapping[str, FloatArray]
    held_out_labels: IntArray

    def __post_init__(self) -> None:
        if not self.pool or list(self.pool) != list(self.held_out):
            raise InvalidInput(
                f"pool and held_out need the same backbones in one order, got {list(self.pool)} and "
                f"{list(self.held_out)}."
            )
        for part, labels, name in (
            (self.pool, self.pool_labels, "pool"),
            (self.held_out, self.held_out_labels, "held_out"),
        ):
            for backbone, rows in part.items():
                if np.ndim(rows) != 2 or np.shape(rows)[0] != len(labels):
                    raise InvalidInput(
                        f'{name}["{backbone}"] must be 2-D with {len(labels)} rows, one per label, '
                        f"got shape {np.shape(rows)}."
                    )

    @property
    def n_classes(self) -> int:
        """Classes are 0 .. the largest label of either part."""
        return 1 + int(max(np.max(self.pool_labels), np.max(self.held_out_labels)))


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One row per (strategy, budget, seed, backbone), in that order of loops; all columns of one length.

    accuracy and mse: of the backbone's ridge head on the held-out rows (`HeadScore`); pool_mse: of a head
    without penalty on the whole pool (`plain_pool_mse`).
    ceiling: {metric: mean over backbones} for heads fitted on all of the pool's labels.
    """

    strategy: npt.NDArray[np.str_]
    budget: IntArray
    seed: IntArray
    backbone: npt.NDArray[np.str_]
    accuracy: Float64Array
    mse: Float64Array
    pool_mse: Float64Array
    ceiling: Mapping[str, float]

    @property
    def strategies(self) -> list[str]:
        """In the order they were compared."""
        return list(dict.fromkeys(self.strategy.tolist()))

    @property
    def budgets(self) -> list[int]:
        """In the order they were compared."""
        return list(dict.fromkeys(self.budget.tolist()))

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """The table, ready for pandas or Arrow."""
        names = ("strategy", "budget", "seed", "backbone", *METRICS)
        return {name: getattr(self, name) for name in names}

    def per_seed(self, strategy: str, budget: int, metric: str) -> Float64Array:
        """(n_seeds,) the metric's mean over the backbones' heads, one value per seed in seed order."""
        if metric not in METRICS:
            raise InvalidInput(f"metric must be one of {', '.join(METRICS)}; got {metric!r}.")
        here = (self.strategy == strategy) & (self.budget == budget)
        if not here.any():
            raise InvalidInput(
                f"nothing was compared for strategy {strategy!r} at budget {budget}; "
                f"there are {self.strategies} at {self.budgets}."
            )
        seeds, values = self.seed[here], getattr(self, metric)[here]
        out: Float64Array = np.array([values[seeds == seed].mean() for seed in np.unique(seeds)])
        return out

    def mean(self, strategy: str, budget: int, metric: str, *, level: float = 0.95) -> Interval:
        """The mean over seeds with its bootstrap interval."""
        return mean_interval(self.per_seed(strategy, budget, metric), level=level)

    def difference(self, strategy: str, baseline: str, budget: int, metric: str, *, level: float = 0.95) -> Interval:
        """Mean over seeds of (strategy - baseline), seed by seed, with its paired bootstrap interval."""
        ours, theirs = (self.per_seed(name, budget, metric) for name in (strategy, baseline))
        return paired_difference(ours, theirs, level=level)


def compare(
    split: Split,
    pickers: Mapping[str, Picker],
    budgets: Sequence[int],
    seeds: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Pick with every strategy, fit heads for every backbone on the picked labels, score them.

    pickers  {name: picker(pool_features, budget, seed) -> Picks}. A picker is handed the pool's features
             only; labels of either part and held-out features are out of its reach.
    seeds    distinct; strategy A's and B's picks with one seed form a pair in `Comparison.difference`
    progress called with (selections done, selections in all)

    All strategies share the split, the scaling (mean and spread of the pool's features), the heads, and the
    rule for the ridge penalty (leave-one-out on the picked labels). Same arguments, same table.
    Cost: pickers * budgets * seeds selections, and for each of them one eigenproblem and one SVD per backbone.
    """
    if not pickers:
        raise InvalidInput("pickers must name at least one strategy, got none.")
    budget_list = [positive_int(budget, "budgets") for budget in budgets]
    seed_list = [seed_int(seed, "seeds") for seed in seeds]
    for name, values in (("budgets", budget_list), ("seeds", seed_list)):
        if not values or len(set(values)) != len(values):
            raise InvalidInput(f"{name} must hold distinct numbers, at least one; got {values}.")
    scaled = {name: Scaling.of(rows).apply(rows) for name, rows in split.pool.items()}
    held_out = {name: Scaling.of(split.pool[name]).apply(rows) for name, rows in split.held_out.items()}
    targets = one_hot(split.pool_labels, split.n_classes)

    def scores(indices: IntArray, weights: Float64Array | None) -> dict[str, tuple[float, ...]]:
        """Per backbone the METRICS in their order."""
        found: dict[str, tuple[float, ...]] = {}
        for name, rows in scaled.items():
            head = fit_ridge_head(rows[indices], targets[indices], weights)
            score = score_head(head, held_out[name], split.held_out_labels)
            plain = plain_pool_mse(split.pool[name], targets, indices, weights)
            found[name] = (score.accuracy, score.mse, plain)
        return found

    records: list[tuple[Any, ...]] = []
    n_runs, n_done = len(pickers) * len(budget_list) * len(seed_list), 0
    n_products = len(split.pool_labels) * sum(rows.shape[1] for rows in scaled.values()) * max(budget_list)
    with one_thread() if n_products <= _SMALL else nullcontext():
        everything = scores(np.arange(len(split.pool_labels)), None)
        for strategy, budget, seed in product(pickers, budget_list, seed_list):
            picks = pickers[strategy](split.pool, budget, seed)
            check_picks(picks, strategy, budget, len(split.pool_labels))
            for backbone, score in scores(picks.indices, picks.weights).items():
                records.append((strategy, budget, seed, backbone, *score))
            n_done += 1
            if progress is not None:
                progress(n_done, n_runs)
    columns = list(zip(*records, strict=True))
    return Comparison(
        strategy=np.array(columns[0]),
        budget=np.array(columns[1], dtype=np.int64),
        seed=np.array(columns[2], dtype=np.int64),
        backbone=np.array(columns[3]),
        accuracy=np.array(columns[4]),
        mse=np.array(columns[5]),
        pool_mse=np.array(columns[6]),
        ceiling=dict(zip(METRICS, np.mean(list(everything.values()), axis=0).tolist(), strict=True)),
    )
