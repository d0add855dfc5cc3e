"""Properties of the samplers over arbitrary probabilities."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from oneglance.reference import sampling as oracle
from oneglance.strategies.sampling import bernoulli, inclusion_targets, pivotal, with_replacement
from oneglance.strategies.sampling.conditional_poisson import fit_log_odds

exponents = st.floats(-12.0, 12.0, allow_nan=False)
pools = st.lists(st.one_of(exponents, st.none()), min_size=1, max_size=60).map(
    lambda logs: np.array([0.0 if x is None else np.exp(x) for x in logs])
)


@st.composite
def requests(draw):
    p = draw(pools.filter(lambda p: p.any()))
    return p, draw(st.integers(1, int(np.count_nonzero(p)))), draw(st.integers(0, 2**63 - 1))


@given(requests())
@settings(max_examples=150, deadline=None)
def test_bernoulli_keeps_its_promises(request_):
    p, budget, seed = request_
    pi, certain = inclusion_targets(p, budget)
    assert abs(pi.sum() - budget) <= 1e-9 * budget
    assert np.all(pi <= 1.0)
    assert np.all((pi > 0) == (p > 0))
    sample = bernoulli(p, budget, seed=seed)
    assert len(set(sample.indices.tolist())) == budget
    assert np.isin(np.flatnonzero(certain), sample.indices).all()
    assert np.array_equal(sample.inclusion_prob, pi[sample.indices])


@given(requests())
@settings(max_examples=100, deadline=None)
def test_pivotal_keeps_its_promises(request_):
    p, budget, seed = request_
    pi, certain = inclusion_targets(p, budget)
    sample = pivotal(p, budget, points=np.log1p(p)[:, None], seed=seed)
    assert len(set(sample.indices.tolist())) == budget
    assert np.isin(np.flatnonzero(certain), sample.indices).all()
    assert np.all(np.abs(sample.inclusion_prob - pi[sample.indices]) <= 1e-12)


@given(st.lists(st.floats(-6.0, 6.0), min_size=2, max_size=9), st.data())
@settings(max_examples=150, deadline=None)
def test_conditioned_inclusion_is_exact(logs, data):
    p = np.exp(np.array(logs))
    budget = data.draw(st.integers(1, p.size - 1))
    pi, certain = inclusion_targets(p, budget)
    n_left = budget - int(certain.sum())
    if n_left:
        log_odds, error = fit_log_odds(pi[~certain])
        got = oracle.conditional_inclusion(np.exp(log_odds), n_left)
        assert error <= 1e-8
        assert np.all(np.abs(got - pi[~certain]) <= 1e-8 * pi[~certain])


@given(requests())
@settings(max_examples=100, deadline=None)
def test_paper_mode_keeps_its_promises(request_):
    p, budget, seed = request_
    sample = with_replacement(p, budget, seed=seed)
    assert len(set(sample.indices.tolist())) == budget
    assert sample.counts.min() >= 1
    assert sample.counts.sum() == sample.n_draws
    estimate = float(np.sum(sample.weights * p[sample.indices]))
    assert abs(estimate - p.sum()) <= 1e-9 * p.sum()  # sum c_i / m = 1
