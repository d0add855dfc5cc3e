"""What an evaluation allows to say: p-values, Holm, areas and label savings against definitions and known curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oneglance.errors import InvalidInput
from oneglance.evaluation import curve_area, holm, label_saving, paired_p_value
from oneglance.evaluation.intervals import expanded_tail
from oneglance.evaluation.statistics import rising, t_tail


def close(got: object, wanted: object, tol: float) -> None:
    """Fails on NaN too."""
    error = np.abs(np.asarray(got, dtype=float) - np.asarray(wanted, dtype=float)).max()
    assert error <= tol, f"off by {error}"


@pytest.mark.parametrize("dof", [1, 2, 3, 7, 19, 100])
def test_tail_of_students_t(dof: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for t in (0.0, 0.1, 1.0, 2.5, 8.0, 30.0):
        wanted = stats.t.sf(t, dof)
        assert abs(t_tail(t, dof) - wanted) <= 1e-12 + 1e-9 * wanted


def test_p_is_that_of_the_paired_t_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    data = np.random.default_rng(0).normal(0.3, 1.0, size=20)
    close(paired_p_value(data), stats.ttest_1samp(data, 0.0).pvalue, 1e-12)


def test_p_without_spread() -> None:
    assert paired_p_value([0.0, 0.0, 0.0]) == 1.0
    assert paired_p_value([0.5, 0.5, 0.5]) == 0.25


def brute_holm(raw: list[float]) -> list[float]:
    """Smallest alpha at which the step-down procedure rejects each."""
    ranked = sorted(range(len(raw)), key=lambda i: raw[i])
    out = [0.0] * len(raw)
    for place, i in enumerate(ranked):
        out[i] = min(1.0, max(raw[j] * (len(raw) - before) for before, j in enumerate(ranked[: place + 1])))
    return out


@pytest.mark.parametrize("n", [0, 1, 2, 5, 17])
def test_holm_against_the_definition(n: int) -> None:
    raw = np.random.default_rng(n).uniform(0, 0.2, size=n).tolist()
    close([*holm(raw), 0.0], [*brute_holm(raw), 0.0], 0.0)


def test_holm_by_hand_and_with_ties() -> None:
    close(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06], 1e-15)
    close(holm([0.02, 0.02]), [0.04, 0.04], 1e-15)


def test_holm_keeps_the_share_of_false_families() -> None:
    """1,000 families of 10 true null hypotheses: at most 5 % (two standard errors: 6.4 %) hold a rejection."""
    rng = np.random.default_rng(0)
    wrong = sum(holm([paired_p_value(rng.normal(size=12)) for _ in range(10)]).min() <= 0.05 for _ in range(1000))
    assert wrong / 1000 <= 0.064


def test_area_of_known_curves() -> None:
    close(curve_area([10, 100], [[0.2, 0.6]]), [0.4], 1e-15)
    close(curve_area([10, 100, 10_000], [[0.0, 0.0, 1.0]]), [1 / 3], 1e-12)  # two thirds of the width at height 1/2
    close(curve_area([7], [[0.3], [0.5]]), [0.3, 0.5], 0.0)
    values = np.random.default_rng(0).uniform(size=(5, 4))
    close(
        curve_area([3, 9, 20, 80], values),
        [np.trapezoid(v, np.log([3, 9, 20, 80])) / math.log(80 / 3) for v in values],
        1e-12,
    )


def brute_isotonic(values: list[float]) -> list[float]:
    """Pool adjacent violators."""
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return [float(np.mean(block)) for block in blocks for _ in block]


def test_rising_is_isotonic_regression() -> None:
    curves = np.random.default_rng(0).normal(size=(200, 6))
    close(rising(curves), [brute_isotonic(curve.tolist()) for curve in curves], 1e-12)


RANDOM_BUDGETS = [10, 20, 40, 80]
RANDOM = np.tile([0.2, 0.3, 0.4, 0.5], (6, 1))  # accuracy gains 0.1 with every doubling


@pytest.mark.parametrize(
    ("accuracy", "budget", "wanted", "text"),
    [
        (0.4, 10, 4.0, "4 [4, 4]"),
        (0.35, 10, 2 * math.sqrt(2), "2.8 [2.8, 2.8]"),
        (0.3, 20, 1.0, "1 [1, 1]"),
        (0.25, 40, 10 * math.sqrt(2) / 40, "0.35 [0.35, 0.35]"),
        (0.5, 20, 4.0, "4 [4, 4]"),
        (0.51, 20, 4.0, ">=4 [>=4, >=4]"),
        (0.19, 20, 0.5, "<=0.5 [<=0.5, <=0.5]"),
        (0.2, 20, 0.5, "0.5 [0.5, 0.5]"),
    ],
)
def test_saving_on_a_known_curve(accuracy: float, budget: int, wanted: float, text: str) -> None:
    saving = label_saving(np.full(6, accuracy), budget, RANDOM, RANDOM_BUDGETS)
    close([saving.factor, saving.low, saving.high], wanted, 1e-12)
    assert str(saving) == text


def test_saving_where_the_curve_of_random_is_flat_takes_the_smaller_budget() -> None:
    flat = np.tile([0.2, 0.4, 0.4, 0.5], (4, 1))
    close(label_saving(np.full(4, 0.4), 10, flat, RANDOM_BUDGETS).factor, 2.0, 1e-12)
    falling = np.tile([0.2, 0.5, 0.3, 0.6], (4, 1))  # becomes .2 .4 .4 .6
    close(label_saving(np.full(4, 0.4), 10, falling, RANDOM_BUDGETS).factor, 2.0, 1e-12)


@pytest.mark.parametrize("budgets", [[10, 1000], [20, 40], [5, 640], [3, 50, 70], [6, 93]])
def test_saving_where_random_is_met_at_its_ends_is_no_bound(budgets: list[int]) -> None:
    random = np.tile(np.linspace(0.3, 0.9, len(budgets)), (6, 1))
    for place, budget in enumerate(budgets):
        assert str(label_saving(random[:, place], budget, random, budgets)) == "1 [1, 1]"


def test_saving_interval_is_the_bootstrap_of_pairs() -> None:
    """The same resamples, each interpolated by hand."""
    rng = np.random.default_rng(0)
    random = RANDOM[:1] + rng.normal(scale=0.03, size=(12, 4))
    ours = 0.33 + rng.normal(scale=0.03, size=12)
    drawn = (np.random.Generator(np.random.Philox(key=3)).random((400, 12)) * 12).astype(int)
    factors = []
    for rows in drawn:
        curve = brute_isotonic(random[rows].mean(axis=0).tolist())
        factors.append(math.exp(np.interp(ours[rows].mean(), curve, np.log(RANDOM_BUDGETS))) / 10)
    tail = expanded_tail(12, 0.95)
    low, high = np.quantile(factors, [tail, 1 - tail], method="inverted_cdf")
    saving = label_saving(ours, 10, random, RANDOM_BUDGETS, n_boot=400, seed=3)
    assert saving.low < saving.factor < saving.high
    close([saving.low, saving.high], [low, high], 1e-9)


def test_bad_statistics_input() -> None:
    with pytest.raises(InvalidInput, match=r"random must be \(seeds, budgets\) = \(3, 2\), got shape \(3, 4\)"):
        label_saving([0.1, 0.2, 0.3], 5, np.zeros((3, 4)), [1, 2])
    with pytest.raises(InvalidInput, match="random_budgets must ascend"):
        label_saving([0.1, 0.2, 0.3], 5, np.zeros((3, 2)), [2, 1])
    with pytest.raises(InvalidInput, match=r"p_values must be 1-D numbers in \[0, 1\]"):
        holm([1.2])
    with pytest.raises(InvalidInput, match="differences must be 1-D with at least 2 finite numbers"):
        paired_p_value([math.nan, 1.0])
