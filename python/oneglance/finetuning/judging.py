"""From held-out logits to a choice: the variant of each recipe, its accuracy, its gain over the plain probe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, Float64Array, IntArray
from ..adapt.temperature import best_temperature, log_loss
from ..evaluation.intervals import BETTER, Interval, t_quantile, verdict
from .folds import Cell
from .recipes import Recipe

LEVEL = 0.95
_FEW_CELLS = 5  # fewer tell their own variance badly
PROBE = "probe"


class Variant(NamedTuple):
    """What of a training is used: its learning rate, after how many steps, how far from the start. None: not asked."""

    alpha: float | None = None
    steps: int | None = None
    lr: float | None = None

    def __str__(self) -> str:
        parts = [
            None if self.lr is None else f"lr {self.lr:g}",
            None if self.steps is None else f"{self.steps} steps",
            None if self.alpha is None else f"alpha {self.alpha:g}",
        ]
        return ", ".join(part for part in parts if part) or "-"


@dataclass(frozen=True, eq=False)
class Outputs:
    """Held-out logits of one training in one cell: (V, h, K) float32, -inf for classes it had no label of."""

    variants: tuple[Variant, ...]
    logits: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """How one recipe did on labels that it was not trained on.

    recipe, variant  the name, and what cross-validation chose from all cells (None: nothing to choose, or failed)
    count            labels trained on per cell, None for all that a fold leaves
    accuracy         mean over cells, each with the variant that the pictures outside of it chose, with its interval,
                     which has a width where all are right, too (two hits and two misses more: Agresti and Coull 1998)
    gain, verdict    the same less the plain probe's, at a level corrected for the number of recipes; "better", "worse"
                     or "no difference found"; None and "baseline" for the probe itself
    log_loss         of the chosen variant, at its best temperature
    tried            variant in words -> mean held-out accuracy, for all of them (ends of WiSE-FT included)
    temperature      of the chosen variant's logits        failed  why there is nothing, else ""
    """

    recipe: str
    variant: Variant | None
    count: int | None
    accuracy: Interval | None
    gain: Interval | None
    verdict: str
    log_loss: float | None
    tried: dict[str, float]
    temperature: float = 1.0
    failed: str = ""


def score(
    recipe: Recipe,
    cells: Sequence[Cell],
    outputs: Sequence[Outputs],
    codes: IntArray,
    baseline: Sequence[BoolArray] | None,
    level: float = LEVEL,
) -> tuple[Score, list[BoolArray]]:
    """The score of a recipe over cells of one count, and its hits (h,) per cell.

    outputs   per cell, the same variants everywhere, more careful ones first: equal accuracies go to these
    baseline  the plain probe's hits in the same cells; None for the probe itself
    """
    variants = allowed(recipe, outputs[0].variants)
    places = [outputs[0].variants.index(variant) for variant in variants]
    hits = [
        (found.logits[places].argmax(axis=2) == codes[cell.held]) for cell, found in zip(cells, outputs, strict=True)
    ]
    best = int(np.argmax(_accuracy(hits, None, cells)))
    chosen = [int(np.argmax(_accuracy(hits, cell.held, cells))) for cell in cells]
    own = [hit[v] for hit, v in zip(hits, chosen, strict=True)]
    right = np.array([float(hit.mean()) for hit in own])
    n_test = float(np.mean([cell.held.size for cell in cells]))
    n_left = float(np.mean([cell.n_left for cell in cells]))
    n_units = float(np.mean([np.unique(cell.units).size for cell in cells]))
    n_pictures = np.unique(np.concatenate([cell.units for cell in cells])).size  # or groups of them
    share = (float(right.mean()) * n_pictures + 2) / (n_pictures + 4)  # ten of ten are no proof of all
    reach = corrected_interval(right, n_left, n_test, n_pictures, least=share * (1 - share) / n_units)
    accuracy = replace(reach, low=max(0.0, reach.low), high=min(1.0, reach.high))
    gain = None if baseline is None else _gain(own, baseline, n_left, n_test, n_units, n_pictures, level)
    logits = np.concatenate([found.logits[places[best]] for found in outputs]).astype(np.float64)
    truth = codes[np.concatenate([cell.held for cell in cells])]
    temperature = best_temperature(logits, truth)
    found = Score(
        recipe.name,
        variants[best],
        cells[0].count,
        accuracy,
        gain,
        "baseline" if gain is None else verdict(gain, higher_is_better=True),
        _finite(log_loss(logits / temperature, truth, np.ones(len(truth)))),
        {str(v): float(a) for v, a in zip(variants, _accuracy(hits, None, cells), strict=True)},
        temperature,
    )
    return found, own


def _gain(
    own: Sequence[BoolArray],
    baseline: Sequence[BoolArray],
    n_left: float,
    n_test: float,
    n_units: float,
    n_pictures: int,
    level: float,
) -> Interval:
    """Pictures that both name rightly, or both wrongly, say nothing: the rest decides how far chance reaches."""
    pairs = list(zip(own, baseline, strict=True))
    change = np.array([float(mine.mean() - its.mean()) for mine, its in pairs])
    differing = float(np.mean([float((mine != its).mean()) for mine, its in pairs]))
    least = max(0.0, differing - float(change.mean()) ** 2) / n_units
    reach = corrected_interval(change, n_left, n_test, n_pictures, level, least=least)
    return replace(reach, low=max(-1.0, reach.low), high=min(1.0, reach.high))


def allowed(recipe: Recipe, variants: Sequence[Variant]) -> list[Variant]:
    """Those of a training that belong to a recipe: LP-FT and WiSE-FT come from the same one."""
    if recipe.method == "lp_ft":
        return [variant for variant in variants if variant.alpha == 1.0]
    return list(variants)


def failed(recipe: Recipe, count: int | None, why: str) -> Score:
    """The score of a recipe that could not be trained."""
    return Score(recipe.name, None, count, None, None, "failed", None, {}, failed=why)


def corrected_interval(
    differences: Float64Array, n_train: float, n_test: float, n_pictures: int, level: float = LEVEL, *, least: float
) -> Interval:
    """Interval for the mean over cells of a (repeated) cross-validation, at least three.

    Training parts overlap, so cells are not independent: the variance of the mean is taken as
    (1 / J + n_test / n_train) s^2; a plain interval over folds is too narrow. s^2 is the variance between cells, but
    not less than `least`, what so few pictures per cell vary by alone: a few cells may agree by luck. With that floor,
    known from n_pictures different pictures, the quantile is Student's with n_pictures - 1 degrees; below five cells it
    has J - 1 where their own variance counts. Two equally good recipes are told apart in less than 5 % of draws at
    95 %, by a plain interval over cells in 10 % and more.
    Source: Nadeau and Bengio 2003; Bouckaert and Frank 2004 for repeats.
    """
    mean, spread = float(differences.mean()), float(differences.var(ddof=1))
    known = t_quantile(0.5 + level / 2, max(1, n_pictures - 1))
    between = t_quantile(0.5 + level / 2, differences.size - 1) if differences.size < _FEW_CELLS else known
    widest = max(known * math.sqrt(least), between * math.sqrt(spread))
    reach = math.sqrt(1 / differences.size + n_test / n_train) * widest
    return Interval(mean, mean - reach, mean + reach, level, differences.size)


def winner(scores: Sequence[Score]) -> Score | None:
    """The recipe with the largest gain among those that are better than the probe for certain; None for none."""
    better = [found for found in scores if found.verdict == BETTER and found.gain is not None]
    return max(better, key=lambda found: found.gain.mean if found.gain else 0.0) if better else None


def _accuracy(hits: Sequence[BoolArray], without: IntArray | None, cells: Sequence[Cell]) -> Float64Array:
    """(V,) share of hits over the cells' pictures, those of `without` left out; all zero where nothing is left."""
    right, total = np.zeros(len(hits[0])), 0
    for cell, hit in zip(cells, hits, strict=True):
        kept = np.ones(cell.held.size, dtype=np.bool_) if without is None else ~np.isin(cell.held, without)
        right += hit[:, kept].sum(axis=1)
        total += int(kept.sum())
    return np.asarray(right / max(1, total))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
