"""Samplers against enumeration and against their own definition."""

from __future__ import annotations

import numpy as np
import pytest

from oneglance.errors import InvalidInput
from oneglance.linalg import lewis_weights
from oneglance.reference import sampling as oracle
from oneglance.strategies.sampling import bernoulli, equal, inclusion_targets, with_replacement
from oneglance.strategies.sampling.conditional_poisson import (
    centred,
    fit_log_odds,
    inclusion_by_deviations,
    inclusion_by_inversion,
    logistic,
)
from oneglance.strategies.sampling.count_tree import draw_fixed_size

HARD = {
    "heavy": np.random.default_rng(0).pareto(1.2, 1000) + 1e-3,
    "300 orders": 10.0 ** -np.linspace(0, 300, 200),
    "subnormal": np.array([1.0, 1e-310, 1e-320, 0.0, 2.0]),
    "nearly certain": np.r_[np.ones(5), np.full(20, 1e-8)],
    "zeros between": np.tile([0.0, 1.0, 0.0, 3.0], 40),
    "equal": np.ones(65),
}
WITHIN_REACH = {"300 orders": 10, "subnormal": 2}  # distinct rows that fewer than 1e15 draws can see


def close(got, want, rtol):
    got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
    assert got.shape == want.shape
    assert np.all(np.abs(got - want) <= rtol * np.abs(want)), (got, want)


def gaussian_limit(observed, expected, variance, sigmas=5.0):
    assert np.all(np.abs(observed - expected) <= sigmas * np.sqrt(variance) + 1e-9), (observed, expected)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (5, 2), (8, 3), (10, 5), (9, 8), (10, 1)])
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_both_formulas_equal_enumeration(n, k, spread):
    log_odds = centred(np.random.default_rng(n * k).normal(size=n) * spread, k)
    want = oracle.conditional_inclusion(np.exp(log_odds), k)
    close(inclusion_by_inversion(log_odds, k), want, 1e-12)
    include, exclude = inclusion_by_deviations(log_odds, logistic(log_odds) > 0.5, k)
    close(include, want, 1e-12)
    close(1 - exclude, want, 1e-12)


@pytest.mark.parametrize(("n", "k"), [(63, 10), (300, 150), (150, 140), (1025, 64)])
def test_inversion_equals_dynamic_programming(n, k):
    log_odds = centred(np.random.default_rng(n).normal(size=n), k)
    close(
        inclusion_by_inversion(log_odds, k),
        oracle.conditional_inclusion_dp(np.exp(log_odds), k),
        1e-11,
    )


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("budget", [1, 2, 3])
def test_targets_equal_the_loop(name, budget):
    p = HARD[name]
    pi, certain = inclusion_targets(p, budget)
    want = oracle.inclusion_targets(p, budget)
    assert np.all(np.abs(pi - want) <= 1e-12 * want + 1e-300)  # subnormal numbers have few digits
    close(pi.sum(), budget, 1e-12)
    assert np.all(pi[certain] == 1.0)


@pytest.mark.parametrize("seed", range(6))
def test_conditioned_probabilities_hit_the_targets(seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(3, 11)), 2
    pi, certain = inclusion_targets(rng.random(n) ** 3 + 1e-3, k)
    rest = pi[~certain]
    if rest.size and certain.sum() != k:
        log_odds, error = fit_log_odds(rest)
        assert error <= 1e-9
        close(oracle.conditional_inclusion(np.exp(log_odds), k - int(certain.sum())), rest, 1e-9)


def test_without_the_correction_the_weights_would_be_biased():
    targets, _ = inclusion_targets(np.array([1.0, 1.0, 4.0, 4.0, 6.0]), 2)
    naive = oracle.conditional_inclusion(targets / (1 - targets), 2)
    assert np.max(np.abs(naive / targets - 1)) > 0.02
    log_odds, _ = fit_log_odds(targets)
    close(oracle.conditional_inclusion(np.exp(log_odds), 2), targets, 1e-9)


@pytest.mark.parametrize(
    ("p", "budget"),
    [(HARD["heavy"], 300), (np.random.default_rng(1).random(20_000), 700), (HARD["nearly certain"], 5)],
)
def test_fit_reports_its_error(p, budget):
    pi, certain = inclusion_targets(p, budget)
    _, error = fit_log_odds(pi[(pi > 0) & ~certain])
    assert error <= 1e-9


def test_bernoulli_draws_every_subset_with_its_probability():
    p = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 6.0])
    targets, certain = inclusion_targets(p, 3)
    assert not certain.any()
    positive = np.flatnonzero(p)
    log_odds, _ = fit_log_odds(targets[positive])
    subsets, mass = oracle.subset_law(np.exp(log_odds), 3)
    index = {tuple(positive[s]): i for i, s in enumerate(subsets)}
    n_runs = 4000
    seen = np.zeros(len(mass))
    for seed in range(n_runs):
        seen[index[tuple(positive[draw_fixed_size(log_odds, 3, seed=seed)])]] += 1
    chi2 = float(np.sum((seen - n_runs * mass) ** 2 / (n_runs * mass)))
    assert chi2 <= 45.0, chi2  # 19 degrees of freedom: exceeded once in 1,400


