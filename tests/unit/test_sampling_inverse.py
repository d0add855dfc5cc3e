"""Inverse sampling: the paper's draws with weights that have no bias."""

from __future__ import annotations

import numpy as np
import pytest

from oneglance.errors import InvalidInput
from oneglance.reference import sampling as oracle
from oneglance.strategies.sampling import inverse_sampling, with_replacement

HEAVY = np.random.default_rng(3).pareto(1.2, 300) + 0.01


def test_no_bias_where_the_papers_weights_have_one():
    n_runs, p = 3000, 2.0 ** np.arange(6)
    totals = {}
    for draw in (inverse_sampling, with_replacement):
        totals[draw] = np.array([float(draw(p, 3, seed=seed).weights.sum()) / 6 for seed in range(n_runs)])
    mean, error = ({draw: f(t) for draw, t in totals.items()} for f in (np.mean, lambda t: np.std(t) / np.sqrt(n_runs)))
    assert abs(mean[inverse_sampling] - 1) <= 4 * error[inverse_sampling]
    assert mean[with_replacement] - 1 > 4 * error[with_replacement]  # else this test could not tell


@pytest.mark.parametrize("budget", [1, 5, 60])
def test_both_weights_have_no_bias(budget):
    rng, n_runs = np.random.default_rng(budget), 2500
    y = HEAVY * rng.random(300)
    by_draws, by_arrival = np.empty(n_runs), np.empty(n_runs)
    for seed in range(n_runs):
        s = inverse_sampling(HEAVY, budget, seed=seed)
        by_draws[seed] = s.weights @ y[s.indices] / y.sum()
        by_arrival[seed] = (1 / s.inclusion_prob) @ y[s.indices] / y.sum()
    for totals in (by_draws, by_arrival):
        assert abs(totals.mean() - 1) <= 4 * totals.std() / np.sqrt(n_runs)


def test_law_of_the_literal_loop():
    p, n_runs = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), 3000
    rng = np.random.default_rng(0)
    want, got = np.zeros((n_runs, 5)), np.zeros((n_runs, 5))
    for i in range(n_runs):
        want[i] = np.bincount(oracle.draw_until_beyond(p, 3, rng), minlength=5)
        sample = inverse_sampling(p, 3, seed=i)
        assert sample.counts.sum() == sample.n_draws
        np.testing.assert_allclose(
            sample.weights, sample.counts / (sample.n_draws * p[sample.indices] / 31), rtol=1e-12
        )
        got[i, sample.indices] = sample.counts
    for power in (0, 1, 2):
        a, b = np.where(got > 0, got**power, 0), np.where(want > 0, want**power, 0)
        assert np.all(np.abs(a.mean(0) - b.mean(0)) <= 4.5 * np.sqrt((a.var(0) + b.var(0)) / n_runs) + 1e-9)


def test_rows_are_those_of_the_paper_mode():
    for budget in (1, 7, 100):
        ours, paper = inverse_sampling(HEAVY, budget, seed=4), with_replacement(HEAVY, budget, seed=4)
        assert ours.indices.tobytes() == paper.indices.tobytes()
        assert ours.weights.tobytes() == inverse_sampling(HEAVY, budget, seed=4).weights.tobytes()
        assert np.all((ours.inclusion_prob > 0) & (ours.inclusion_prob < 1))


def test_all_rows_are_known_then():
    sample = inverse_sampling(np.array([0.0, 3.0, 1e-310, 2.0]), 3)
    assert sample.indices.tolist() == [1, 2, 3]
    assert np.all(sample.weights == 1)
    assert sample.counts is None


def test_refuses_hopeless_budgets():
    with pytest.raises(InvalidInput, match=r'"unbiased" would need .* beyond 100 distinct ones.*sampler="bernoulli"'):
        inverse_sampling(10.0 ** -np.linspace(0, 300, 200), 100)
    with pytest.raises(InvalidInput, match="budget is 4, but only 2 of 3 rows"):
        inverse_sampling([1.0, 0.0, 2.0], 4)
