"""Probability-proportional sampling of rows that have a price: no draw costs more than the money."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._check import positive_number, seed_int
from ..._rng import Purpose, uniforms
from ..._types import Float64Array
from ...errors import InvalidInput
from .bernoulli import bernoulli
from .sample import Sample, check_request

_CERTAIN = 1.0 - 1e-12


def priced_targets(p: Any, costs: Float64Array, spend: float) -> Float64Array:
    """Inclusion probabilities pi_i = min(1, k p_i / sqrt(cost_i)) that cost `spend` on average: sum pi_i cost_i.

    p      (n,), non-negative; the scale does not matter
    costs  (n,), finite and > 0
    spend  > 0; where it pays for all rows with p > 0, they are certain

    For a given expected cost this makes the variance of a weighted sum of terms proportional to p least (Neyman).
    Cost O(n log n).
    """
    values, _ = check_request(p, 1)
    pull = values / np.sqrt(costs)
    pull /= pull.max()
    order = np.argsort(-pull, kind="stable")
    ranked, price = pull[order], costs[order]
    rest = np.cumsum((ranked * price)[::-1])[::-1]
    left = spend - np.concatenate([[0.0], np.cumsum(price)[:-1]])  # after the rows before are certain
    share = np.divide(ranked, rest, out=np.zeros_like(rest), where=rest > 0)
    below = np.flatnonzero((left * share < _CERTAIN) | (ranked == 0))
    n_certain = int(below[0]) if below.size else values.size
    pi = np.zeros(values.size)
    pi[order[:n_certain]] = 1.0
    if n_certain < values.size and rest[n_certain] > 0:
        pi[order[n_certain:]] = max(0.0, left[n_certain]) * (ranked[n_certain:] / rest[n_certain])
    return pi


def priced(p: Any, costs: Any, money: float, *, seed: int = 0, stream: int = 0) -> Sample:
    """Distinct rows that never cost more than `money`, row i with the probability pi_i of `priced_targets`, exactly.

    p      (n,), non-negative; the scale does not matter, zeros are never drawn
    costs  (n,), finite and > 0
    money  in the unit of costs
    seed, stream  as in bernoulli

    Returns a Sample with inclusion_prob = pi_i and weights = 1 / pi_i; the number of rows varies with the draw.

    Rows are met in random order, and an undecided one trades money with the next: one of them becomes certain or
    impossible, at fair odds, and what both cost on average stays (pivotal method of Deville and Tille, Biometrika 85,
    1998, with cost in the place of number). At the end one row at most is undecided, and drawn on its own. So a draw
    costs what it costs on average, give or take less than that row: the probabilities are made for `money` less the
    price of the dearest row that is not certain. That much stays unspent on average, and no fill-up may follow,
    because it would change the probabilities. Where all prices are equal nothing stays: bernoulli draws as many rows
    as the money pays. Cost O(n) steps in Python, about 1 us each.
    Raises InvalidInput when the money is not above the price of the dearest row that is not certain.
    """
    values, _ = check_request(p, 1)
    prices: Float64Array = np.asarray(costs, dtype=np.float64)
    money, seed = positive_number(money, "money"), seed_int(seed)
    drawable = np.flatnonzero(values > 0)
    if math.fsum(prices[drawable]) <= money:
        return Sample(drawable.astype(np.int64), np.ones(drawable.size), np.ones(drawable.size))
    if prices[drawable].min() == prices[drawable].max():
        count = int(money / prices[drawable[0]])
        if count < 1:
            raise InvalidInput(_too_dear(money, float(prices[drawable[0]])))
        return bernoulli(values, count, seed=seed, stream=stream)
    pi, open_ = np.zeros(values.size), drawable
    while True:
        dearest = float(prices[open_].max())
        if dearest >= money:
            raise InvalidInput(_too_dear(money, dearest))
        pi = priced_targets(values, prices, (money - dearest) * (1.0 - 1e-9))
        still = np.flatnonzero((pi > 0) & (pi < 1))
        if still.size == 0 or prices[still].max() == dearest:
            break
        open_ = still
    chosen = pi >= 1.0
    if still.size:
        by_chance = np.argsort(uniforms(seed, Purpose.PRICED, still, 2 * stream), kind="stable")
        met = still[by_chance]
        chance = uniforms(seed, Purpose.PRICED, met, 2 * stream + 1)
        chosen[met[_trade(pi[met] * prices[met], prices[met], chance)]] = True
    indices = np.flatnonzero(chosen).astype(np.int64)
    return Sample(indices, pi[indices], 1.0 / pi[indices])


def _trade(held: Float64Array, prices: Float64Array, chance: Float64Array) -> list[int]:
    """Rows that end with the whole of their price, of those that hold a part of it: 0 < held < price."""
    taken: list[int] = []
    one, part, price = 0, float(held[0]), float(prices[0])
    for two in range(1, held.size):
        other, its_price = float(held[two]), float(prices[two])
        missing, lacks = price - part, its_price - other
        up, down = min(missing, other), min(part, lacks)
        if float(chance[two]) * (up + down) < down:  # `two` pays for `one`
            if missing <= other:
                taken.append(one)
                one, part, price = two, other - missing, its_price
            else:
                part += other
        elif part <= lacks:  # `one` pays for `two`
            one, part, price = two, other + part, its_price
        else:
            taken.append(two)
            part -= lacks
    if float(chance[0]) * price < part:
        taken.append(one)
    return taken


def _too_dear(money: float, dearest: float) -> str:
    return (
        f"budget is {money:g}, and an item that is drawn by chance costs {dearest:g}: to keep inclusion probabilities "
        "exact that much must be held back. Raise the budget, exclude the dearest items, or use a strategy of coverage."
    )
