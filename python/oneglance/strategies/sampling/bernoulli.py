"""Probability-proportional sampling without replacement, of exactly `budget` rows. The default sampler."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._check import seed_int
from ..._types import BoolArray, Float64Array
from .conditional_poisson import fit_log_odds
from .count_tree import draw_fixed_size
from .sample import Sample, check_request

# A probability this near to 1 is taken as 1: what it leaves out is smaller than rounding in a sum of them.
_CERTAIN = 1.0 - 1e-12


def inclusion_targets(p: Any, budget: int) -> tuple[Float64Array, BoolArray]:
    """Inclusion probabilities pi_i = min(1, c p_i) with sum pi = budget, and which rows are certain.

    p       (n,), non-negative, at least `budget` of them positive; the scale does not matter
    budget  >= 1

    Returns (pi float64 (n,), certain bool (n,)). The scale c is found exactly: with the rows in descending
    order, the first m are certain, where m is the smallest number for which (budget - m) p_m / (sum of the
    rest) is below 1. Cost O(n log n).
    """
    values, budget = check_request(p, budget)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    rest = np.cumsum(ranked[::-1])[::-1]  # small numbers first: no digit of the tail is lost
    share = np.divide(ranked, rest, out=np.zeros_like(rest), where=rest > 0)
    left = budget - np.arange(min(budget, ranked.size))
    below = np.flatnonzero(left * share[: left.size] < _CERTAIN)
    n_certain = int(below[0]) if below.size else budget
    pi = np.zeros_like(values)
    pi[order[:n_certain]] = 1.0
    if n_certain < budget:
        pi[order[n_certain:]] = (budget - n_certain) * (ranked[n_certain:] / rest[n_certain])
    certain = np.zeros(values.size, dtype=np.bool_)
    certain[order[:n_certain]] = True
    return pi, certain


def bernoulli(p: Any, budget: int, *, seed: int = 0, stream: int = 0) -> Sample:
    """Exactly `budget` distinct rows, row i with probability pi_i = min(1, c p_i), sum pi = budget.

    p       (n,), non-negative; the scale does not matter, zeros are never drawn
    budget  1 .. number of positive entries of p
    seed    same seed, same rows
    stream  tells apart several draws under one seed (one number per stratum)

    Returns a Sample with inclusion_prob = pi_i and weights = 1 / pi_i (certain rows: 1).

    The paper's Bernoulli variant (Huang et al. 2024, appendix B) keeps every row independently, so the
    number of picks varies by about sqrt(V), V = sum pi_i (1 - pi_i). Here that draw is conditioned on
    having exactly `budget` picks. Conditioning alone would move the inclusion probability of row i by a
    relative O(1/V), and weights 1/pi_i would be biased by as much. So the independent draw is made with
    adjusted odds, solved for such that the probabilities *after* conditioning equal pi_i (to a relative
    1e-9 or better; below V = 1e-6 rounding of the pi_i next to 1 limits it to 1e-16 / V): the weighted sum
    over the picks is an unbiased (Horvitz-Thompson) estimate of the sum over the pool. What conditioning
    leaves behind is dependence between picks: their number is fixed, so they are slightly negatively
    correlated, cov(i, j) = -pi_i (1 - pi_i) pi_j (1 - pi_j) / V to first
    order; a variance estimate that takes them as independent errs on the large side.

    Rows with c p_i >= 1 are certain and the rest of the budget is spread over the others, again and again
    until none exceeds 1. A row whose pi_i is within 1e-12 of 1 counts as certain.

    Cost: O(n log n) time and O(n) memory; n = 1e6, budget 5e3 takes about a second.
    Raises InvalidInput when fewer than `budget` rows are positive.
    """
    values, budget = check_request(p, budget)
    seed = seed_int(seed)
    pi, certain = inclusion_targets(values, budget)
    chosen = certain.copy()
    n_left = budget - int(np.count_nonzero(certain))
    if n_left:
        open_rows = np.flatnonzero((pi > 0) & ~certain)
        log_odds, _ = fit_log_odds(pi[open_rows])
        chosen[open_rows[draw_fixed_size(log_odds, n_left, seed=seed, stream=stream)]] = True
    indices = np.flatnonzero(chosen).astype(np.int64)
    return Sample(indices, pi[indices], 1.0 / pi[indices])
