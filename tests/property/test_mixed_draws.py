"""Draws with room per group, and draws with prices: caps and money hold always, probabilities are what is stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oneglance as og
from oneglance.reference import mixed_draws as oracle
from oneglance.strategies.sampling import capped, capped_targets, inclusion_targets, priced, priced_targets

DRAWS = 4000


@st.composite
def grouped(draw):
    """(p, budget, groups, room), possible."""
    n_groups = draw(st.integers(1, 8))
    rows = st.tuples(st.floats(-9.0, 9.0), st.integers(0, n_groups - 1))
    logs, groups = zip(*draw(st.lists(rows, min_size=1, max_size=40)), strict=True)
    p = np.exp(np.array(logs))
    room = np.array(draw(st.lists(st.integers(0, 4), min_size=n_groups, max_size=n_groups)), dtype=np.int64)
    room[groups[0]] = max(1, room[groups[0]])
    groups = np.array(groups, dtype=np.int64)
    most = int(np.minimum(room, np.bincount(groups, minlength=n_groups)).sum())
    return p, draw(st.integers(1, most)), groups, room


@st.composite
def priced_pools(draw):
    n = draw(st.integers(2, 9))
    p = np.exp(np.array(draw(st.lists(st.floats(-4.0, 4.0), min_size=n, max_size=n))))
    costs = np.array(draw(st.lists(st.floats(0.5, 20.0), min_size=n, max_size=n)))
    return p, costs, float(costs.max() * 1.01 + draw(st.floats(0.0, 1.0)) * costs.sum())


@given(grouped(), st.integers(0, 2**63 - 1))
@settings(max_examples=200, deadline=None)
def test_a_capped_draw_keeps_budget_room_and_probabilities(request_, seed):
    p, budget, groups, room = request_
    pi = capped_targets(p, budget, groups, room)
    assert abs(pi.sum() - budget) <= 1e-9 * budget
    assert pi.max() <= 1.0
    assert (np.bincount(groups, pi, minlength=room.size) <= room + 1e-9).all()
    np.testing.assert_allclose(pi, oracle.capped_targets(p, budget, groups, room), rtol=1e-6, atol=1e-9)
    sample = capped(p, budget, groups, room, seed=seed)
    assert len(set(sample.indices.tolist())) == budget
    assert (np.bincount(groups[sample.indices], minlength=room.size) <= room).all()
    np.testing.assert_allclose(sample.inclusion_prob, pi[sample.indices], atol=2e-9)
    np.testing.assert_array_equal(sample.weights, 1.0 / sample.inclusion_prob)


def test_without_groups_to_heed_capped_probabilities_are_the_plain_ones():
    p = np.random.default_rng(0).lognormal(size=200)
    groups = np.arange(200)
    np.testing.assert_allclose(
        capped_targets(p, 30, groups, np.ones(200, dtype=np.int64)), inclusion_targets(p, 30)[0], rtol=1e-12
    )


def test_capped_rows_come_as_often_as_stated():
    """Monte-Carlo, with full groups, certain rows and groups of one."""
    rng = np.random.default_rng(1)
    p = np.append(rng.lognormal(sigma=1.5, size=29), 500.0)
    groups = np.append(rng.integers(0, 7, 29), 7)
    room = np.array([1, 1, 2, 2, 3, 9, 1, 1])
    pi = capped_targets(p, 11, groups, room)
    counts, sums = np.zeros(30), []
    values = rng.normal(size=30) + 2
    for seed in range(DRAWS):
        sample = capped(p, 11, groups, room, seed=seed)
        counts[sample.indices] += 1
        sums.append(sample.weights @ values[sample.indices])
    error = np.sqrt(pi * (1 - pi) / DRAWS) + 1e-12
    assert (np.abs(counts / DRAWS - pi) < 4.5 * error).all()
    assert abs(np.mean(sums) - values.sum()) < 4.5 * np.std(sums) / math.sqrt(DRAWS)


def test_groups_without_room_are_named():
    with pytest.raises(og.InvalidInput, match="budget is 5, but groups have room for 3 items"):
        capped(np.ones(6), 5, np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2]))


@given(priced_pools(), st.integers(0, 2**63 - 1))
@settings(max_examples=200, deadline=None)
def test_a_priced_draw_never_costs_more_than_the_money(request_, seed):
    p, costs, money = request_
    sample = priced(p, costs, money, seed=seed)
    assert math.fsum(costs[sample.indices]) <= money
    assert ((sample.inclusion_prob > 0) & (sample.inclusion_prob <= 1)).all()
    spend = 0.6 * costs.sum()
    np.testing.assert_allclose(priced_targets(p, costs, spend), oracle.priced_targets(p, costs, spend), rtol=1e-9)


@given(priced_pools())
@settings(max_examples=40, deadline=None)
def test_the_law_of_the_trade_has_the_stated_probabilities(request_):
    """All outcomes of the oracle: probabilities of rows as asked, cost off its mean by less than one price."""
    p, costs, money = request_
    pi = priced_targets(p, costs, min(money, 0.5 * costs.sum()))
    inside = (pi > 1e-6) & (pi < 1 - 1e-6)
    pi, costs = pi[inside], costs[inside]
    found, mean = np.zeros(pi.size), pi @ costs
    for mass, rows in oracle.trade_law((pi * costs).tolist(), costs.tolist()):
        found[list(rows)] += mass
        assert abs(costs[list(rows)].sum() - mean) < costs.max() * (1 + 1e-9)
    np.testing.assert_allclose(found, pi, atol=1e-9)


def test_priced_rows_come_as_often_as_stated():
    rng = np.random.default_rng(2)
    p, costs = rng.lognormal(size=25), rng.lognormal(sigma=0.7, size=25)
    money = 0.5 * costs.sum()
    stated, counts, spent = np.zeros(25), np.zeros(25), []
    for seed in range(DRAWS):
        sample = priced(p, costs, money, seed=seed)
        counts[sample.indices] += 1
        stated[sample.indices] = sample.inclusion_prob
        spent.append(costs[sample.indices].sum())
    error = np.sqrt(stated * (1 - stated) / DRAWS) + 1e-12
    assert (np.abs(counts / DRAWS - stated) < 4.5 * error).all()
    assert max(spent) <= money
    assert abs(np.mean(spent) - stated @ costs) < 4.5 * np.std(spent) / math.sqrt(DRAWS)


def test_equal_prices_are_a_budget_of_items():
    sample = priced(np.arange(1.0, 21.0), np.full(20, 2.5), 18.0)
    assert sample.indices.size == 7
    np.testing.assert_allclose(sample.inclusion_prob, inclusion_targets(np.arange(1.0, 21.0), 7)[0][sample.indices])
    everything = priced(np.ones(4), np.array([1.0, 2.0, 3.0, 4.0]), 10.0)
    assert everything.inclusion_prob.tolist() == [1.0] * 4


def test_money_below_the_dearest_item_is_named():
    with pytest.raises(og.InvalidInput, match=r"budget is 5, and an item that is drawn by chance costs 8"):
        priced(np.ones(4), np.array([1.0, 2.0, 3.0, 8.0]), 5.0)
    with pytest.raises(og.InvalidInput, match=r"budget is 1, and an item that is drawn by chance costs 2"):
        priced(np.ones(4), np.full(4, 2.0), 1.0)
