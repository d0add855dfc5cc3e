"""The pivotal sampler against its exact law, and what it is for: smooth totals."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from oneglance import _core
from oneglance._types import RowShards
from oneglance.errors import InvalidInput
from oneglance.reference import sampling as oracle
from oneglance.strategies.principal import principal_coordinates
from oneglance.strategies.sampling import bernoulli, inclusion_targets, pivotal
from oneglance.strategies.sampling.tree_order import halvings, tree_order

RNG = np.random.default_rng(12)
POINTS = {
    "normal": RNG.normal(size=(61, 3)),
    "few places": RNG.integers(0, 2, size=(40, 2)).astype(float),
    "all alike": np.ones((17, 2)),
    "one": np.zeros((1, 1)),
    "two": np.array([[1.0], [0.0]]),
    "huge and tiny": RNG.normal(size=(33, 3)) * np.array([1e12, 1.0, 1e-12]),
}
HEAVY = np.random.default_rng(0).pareto(1.2, 300) + 1e-3


def clusters(n=600, k=12, seed=3):
    """Places, probabilities and a quantity; the latter two alike in a cluster."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, k, n)
    points = rng.normal(size=(k, 4))[of] * 5 + rng.normal(size=(n, 4)) * 0.3
    return points, rng.pareto(1.5, k)[of] + 0.2, rng.normal(size=k)[of] + 3.0


@pytest.mark.parametrize("name", POINTS)
def test_order_is_that_of_the_definition(name):
    points = POINTS[name]
    order = tree_order(points)
    assert sorted(order.tolist()) == list(range(len(points)))
    assert order.tolist() == oracle.tree_order(points)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 100])
def test_nodes_are_halved_to_single_rows(n):
    levels = halvings(n)
    assert levels[0].tolist() == [0, n]
    assert np.diff(levels[-1]).max() == 1
    for whole, halves in pairwise(levels):
        assert np.array_equal(whole, halves[::2])
        sizes = np.diff(halves).reshape(-1, 2)
        assert np.all((sizes[:, 0] - sizes[:, 1] >= 0) & (sizes[:, 0] - sizes[:, 1] <= 1))


def test_exact_law_has_the_marginals_and_draws_follow_it():
    p, points = np.array([1.0, 2.0, 5.0, 3.0, 2.0, 2.0, 4.0]), POINTS["normal"][:7]
    pi = [Fraction(int(3 * x), 19) for x in p]
    law = oracle.pivotal_law(pi, oracle.tree_order(points))
    assert sum(law.values()) == 1
    assert all(left == 0 and len(picked) == 3 for picked, _, left in law)
    for row in range(7):
        assert sum(chance for (picked, _, _), chance in law.items() if row in picked) == pi[row]
    sets: dict[frozenset[int], float] = {}
    for (picked, _, _), chance in law.items():
        sets[picked] = sets.get(picked, 0.0) + float(chance)
    n_runs = 4000
    seen = dict.fromkeys(sets, 0)
    for seed in range(n_runs):
        seen[frozenset(pivotal(p, 3, points=points, seed=seed).indices.tolist())] += 1  # no set beyond the law
    for picked, chance in sets.items():
        assert abs(seen[picked] - n_runs * chance) <= 4.5 * np.sqrt(n_runs * chance * (1 - chance)) + 1e-9


def test_heavy_tails_keep_their_marginals_and_sums_have_no_bias():
    points = np.random.default_rng(1).normal(size=(300, 2))
    pi, certain = inclusion_targets(HEAVY, 60)
    y, n_runs = np.sqrt(HEAVY) * (2 + np.sin(points[:, 0])), 1500
    seen, ratios = np.zeros(300), []
    for seed in range(n_runs):
        sample = pivotal(HEAVY, 60, points=points, seed=seed)
        assert len(sample.indices) == 60
        assert np.all(np.abs(sample.inclusion_prob - pi[sample.indices]) <= 1e-12)
        assert np.array_equal(sample.weights, 1 / sample.inclusion_prob)
        seen[sample.indices] += 1
        ratios.append(float(sample.weights @ y[sample.indices] / y.sum()))
    assert np.all(seen[certain] == n_runs)
    z = (seen - n_runs * pi)[~certain] / np.sqrt(n_runs * pi * (1 - pi))[~certain]
    assert np.abs(z).max() <= 5
    assert abs(float(np.mean(z**2)) - 1) <= 4 * np.sqrt(2 / z.size)
    assert abs(np.mean(ratios) - 1) <= 4 * np.std(ratios) / np.sqrt(n_runs)


