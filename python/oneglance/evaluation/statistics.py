"""What learning curves allow to say: p-values corrected for many looks, areas, and labels saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .._types import Float64Array
from ..errors import InvalidInput
from .intervals import expanded_tail

_N_BOOT = 2000
_ROUNDING = 1e-12  # of sums of accuracies


def paired_p_value(differences: npt.ArrayLike) -> float:
    """Two-sided p of "the mean difference is 0": the paired t test.

    differences  (n,) one per seed, n >= 2

    All differences 0: p = 1. All equal and not 0: 2^(1 - n), the least that n equal signs can say.
    """
    data = np.asarray(differences, dtype=np.float64)
    if data.ndim != 1 or data.size < 2 or not np.isfinite(data).all():
        raise InvalidInput(f"differences must be 1-D with at least 2 finite numbers, got shape {data.shape}.")
    mean, spread = float(data.mean()), float(data.std(ddof=1))
    if mean == 0.0:
        return 1.0
    if spread <= 1e-12 * abs(mean):
        return float(2.0 ** (1 - data.size))
    return min(1.0, 2.0 * t_tail(abs(mean) / spread * math.sqrt(data.size), data.size - 1))


def t_tail(t: float, dof: int) -> float:
    """P(T > t) of Student's t for t >= 0: half the regularised incomplete beta function at dof / (dof + t^2)."""
    x = dof / (dof + t * t)
    return 0.5 * _incomplete_beta(dof / 2, 0.5, x)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) by its continued fraction (Abramowitz and Stegun 26.5.8, modified Lentz)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, its mirror image is fast
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1) or tiny)
    total = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / (1.0 + term * d or tiny)
            c = 1.0 + term / c or tiny
            total *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * total / a


def holm(p_values: npt.ArrayLike) -> Float64Array:
    """p-values corrected for their number (Holm 1979): reject where <= alpha, and at most a share alpha of such
    families holds even one false rejection. Same order as given."""
    raw = np.asarray(p_values, dtype=np.float64)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise InvalidInput(f"p_values must be 1-D numbers in [0, 1], got shape {raw.shape}.")
    order = np.argsort(raw, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(raw[order] * (raw.size - np.arange(raw.size))))
    out = np.empty(raw.size)
    out[order] = stepped
    return out


def curve_area(budgets: Sequence[int], values: npt.ArrayLike) -> Float64Array:
    """Area under a learning curve over log budget, divided by its width: the mean height. One value per seed.

    values  (n_seeds, n_budgets), budgets ascending; one budget: the values themselves
    """
    heights = np.asarray(values, dtype=np.float64)
    if len(budgets) == 1:
        out: Float64Array = heights[:, 0].copy()
        return out
    places = np.log(np.asarray(budgets, dtype=np.float64))
    widths = np.diff(places)
    out = ((heights[:, 1:] + heights[:, :-1]) / 2) @ widths / widths.sum()
    return out


def rising(curves: npt.ArrayLike) -> Float64Array:
    """The nearest curve (least squares) that never falls, row by row: isotonic regression.

    curves  (m, n): value i becomes max over j <= i of min over k >= i of mean(curve[j..k])
    """
    rows = np.asarray(curves, dtype=np.float64)
    n = rows.shape[1]
    sums = np.concatenate([np.zeros((rows.shape[0], 1)), np.cumsum(rows, axis=1)], axis=1)
    out = np.full_like(rows, -np.inf)
    for start in range(n):
        means = (sums[:, start + 1 :] - sums[:, [start]]) / np.arange(1, n - start + 1)
        least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]  # over k >= i, for i = start ..
        out[:, start:] = np.maximum(out[:, start:], least)
    return out