def test_bernoulli_marginals_where_conditioning_matters_most():
    p, n_runs = np.array([1.0, 1.0, 4.0, 4.0, 6.0]), 2500
    targets, _ = inclusion_targets(p, 2)
    naive = oracle.conditional_inclusion(targets / (1 - targets), 2)
    spread = np.sqrt(targets * (1 - targets) / n_runs)
    assert np.max(np.abs(naive - targets) / spread) > 5  # so that the next line would see it
    seen = np.zeros(5)
    for seed in range(n_runs):
        seen[bernoulli(p, 2, seed=seed).indices] += 1
    gaussian_limit(seen / n_runs, targets, spread**2, sigmas=4)


@pytest.mark.parametrize(("n", "budget"), [(200, 40), (200, 190), (1000, 7)])
def test_bernoulli_marginals_over_several_blocks(n, budget):
    p = np.random.default_rng(n).pareto(1.5, n) + 0.05
    pi, certain = inclusion_targets(p, budget)
    n_runs = 600
    seen = np.zeros(n)
    for seed in range(n_runs):
        seen[bernoulli(p, budget, seed=seed).indices] += 1
    assert np.all(seen[certain] == n_runs)
    gaussian_limit(seen, n_runs * pi, n_runs * pi * (1 - pi) + 1.0)
    z = (seen - n_runs * pi)[~certain] / np.sqrt(n_runs * pi * (1 - pi))[~certain]
    assert abs(float(np.mean(z**2)) - 1) <= 4 * np.sqrt(2 / z.size)


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("sampler", [bernoulli, with_replacement])
def test_exactly_budget_distinct_positive_rows(name, sampler):
    p = HARD[name]
    n_positive = int(np.count_nonzero(p))
    for budget in sorted({1, 2, n_positive // 2, n_positive - 1, n_positive} - {0}):
        if sampler is with_replacement and budget > WITHIN_REACH.get(name, n_positive):
            with pytest.raises(InvalidInput, match="would need about"):
                sampler(p, budget, seed=3)
            continue
        sample = sampler(p, budget, seed=3)
        assert sample.indices.dtype == np.int64
        assert len(np.unique(sample.indices)) == budget == len(sample.indices)
        assert np.all(np.diff(sample.indices) > 0) or budget == 1
        assert np.all(p[sample.indices] > 0)
        assert np.all((sample.inclusion_prob > 0) & (sample.inclusion_prob <= 1))
        assert np.all(np.isfinite(sample.weights) & (sample.weights > 0))


def test_same_seed_same_rows_other_seed_other_rows():
    p = HARD["heavy"]
    for sampler in (bernoulli, with_replacement):
        first, again = sampler(p, 100, seed=5), sampler(p, 100, seed=5)
        assert first.indices.tobytes() == again.indices.tobytes()
        assert first.weights.tobytes() == again.weights.tobytes()
        assert first.indices.tobytes() != sampler(p, 100, seed=6).indices.tobytes()
        assert first.indices.tobytes() != sampler(p, 100, seed=5, stream=1).indices.tobytes()


def test_scale_of_p_does_not_matter():
    p = HARD["heavy"]
    for sampler in (bernoulli, with_replacement):
        assert np.array_equal(sampler(p, 60, seed=1).indices, sampler(p * 2.0**40, 60, seed=1).indices)


def test_certainty_rows_fill_the_budget():
    p = np.r_[np.full(4, 1e6), np.full(50, 1e-9)]
    sample = bernoulli(p, 4, seed=0)
    assert sample.indices.tolist() == [0, 1, 2, 3]
    close(sample.weights, np.ones(4), 1e-9)


def test_all_rows_are_certain_when_the_budget_is_all_of_them():
    for p in (np.ones(7), HARD["heavy"], HARD["300 orders"]):
        sample = bernoulli(p, p.size)
        assert np.array_equal(sample.indices, np.arange(p.size))
        assert np.all(sample.weights == 1.0)


def test_bernoulli_estimates_a_norm_without_bias():
    rng = np.random.default_rng(2)
    p = rng.pareto(1.3, 400) + 0.01
    y = p * rng.random(400) * 2
    ratios = [float(np.sum(s.weights * y[s.indices]) / y.sum()) for s in (bernoulli(p, 30, seed=i) for i in range(800))]
    gaussian_limit(np.mean(ratios), 1.0, np.var(ratios) / len(ratios), sigmas=4)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_lewis_samples_preserve_the_norm(power):
    rng = np.random.default_rng(int(power))
    matrix = rng.standard_t(2, size=(500, 4))
    x = rng.normal(size=4)
    loss = np.abs(matrix @ x) ** power
    p = lewis_weights(matrix, power).weights
    ratios = []
    for seed in range(500):
        sample = bernoulli(p, 60, seed=seed)
        ratios.append(float(np.sum(sample.weights * loss[sample.indices]) / loss.sum()))
    gaussian_limit(np.mean(ratios), 1.0, np.var(ratios) / len(ratios), sigmas=4)
    uniform = [
        float(np.sum(loss[equal(np.arange(500), 60, seed=i).indices])) * 500 / 60 / loss.sum() for i in range(500)
    ]
    assert np.std(ratios) < 0.7 * np.std(uniform)


def test_paper_mode_weights_as_algorithm_1():
    p = np.random.default_rng(0).random(50)
    sample = with_replacement(p, 20, seed=4)
    assert sample.n_draws == sample.counts.sum()
    share = p[sample.indices] / p.sum()
    close(sample.weights, sample.counts / (sample.n_draws * share), 1e-12)
    close(sample.inclusion_prob, 1 - (1 - share) ** sample.n_draws, 1e-9)


def test_paper_mode_has_the_law_of_the_literal_loop():
    p = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    rng = np.random.default_rng(0)
    n_runs = 3000
    literal_m, literal_c, m, c = [], np.zeros((n_runs, 5)), [], np.zeros((n_runs, 5))
    for i in range(n_runs):
        draws = oracle.draw_until_distinct(p, 4, rng)
        literal_m.append(draws.size)
        literal_c[i] = np.bincount(draws, minlength=5)
        sample = with_replacement(p, 4, seed=i)
        m.append(sample.n_draws)
        c[i, sample.indices] = sample.counts
    for got, want in ((np.array(m), np.array(literal_m)), *zip(c.T, literal_c.T, strict=True)):
        for power in (1, 2):
            a, b = got.astype(float) ** power, want.astype(float) ** power
            gaussian_limit(a.mean(), b.mean(), (a.var() + b.var()) / n_runs, sigmas=4)
    gaussian_limit((c > 0).mean(0), (literal_c > 0).mean(0), np.full(5, 0.5 / n_runs))


def test_paper_mode_bias_is_small_and_upward():
    p = np.random.default_rng(3).pareto(1.2, 300) + 0.01
    totals = [
        float(np.sum(s.weights * p[s.indices]) / p.sum()) for s in (with_replacement(p, 20, seed=i) for i in range(400))
    ]
    close(totals, np.ones(400), 1e-12)  # sum c_i / m = 1 for y = p, always
    y = np.ones(300)
    ratio = np.array(
        [float(np.sum(s.weights * y[s.indices]) / 300) for s in (with_replacement(p, 20, seed=i) for i in range(3000))]
    )
    assert ratio.mean() + 2 * ratio.std() / np.sqrt(3000) >= 1.0
    assert ratio.mean() <= 1.15


def test_skewed_p_costs_no_loop():
    p = np.random.default_rng(1).pareto(1.2, 300)
    sample = with_replacement(p, 280, seed=0)
    assert len(sample.indices) == 280
    assert 2_000 <= sample.n_draws <= 1_000_000


def test_larger_budget_contains_the_smaller():
    p = HARD["heavy"]
    small, large = with_replacement(p, 20, seed=9).indices, with_replacement(p, 60, seed=9).indices
    assert np.isin(small, large).all()
    assert np.isin(equal(np.arange(90), 10, seed=2).indices, equal(np.arange(90), 30, seed=2).indices).all()


def test_equal_depends_on_ids_not_order():
    rows = np.arange(100, 300, 2)
    a, b = equal(rows, 17, seed=1), equal(rows[::-1], 17, seed=1)
    assert np.array_equal(a.indices, b.indices)
    assert np.isin(a.indices, rows).all()
    close(a.inclusion_prob, np.full(17, 0.17), 1e-12)
    close(a.weights, np.full(17, 1 / 0.17), 1e-12)


@pytest.mark.parametrize("sampler", [bernoulli, with_replacement])
def test_refusals_say_what_to_do(sampler):
    with pytest.raises(InvalidInput, match=r"budget is 4, but only 2 of 5 rows .* Ask for at most 2"):
        sampler([1.0, 0, 0, 2.0, 0], 4)
    with pytest.raises(InvalidInput, match="finite numbers >= 0, got nan at row 1"):
        sampler([1.0, np.nan], 1)
    with pytest.raises(InvalidInput, match=r"got -1.0 at row 0 \(2 such rows\)"):
        sampler([-1.0, -2.0], 1)
    with pytest.raises(InvalidInput, match="budget must be an integer >= 1, got 0"):
        sampler([1.0], 0)
    with pytest.raises(InvalidInput, match=r"non-empty 1-D array of probabilities, got shape \(1, 2\)"):
        sampler([[1.0, 2.0]], 1)


def test_paper_mode_refuses_hopeless_budgets():
    with pytest.raises(InvalidInput, match=r'draws to see 200 distinct rows.*sampler="bernoulli"'):
        with_replacement(HARD["300 orders"], 200)


def test_a_million_rows():
    p = np.random.default_rng(0).pareto(1.5, 1_000_000)
    sample = bernoulli(p, 5_000, seed=0)
    assert len(np.unique(sample.indices)) == 5_000
    total = float(np.sum(sample.weights * p[sample.indices]) / p.sum())
    close(total, 1.0, 1e-6)  # y = p: every pick below certainty contributes the same amount
