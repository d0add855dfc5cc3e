"""What an evaluation found: runs, learning curves, and differences to random with all that limits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .._types import Float64Array
from ..errors import InvalidInput, MissingDependency
from ..strategies.result import write_table
from .entrants import BASELINE
from .intervals import NO_DIFFERENCE, Interval, mean_interval, paired_difference, t_quantile, verdict
from .statistics import Saving, curve_area, holm, label_saving, paired_p_value

ALL_HEADS = "mean of heads"
METRICS = ("accuracy", "balanced_accuracy")
ON_THIS_TEST_SET = " on these test rows"
_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Contrast:
    """One strategy against random at one budget (budget None: area under the learning curve over log budget).

    mean         the strategy's own accuracy, over seeds (see Evaluation.mean)
    difference   to random, seed by seed, bootstrap over seeds
    p, p_holm    paired t test, and corrected for all contrasts of its family (Holm)
    test_margin  how far chance in the choice of the test rows alone moves the difference (95 %)
    saving       label saving factor, None for the area
    verdict      "better" or "worse" only if the interval excludes 0 and p_holm <= 0.05; " on these test rows" is
                 added where the difference is smaller than test_margin; else "no difference found"
    """

    backbone: str
    head: str
    strategy: str
    budget: int | None
    mean: Interval
    difference: Interval
    p: float
    p_holm: float
    test_margin: float
    saving: Saving | None
    verdict: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One run per (backbone, strategy, budget, seed), each with a score per head.

    strategies, budgets, seeds, backbones, heads   what was compared, random first
    baseline_budgets  random's own, budgets included
    n_pool, n_test    rows of the smallest split
    without_chance    strategies run once per split
    notes             what a reader must know
    """

    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    baseline_budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    backbones: tuple[str, ...]
    heads: tuple[str, ...]
    n_splits: int
    n_pool: int
    n_test: int
    n_classes: int
    level: float
    without_chance: tuple[str, ...]
    notes: tuple[str, ...]
    runs: Mapping[str, npt.NDArray[Any]] = field(repr=False)
    _values: Mapping[tuple[str, str, int], Mapping[str, Float64Array]] = field(repr=False)
    _hits: Mapping[tuple[str, str, int], Mapping[str, Float64Array]] = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Evaluation({len(self.strategies)} strategies x {len(self.budgets)} budgets x {len(self.seeds)} seeds, "
            f"backbones: {', '.join(self.backbones)}; pool {self.n_pool:,}, test {self.n_test:,}, "
            f"{self.n_classes} classes)"
        )

    # ---- numbers

    def per_seed(
        self,
        strategy: str,
        budget: int,
        *,
        head: str = ALL_HEADS,
        backbone: str | None = None,
        metric: str = "accuracy",
    ) -> Float64Array:
        """(n_seeds,) in the order of `seeds`; a strategy without chance repeats its one value of a split.

        head    one of `heads`, or the mean over them (default)
        metric  "accuracy", "balanced_accuracy"; of the picks: "coverage_mean", "coverage_max", "n_classes_seen"
        """
        view = self.backbones[0] if backbone is None else backbone
        found = self._values.get((view, strategy, budget))
        if found is None:
            raise InvalidInput(
                f"nothing was evaluated for strategy {strategy!r} at budget {budget} on {view!r}; there are "
                f"{list(self.strategies)} at {list(self.budgets)} on {list(self.backbones)}."
            )
        if metric in METRICS:
            heads = self.heads if head == ALL_HEADS else (head,)
            if not set(heads) <= set(self.heads):
                raise InvalidInput(f'head must be one of {list(self.heads)} or "{ALL_HEADS}", got {head!r}.')
            out: Float64Array = np.mean([found[f"{metric}/{name}"] for name in heads], axis=0)
            return out
        if metric not in found:
            wanted = (*METRICS, "coverage_mean", "coverage_max", "n_classes_seen")
            raise InvalidInput(f"metric must be one of {list(wanted)}, got {metric!r}.")
        return found[metric]

    def curve(self, strategy: str, **which: Any) -> Float64Array:
        """(n_seeds, n_budgets); for random its `baseline_budgets`."""
        budgets = self.baseline_budgets if strategy == BASELINE else self.budgets
        return np.stack([self.per_seed(strategy, budget, **which) for budget in budgets], axis=1)

    def mean(self, strategy: str, budget: int, **which: Any) -> Interval:
        """Mean over seeds with its bootstrap interval.

        A strategy without chance: over splits, which are all its runs; below 3 of them low and high are NaN.
        """
        return self._own_interval(strategy, self.per_seed(strategy, budget, **which))

    def _own_interval(self, strategy: str, values: Float64Array) -> Interval:
        if strategy not in self.without_chance:
            return mean_interval(values, level=self.level)
        first = {seed % self.n_splits: place for place, seed in reversed(list(enumerate(self.seeds)))}
        runs = values[sorted(first.values())]
        if runs.size < 3:
            return Interval(float(runs.mean()), float("nan"), float("nan"), self.level, runs.size)
        return mean_interval(runs, level=self.level)

    def difference(self, strategy: str, budget: int, **which: Any) -> Interval:
        """Mean over seeds of (strategy - random), pairs of one seed and split."""
        ours, theirs = (self.per_seed(name, budget, **which) for name in (strategy, BASELINE))
        return paired_difference(ours, theirs, level=self.level)

    def area(self, strategy: str, **which: Any) -> Float64Array:
        """(n_seeds,) mean height of the learning curve over log budget."""
        return curve_area(self.budgets, [list(row) for row in zip(*self._heights(strategy, which), strict=True)])

    def _heights(self, strategy: str, which: Mapping[str, Any]) -> list[Float64Array]:
        return [self.per_seed(strategy, budget, **which) for budget in self.budgets]

    def saving(self, strategy: str, budget: int, *, head: str = ALL_HEADS, backbone: str | None = None) -> Saving:
        """Labels random needs for the same accuracy, divided by `budget`: see statistics.label_saving."""
        which = {"head": head, "backbone": backbone}
        return label_saving(
            self.per_seed(strategy, budget, head=head, backbone=backbone),
            budget,
            self.curve(BASELINE, **which),
            self.baseline_budgets,
            level=self.level,
        )

    def test_margin(self, strategy: str, budgets: Sequence[int], *, head: str, backbone: str) -> float:
        """How far off the mean difference to random may be because test rows are a sample (95 %, Student's t)."""
        heads = self.heads if head == ALL_HEADS else (head,)
        total: Float64Array = np.zeros(0)
        for budget in budgets:
            for name in heads:
                ours = self._hits[backbone, strategy, budget][name]
                part = ours - self._hits[backbone, BASELINE, budget][name]
                total = part if not total.size else total + part
        rows = total[~np.isnan(total)] / (len(budgets) * len(heads))
        if rows.size < 2:
            return float("inf")
        return float(t_quantile(0.975, rows.size - 1) * rows.std(ddof=1) / np.sqrt(rows.size))

    # ---- what may be said

    def contrasts(self, heads: Sequence[str] | None = None) -> list[Contrast]:
        """Every strategy but random at every budget and for the area, on every backbone.

        heads  of `heads`, or "mean of heads" (default). All contrasts of one call are one family for Holm.
        """
        chosen = [ALL_HEADS if len(self.heads) > 1 else self.heads[0]] if heads is None else list(heads)
        places: list[tuple[str, str, str, int | None]] = [
            (view, head, strategy, budget)
            for view in self.backbones
            for head in chosen
            for strategy in self.strategies
            if strategy != BASELINE
            for budget in (*self.budgets, *((None,) if len(self.budgets) > 1 else ()))
        ]
        values = []
        for view, head, strategy, budget in places:
            which = {"head": head, "backbone": view}
            if budget is None:
                values.append((self.area(strategy, **which), self.area(BASELINE, **which)))
            else:
                values.append((self.per_seed(strategy, budget, **which), self.per_seed(BASELINE, budget, **which)))
        raw = [paired_p_value(ours - theirs) for ours, theirs in values]
        out = []
        corrected = holm(raw)
        for place, (ours, theirs), p, p_holm in zip(places, values, raw, corrected, strict=True):
            view, head, strategy, budget = place
            difference = paired_difference(ours, theirs, level=self.level)
            margin = self.test_margin(strategy, self.budgets if budget is None else [budget], head=head, backbone=view)
            word = verdict(difference, higher_is_better=True)
            if p_holm > _ALPHA:
                word = NO_DIFFERENCE
            elif word != NO_DIFFERENCE and abs(difference.mean) < margin:
                word += ON_THIS_TEST_SET
            saving = None if budget is None else self.saving(strategy, budget, head=head, backbone=view)
            mean = self._own_interval(strategy, ours)
            out.append(Contrast(view, head, strategy, budget, mean, difference, p, float(p_holm), margin, saving, word))
        return out

    # ---- tables

    def to_table(self) -> pa.Table:
        """A pyarrow Table, one row per run and head: backbone, strategy, budget, split, seed, head, accuracy,
        balanced_accuracy (mean recall of the classes), coverage_mean, coverage_max, n_classes_seen, without_chance,
        picks_hash, select_s (seconds; of the largest budget where smaller ones are part of it)."""
        return pa.table({name: pa.array(values.tolist()) for name, values in self.runs.items()})

    def to_parquet(self, path: str | PathLike[str]) -> Path:
        """Writes to_table() as Parquet, whole or not at all. Raises StoreError."""
        return write_table(self.to_table(), path)

    def to_pandas(self) -> Any:
        """to_table() as a pandas DataFrame. Raises MissingDependency without pandas."""
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise MissingDependency("to_pandas needs pandas: pip install pandas. to_table() works without.") from None
        return self.to_table().to_pandas()

    def summary_table(self) -> pa.Table:
        """One row per contrast: the mean of heads, then every head (another family for Holm)."""
        found = self.contrasts()
        if len(self.heads) > 1:
            found = [*found, *self.contrasts(self.heads)]
        return pa.Table.from_pylist([_flat(contrast) for contrast in found], schema=_SUMMARY)