@dataclass(frozen=True, slots=True)
class Saving:
    """Labels that random needs for the accuracy that `budget` labels gave, divided by `budget`.

    factor, low, high      the estimate and its bootstrap interval
    factor_is, low_is, high_is   "", or ">=" where random never got there within its budgets (the number is what
                           its largest budget shows), or "<=" where it was there at its smallest budget already
    """

    budget: int
    factor: float
    low: float
    high: float
    factor_is: str = ""
    low_is: str = ""
    high_is: str = ""

    def __str__(self) -> str:
        low, high = f"{self.low_is}{self.low:.2g}", f"{self.high_is}{self.high:.2g}"
        return f"{self.factor_is}{self.factor:.2g} [{low}, {high}]"


def label_saving(
    ours: npt.ArrayLike,
    budget: int,
    random: npt.ArrayLike,
    random_budgets: Sequence[int],
    *,
    level: float = 0.95,
    n_boot: int = _N_BOOT,
    seed: int = 0,
) -> Saving:
    """The label saving factor at one budget.

    ours            (n_seeds,) accuracies at `budget`
    random          (n_seeds, n_random_budgets) accuracies of random picks, the same seeds
    random_budgets  ascending

    The mean curve of random is made rising (`rising`) and interpolated linearly over log budget; the factor is the
    smallest budget at which it reaches the mean of `ours`, divided by `budget`. Seeds are resampled in pairs; in
    every resample the curve is made anew. Beyond the ends of random's curve nothing is extrapolated: see Saving.
    """
    mine, theirs = np.asarray(ours, dtype=np.float64), np.asarray(random, dtype=np.float64)
    if mine.ndim != 1 or theirs.shape != (mine.size, len(random_budgets)):
        raise InvalidInput(
            f"random must be (seeds, budgets) = ({mine.size}, {len(random_budgets)}), got shape {theirs.shape}."
        )
    if list(random_budgets) != sorted(set(random_budgets)):
        raise InvalidInput(f"random_budgets must ascend, got {list(random_budgets)}.")
    uniforms = np.random.Generator(np.random.Philox(key=seed)).random((n_boot, mine.size))
    drawn = (uniforms * mine.size).astype(np.int64)
    resampled = np.stack([column[drawn].mean(axis=1) for column in theirs.T], axis=1)
    labels, _ = _reached(rising(resampled), mine[drawn].mean(axis=1), random_budgets)
    point, outside = _reached(rising(theirs.mean(axis=0)[None]), mine.mean()[None], random_budgets)
    tail = expanded_tail(mine.size, level)
    low, high = np.quantile(labels, [tail, 1.0 - tail], method="inverted_cdf")
    first, last = random_budgets[0], random_budgets[-1]

    def side(value: float) -> str:
        return ">=" if value > last else "<=" if value < first else ""

    def shown(value: float) -> float:
        return float(min(max(value, first), last)) / budget

    return Saving(
        budget, shown(point[0]), shown(low), shown(high), str(outside[0]), side(float(low)), side(float(high))
    )


def _reached(curves: Float64Array, wanted: Float64Array, budgets: Sequence[int]) -> tuple[Float64Array, list[str]]:
    """Per row the smallest budget at which a rising curve reaches `wanted`; +inf: never, -inf: before the first.

    Means of accuracies that differ by no more than rounding are equal, so that a budget of the curve is reached there.
    """
    places = np.log(np.asarray(budgets, dtype=np.float64))
    found = np.full(wanted.size, np.inf)
    for k in range(len(budgets) - 2, -1, -1):  # from the right: what is left in the end is the leftmost crossing
        below, above = curves[:, k], curves[:, k + 1]
        here = (below + _ROUNDING < wanted) & (wanted <= above + _ROUNDING)
        part = np.where(here, (wanted - below) / np.where(here, above - below, 1.0), 0.0)
        between = np.exp(places[k] + part * (places[k + 1] - places[k]))
        at = np.where(wanted >= above - _ROUNDING, budgets[k + 1], np.minimum(between, budgets[k + 1]))
        found = np.where(here, np.maximum(at, budgets[k]), found)
    first = curves[:, 0]
    found = np.where(wanted < first - _ROUNDING, -np.inf, np.where(wanted <= first + _ROUNDING, budgets[0], found))
    return found, [">=" if value == np.inf else "<=" if value == -np.inf else "" for value in found]
