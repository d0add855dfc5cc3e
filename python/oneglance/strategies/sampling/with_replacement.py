"""Independent draws with replacement until enough distinct rows are seen: the paper's Algorithm 1, and unbiased."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._check import seed_int
from ..._rng import Purpose, uniforms
from ..._types import BoolArray, Float64Array, IntArray
from ...errors import InvalidInput
from .poisson_variates import poisson_variates
from .sample import Sample, check_request

_MOST_DRAWS = 2.0**52  # counts must stay exact in float64


def with_replacement(p: Any, budget: int, *, seed: int = 0, stream: int = 0) -> Sample:
    """Rows drawn i.i.d. from p / sum(p), with replacement, until `budget` distinct ones have been seen.

    p       (n,), non-negative; the scale does not matter, zeros are never drawn
    budget  1 .. number of positive entries of p: *distinct* rows; repeats cost no label
    seed    same seed, same rows; a larger budget contains the smaller one
    stream  tells apart several draws under one seed (one number per stratum)

    Returns a Sample with n_draws = m (all draws, repeats included), counts c_i, weights c_i / (m p_i) and
    inclusion_prob 1 - (1 - p_i)^m: the probability of row i to be among m draws, for the m that was
    needed in this run (m itself is random).

    Source: Huang, Li, Sun, Tang, ICLR 2024 (arXiv 2405.14121v2), Algorithm 1. A property to know: since
    drawing stops at a new row, weighting by 1/m overestimates sums slightly (measured on heavy-tailed p:
    +4.6 % at budget 20, below 1 % from budget 100). `inverse_sampling` and the default
    sampler `bernoulli` have no such bias.

    The draws are never made one by one. In continuous time row i arrives at rate p_i: its first arrival is
    E_i / p_i with E_i exponential, the `budget` earliest rows are the sample, and between its first arrival
    and the end T a row arrives Poisson(p_i (T - T_i)) more times. The order of all arrivals is i.i.d. from
    p, so rows, counts and m have exactly the law of the literal loop, at cost O(n), however skewed p is.

    Raises InvalidInput when fewer than `budget` rows are positive, or when about 1e15 draws or more would be
    needed (a budget that reaches into rows of vanishing probability).
    """
    values, budget = check_request(p, budget)
    rows, share, arrival = _arrivals(values, seed, stream)
    order = np.lexsort((rows, arrival))[:budget]
    end = float(arrival[order[-1]])
    if not end < _MOST_DRAWS:
        raise InvalidInput(
            f'sampler="paper" would need about {end:.1e} draws to see {budget} distinct rows, because the'
            ' remaining rows have next to no probability. Ask for fewer, or use sampler="bernoulli".'
        )
    chosen = np.sort(order)
    counts = 1 + _repeats(rows, share, arrival, chosen, end, seed, stream)
    n_draws = int(counts.sum())
    picked = share[chosen]
    with np.errstate(divide="ignore"):  # a row of share 1: log(0), and an inclusion probability of 1
        inclusion = -np.expm1(n_draws * np.log1p(-picked))
    return Sample(rows[chosen], _below_one(inclusion, picked < 1), counts / (n_draws * picked), counts, n_draws)


def inverse_sampling(p: Any, budget: int, *, seed: int = 0, stream: int = 0) -> Sample:
    """Rows drawn i.i.d. from p / sum(p), with replacement, as long as they are of the first `budget` distinct ones.

    p, budget, seed, stream  as in with_replacement, whose rows these are: only what they weigh differs

    Returns a Sample with n_draws = m - 1, counts c_i and weights c_i / ((m - 1) p_i), where draw m is the first of a
    row beyond the budget. That draw ends the run and is not used; its row needs no label. Given m, the m - 1 draws
    before are exchangeable, so each is as likely to be any row as the first draw is: the weighted sum over the picks
    is an unbiased estimate of the sum over the pool (inverse sampling; Pathak, Annals of Mathematical Statistics 35,
    1964). Stopping at the draw that fills the budget, and counting it, as with_replacement does, is not.

    inclusion_prob is 1 - exp(-p_i T), T the time of draw m in continuous time: the probability that row i arrives
    before the first row left out, given the arrivals of all other rows. 1 / inclusion_prob is an unbiased weight too.
    Where the budget takes every row that can be drawn, nothing is estimated: inclusion_prob and weights are 1, counts
    and n_draws None.

    Cost O(n), however skewed p is. Raises InvalidInput as with_replacement.
    """
    values, budget = check_request(p, budget)
    rows, share, arrival = _arrivals(values, seed, stream)
    if budget == rows.size:
        return Sample(rows, np.ones(budget), np.ones(budget))
    order = np.lexsort((rows, arrival))[: budget + 1]
    end = float(arrival[order[-1]])
    if not end < _MOST_DRAWS:
        raise InvalidInput(
            f'sampler="unbiased" would need about {end:.1e} draws to see a row beyond {budget} distinct ones, because'
            ' the remaining rows have next to no probability. Ask for fewer, or use sampler="bernoulli".'
        )
    chosen = np.sort(order[:-1])
    counts = 1 + _repeats(rows, share, arrival, chosen, end, seed, stream)
    n_draws = int(counts.sum())
    inclusion = _below_one(-np.expm1(-share[chosen] * end), np.ones(budget, dtype=np.bool_))
    return Sample(rows[chosen], inclusion, counts / (n_draws * share[chosen]), counts, n_draws)


def _arrivals(values: Float64Array, seed: int, stream: int) -> tuple[IntArray, Float64Array, Float64Array]:
    """Rows that can be drawn, their share of one draw, and the time of their first arrival at that rate."""
    rows = np.flatnonzero(values > 0).astype(np.int64)
    share = values[rows] / values[rows].sum()
    with np.errstate(over="ignore", divide="ignore"):  # a share of 1e-310 never arrives: infinity is right
        arrival = -np.log1p(-uniforms(seed_int(seed), Purpose.MULTINOMIAL, rows, stream)) / share
    return rows, share, arrival


def _repeats(
    rows: IntArray,
    share: Float64Array,
    arrival: Float64Array,
    chosen: IntArray,
    end: float,
    seed: int,
    stream: int,
) -> IntArray:
    """Further arrivals of the chosen rows up to the end."""
    mean = share[chosen] * (end - arrival[chosen])
    return poisson_variates(mean, seed=seed, items=rows[chosen], stream=stream)


def _below_one(inclusion: Float64Array, uncertain: BoolArray) -> Float64Array:
    """Probabilities that rounding has made 1 go back below it: such rows are not certain."""
    return np.where(uncertain, np.minimum(inclusion, np.nextafter(1.0, 0.0)), inclusion)