_SUMMARY = pa.schema(
    [
        *((name, pa.string()) for name in ("backbone", "head", "strategy")),
        ("budget", pa.int64()),
        *(
            (name, pa.float64())
            for name in ("mean", "mean_low", "mean_high", "difference", "difference_low", "difference_high")
        ),
        *((name, pa.float64()) for name in ("p", "p_holm", "test_margin", "saving", "saving_low", "saving_high")),
        *((name, pa.string()) for name in ("saving_is", "saving_low_is", "saving_high_is", "verdict")),
    ]
)


def _flat(contrast: Contrast) -> dict[str, Any]:
    saving = contrast.saving
    return {
        "backbone": contrast.backbone,
        "head": contrast.head,
        "strategy": contrast.strategy,
        "budget": contrast.budget,
        "mean": contrast.mean.mean,
        "mean_low": None if np.isnan(contrast.mean.low) else contrast.mean.low,
        "mean_high": None if np.isnan(contrast.mean.high) else contrast.mean.high,
        "difference": contrast.difference.mean,
        "difference_low": contrast.difference.low,
        "difference_high": contrast.difference.high,
        "p": contrast.p,
        "p_holm": contrast.p_holm,
        "test_margin": contrast.test_margin,
        "saving": None if saving is None else saving.factor,
        "saving_low": None if saving is None else saving.low,
        "saving_high": None if saving is None else saving.high,
        "saving_is": None if saving is None else saving.factor_is,
        "saving_low_is": None if saving is None else saving.low_is,
        "saving_high_is": None if saving is None else saving.high_is,
        "verdict": contrast.verdict,
    }
