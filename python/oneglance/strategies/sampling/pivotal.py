"""Probability-proportional sampling that spreads over the features: near rows compete for a place."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._check import seed_int
from ..._rng import Purpose, uniforms
from ..._types import FloatArray, IntArray
from ...errors import InvalidInput
from .bernoulli import inclusion_targets
from .sample import Sample, check_request
from .tree_order import halvings, tree_order


def pivotal(p: Any, budget: int, *, points: FloatArray, seed: int = 0, stream: int = 0) -> Sample:
    """Exactly `budget` distinct rows, row i with probability pi_i = min(1, c p_i), and few that lie close together.

    p       (n,), non-negative; the scale does not matter, zeros are never drawn
    budget  1 .. number of positive entries of p
    points  (n, k), finite where p > 0: where the rows lie
    seed, stream  as in bernoulli

    Returns a Sample with inclusion_prob = pi_i and weights = 1 / pi_i (certain rows: 1): sums are estimated without
    bias, as by bernoulli, and with less variance where what is summed changes slowly over the points.

    Pivotal method (Deville and Tille, Biometrika 85, 1998) along the tree of tree_order, as Shimizu, Cheng, Musco and
    Weare (arXiv 2310.04966): two undecided rows, one from each half of a node, play for their joint probability s.
    Below 1 one of them gets all of it and the other is out; from 1 on one of them is picked and the other keeps s - 1.
    The odds are fair, so that every row's expected probability stays. A node whose probabilities sum to s gives
    floor(s) or ceil(s) rows, so rows of small probability that lie side by side are hardly ever picked together, and
    some pairs never: there is no unbiased estimate of the variance from one draw.

    Probabilities are whole multiples of 2**-52 times the budget (up to a factor of two), so that no game loses
    anything to rounding, and inclusion_prob is exact; a row below half that unit is never picked.
    Cost: O(log n) sorts and passes over the points. Raises InvalidInput when fewer than `budget` rows are positive.
    """
    values, budget = check_request(p, budget)
    seed = seed_int(seed)
    if np.ndim(points) != 2 or len(points) != values.size:
        raise InvalidInput(
            f"points must have shape ({values.size}, k), one row per entry of p, got {np.shape(points)}."
        )
    pi, certain = inclusion_targets(values, budget)
    chosen = certain.copy()
    n_left = budget - int(np.count_nonzero(certain))
    if n_left:
        open_rows = np.flatnonzero((pi > 0) & ~certain)
        open_rows = open_rows[tree_order(points[open_rows])]
        grid = 52 - n_left.bit_length()
        reached = np.cumsum(pi[open_rows])
        marks = np.rint(reached / reached[-1] * (n_left << grid)).astype(np.int64)
        held = np.diff(marks, prepend=0)
        pi[open_rows] = held / (1 << grid)
        chosen[open_rows[_play(held, 1 << grid, open_rows, seed, stream)]] = True
    indices = np.flatnonzero(chosen).astype(np.int64)
    return Sample(indices, pi[indices], 1.0 / pi[indices])


def _play(held: IntArray, unit: int, names: IntArray, seed: int, stream: int) -> IntArray:
    """Places of the rows that win a whole unit; `held` (n,) sums to a multiple of it, and is in the tree's order.

    names  what random numbers go by: a game goes by the row of its first half
    """
    leaves = halvings(held.size)[-1]
    taken = [np.flatnonzero(held >= unit)]  # by rounding of a probability next to 1
    there = np.diff(leaves) > 0
    row = np.minimum(leaves[:-1], held.size - 1)
    part = np.where(there, held[row] % unit, 0)
    level = 0
    while row.size > 1:
        one, two = row[0::2], row[1::2]
        mine, other = part[0::2], part[1::2]
        total = mine + other
        chance = uniforms(seed, Purpose.PIVOTAL, names[one], 64 * stream + level)
        over = total >= unit
        # below a unit `one` gets the total with odds mine : other, else it gets the unit with odds that keep its mean
        first = chance * np.where(over, 2 * unit - total, total) < np.where(over, unit - other, mine)
        first |= ~over & (other == 0)
        winner, loser = np.where(first, one, two), np.where(first, two, one)
        taken.append(winner[over])
        row, part = np.where(over, loser, winner), np.where(over, total - unit, total)
        level += 1
    return np.concatenate(taken)