def test_smooth_totals_vary_far_less():
    points, p, y = clusters()

    def spread(draw):
        totals = [float(s.weights @ y[s.indices]) / y.sum() for s in map(draw, range(300))]
        assert abs(np.mean(totals) - 1) <= 4 * np.std(totals) / np.sqrt(300)
        return np.std(totals)

    plain = spread(lambda seed: bernoulli(p, 60, seed=seed))
    spread_out = spread(lambda seed: pivotal(p, 60, points=points, seed=seed))
    by_chance = np.random.default_rng(5).normal(size=(600, 4))  # places that tell nothing about y
    unrelated = spread(lambda seed: pivotal(p, 60, points=by_chance, seed=seed))
    assert spread_out < 0.7 * plain
    assert 0.75 * plain < unrelated < 1.3 * plain


def test_duplicates_are_hardly_ever_picked_together():
    points = np.repeat(np.random.default_rng(6).normal(size=(64, 3)), 2, axis=0)
    for seed in range(40):  # 32 picks of 64 pairs; a pair is a node and sums to 1/2
        picks = pivotal(np.ones(128), 32, points=points, seed=seed).indices
        assert len(np.unique(picks // 2)) == 32


def test_awkward_requests():
    for p in (HEAVY[:50], np.ones(7), np.r_[0.0, 1.0, 0.0, 2.0, 1e-300], 10.0 ** -np.linspace(0, 300, 50)):
        n_positive = int(np.count_nonzero(p))
        points = np.zeros((p.size, 2))
        for budget in range(1, n_positive + 1):
            sample = pivotal(p, budget, points=points, seed=budget)
            assert len(np.unique(sample.indices)) == budget == len(sample.indices)
            assert np.all(p[sample.indices] > 0)
            assert np.all((sample.inclusion_prob > 0) & (sample.inclusion_prob <= 1))
            assert np.all(np.isfinite(sample.weights))
        assert np.array_equal(sample.indices, np.flatnonzero(p))
        assert np.all(sample.weights == 1)


def test_same_seed_same_rows():
    points = np.random.default_rng(1).normal(size=(300, 2))
    first = pivotal(HEAVY, 60, points=points, seed=5)
    again = pivotal(HEAVY * 2.0**40, 60, points=points, seed=5)
    assert first.indices.tobytes() == again.indices.tobytes()
    assert first.weights.tobytes() == again.weights.tobytes()
    assert first.indices.tobytes() != pivotal(HEAVY, 60, points=points, seed=6).indices.tobytes()
    assert first.indices.tobytes() != pivotal(HEAVY, 60, points=points, seed=5, stream=1).indices.tobytes()


def test_points_of_another_length_are_refused():
    with pytest.raises(InvalidInput, match=r"points must have shape \(3, k\), one row per entry of p, got \(2, 5\)"):
        pivotal([1.0, 1.0, 1.0], 2, points=np.zeros((2, 5)))
    with pytest.raises(InvalidInput, match=r"budget is 4, but only 3 of 3 rows"):
        pivotal([1.0, 1.0, 1.0], 4, points=np.zeros((3, 1)))


def test_principal_coordinates_are_those_of_an_svd():
    rng = np.random.default_rng(8)
    rows = (rng.normal(size=(400, 20)) * 3.0 ** -np.arange(20)).astype(np.float32)
    mask = np.ones(400, dtype=bool)
    mask[::7] = False
    rows[0] = np.nan
    got = principal_coordinates(RowShards((rows[:150], rows[150:])), mask, 4)
    u, s, _ = np.linalg.svd(rows[mask].astype(np.float64), full_matrices=False)
    want = (u * s)[:, :4]
    sign = np.sign(np.einsum("ij,ij->j", got[mask], want))
    assert np.abs(got[mask] * sign - want).max() <= 0.02 * s[3]
    assert np.all(got[~mask] == 0)
    flat = principal_coordinates(RowShards((np.ones((5, 3), np.float32),)), np.ones(5, dtype=bool), 16)
    assert flat.shape == (5, 3)
    assert np.all(np.isfinite(flat))


def test_principal_coordinates_do_not_depend_on_threads():
    rows = RowShards((np.random.default_rng(9).normal(size=(3000, 64)).astype(np.float16),))
    answers = []
    for n_threads in (1, 2, 3):
        _core.set_threads(n_threads)
        answers.append(principal_coordinates(rows, np.ones(3000, dtype=bool), 16).tobytes())
    _core.set_threads(0)
    assert len(set(answers)) == 1
