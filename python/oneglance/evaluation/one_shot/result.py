"""What a one-shot evaluation found: runs, and differences to a baseline with all that limits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..._types import Float64Array
from ...errors import InvalidInput, MissingDependency
from ...strategies.result import write_table
from ..entrants import BASELINE
from ..evaluation import ON_THIS_TEST_SET
from ..intervals import NO_DIFFERENCE, Interval, mean_interval, paired_difference, t_quantile, verdict
from ..statistics import holm, paired_p_value
from .agreement import Agreement
from .cell import PLAIN, WEIGHTINGS

OF_THE_PICKS = ("imbalance", "n_missing_classes", "weights_s", "sampling_s", "heads_s")
_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class OneShotContrast:
    """One strategy, with one weighting of its heads' loss, against a baseline at one budget; means over all heads.

    against, against_weighting   the baseline and its weighting: the same one where it has it, else "plain"
    mean, difference   over seeds; the difference seed by seed, bootstrap
    relative     the difference in parts of the baseline's mean: -0.1 is 10 % less
    p, p_holm    paired t test, and corrected for all contrasts of its family (Holm)
    test_margin  how far chance in the choice of the test rows alone moves the difference (95 %); NaN for pool_loss
    verdict      "better" or "worse" only if the interval excludes 0 and p_holm <= 0.05; " on these test rows" is
                 added where the difference is smaller than test_margin; else "no difference found"
    """

    metric: str
    strategy: str
    weighting: str
    budget: int
    against: str
    against_weighting: str
    mean: Interval
    difference: Interval
    relative: float
    p: float
    p_holm: float
    test_margin: float
    verdict: str


@dataclass(frozen=True, eq=False)
class OneShot:
    """One run per (strategy, budget, seed), each with a score per backbone's head and weighting.

    loss, p          the loss of the heads in words; p of a regression, else None
    budgets          picks beyond the n_initial labels that all strategies share
    n_pool, n_test   rows of the smallest split
    n_outputs        classes, or target columns
    features_s       seconds of extracting the features, as given, or None
    agreement        T(k) and kappa(t) of the backbones
    notes            what a reader must know
    """

    task: str
    loss: str
    p: float | None
    strategies: tuple[str, ...]
    backbones: tuple[str, ...]
    budgets: tuple[int, ...]
    n_initial: int
    seeds: tuple[int, ...]
    n_splits: int
    n_pool: int
    n_test: int
    n_outputs: int
    level: float
    features_s: float | None
    agreement: Agreement
    notes: tuple[str, ...]
    runs: Mapping[str, npt.NDArray[Any]] = field(repr=False)
    _values: Mapping[tuple[str, str, int], Mapping[str, Float64Array]] = field(repr=False)
    _rows: Mapping[tuple[str, str, int], Mapping[str, Float64Array]] = field(repr=False)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Of heads, the loss first."""
        return ("loss", "pool_loss") if self.task == "regression" else ("loss", "accuracy")

    def weightings(self, strategy: str) -> tuple[str, ...]:
        """Those that a strategy has at every budget."""
        return tuple(w for w in WEIGHTINGS if all((strategy, w, budget) in self._values for budget in self.budgets))

    def per_seed(
        self,
        strategy: str,
        budget: int,
        *,
        weighting: str = PLAIN,
        metric: str = "loss",
        backbone: str | None = None,
    ) -> Float64Array:
        """(n_seeds,) in the order of `seeds`.

        metric    "loss"; "accuracy" (classification), "pool_loss" (regression: on all rows of the pool); of the picks:
                  "imbalance" (inf: a class without a label; NaN: regression), "n_missing_classes", "weights_s",
                  "sampling_s", "heads_s"
        backbone  whose head; default: the mean over all
        """
        found = self._values.get((strategy, weighting, budget))
        if found is None or metric not in found or (backbone is not None and backbone not in self.backbones):
            raise InvalidInput(
                f"nothing was evaluated for strategy {strategy!r}, budget {budget}, weighting {weighting!r}, metric "
                f"{metric!r}, backbone {backbone!r}; there are {list(self.strategies)} at {list(self.budgets)}, "
                f"{list(WEIGHTINGS)}, {[*self.metrics, *OF_THE_PICKS]} and {list(self.backbones)}."
            )
        values = found[metric]
        if values.ndim == 1:
            return values
        return np.asarray(values.mean(axis=1) if backbone is None else values[:, self.backbones.index(backbone)])

    def mean(self, strategy: str, budget: int, **which: Any) -> Interval:
        """Mean over seeds with its bootstrap interval."""
        return mean_interval(self.per_seed(strategy, budget, **which), level=self.level)

    def contrasts(self, metric: str = "loss", against: str = BASELINE) -> list[OneShotContrast]:
        """Every other strategy and weighting at every budget, the means over heads. One family for Holm.

        metric   of `metrics`        against  a strategy: "random", or "lewis" to see what its maximum gains
        """
        places = [
            (strategy, weighting, budget, weighting if weighting in self.weightings(against) else PLAIN)
            for strategy in self.strategies
            if strategy != against
            for weighting in self.weightings(strategy)
            for budget in self.budgets
        ]
        pairs = [
            (
                self.per_seed(strategy, budget, weighting=weighting, metric=metric),
                self.per_seed(against, budget, weighting=theirs, metric=metric),
            )
            for strategy, weighting, budget, theirs in places
        ]
        raw = [paired_p_value(ours - other) for ours, other in pairs]
        out = []
        for place, (ours, other), p, p_holm in zip(places, pairs, raw, holm(raw), strict=True):
            strategy, weighting, budget, theirs = place
            difference = paired_difference(ours, other, level=self.level)
            margin = self._test_margin((strategy, weighting, budget), (against, theirs, budget), metric)
            word = verdict(difference, higher_is_better=metric == "accuracy")
            if p_holm > _ALPHA:
                word = NO_DIFFERENCE
            elif word != NO_DIFFERENCE and abs(difference.mean) < margin:
                word += ON_THIS_TEST_SET
            mean, relative = mean_interval(ours, level=self.level), difference.mean / max(other.mean(), 1e-300)
            out.append(
                OneShotContrast(
                    *(metric, strategy, weighting, budget, against, theirs, mean, difference),
                    *(float(relative), p, float(p_holm), margin, word),
                )
            )
        return out

    def _test_margin(self, ours: tuple[str, str, int], other: tuple[str, str, int], metric: str) -> float:
        """How far off the mean difference may be because test rows are a sample (95 %, Student's t)."""
        if metric not in self._rows[ours]:
            return float("nan")
        rows = self._rows[ours][metric] - self._rows[other][metric]
        rows = rows[~np.isnan(rows)]
        if rows.size < 2:
            return float("inf")
        return float(t_quantile(0.975, rows.size - 1) * rows.std(ddof=1) / np.sqrt(rows.size))

    def to_table(self) -> pa.Table:
        """A pyarrow Table, one row per run, weighting and backbone: strategy, weighting, budget, split, seed, backbone,
        the metrics, imbalance (inf: a class has no label), n_missing_classes, weights_s, sampling_s, heads_s (seconds,
        the last of all heads together), picks_hash."""
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

    def as_dict(self) -> dict[str, Any]:
        """What was compared and found, without the runs, ready for JSON: contrasts to random of every metric."""
        names = ("task", "loss", "p", "strategies", "backbones", "budgets", "n_initial", "seeds", "n_splits")
        more = ("n_pool", "n_test", "n_outputs", "level", "features_s", "notes")
        found = {name: getattr(self, name) for name in (*names, *more)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
        contrasts = [asdict(contrast) for metric in self.metrics for contrast in self.contrasts(metric)]
        for contrast in contrasts:
            if not np.isfinite(contrast["test_margin"]):
                contrast["test_margin"] = None
        return {**plain, "agreement": self.agreement.as_dict(), "contrasts": contrasts}
