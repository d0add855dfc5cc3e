"""Oracles of draws with room per group, and of draws with prices: float64 NumPy, by definition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from .._types import Float64Array, IntArray
from .sampling import inclusion_targets

_Row: TypeAlias = tuple[int, float, float]


def capped_targets(p: Float64Array, budget: int, groups: IntArray, room: IntArray) -> Float64Array:
    """min(1, c p_i), in a group above its room shared out anew so that it gets just that; c bisected for the sum."""
    low, high = -800.0, 800.0
    for _ in range(200):
        pi = np.exp(np.minimum(0.0, (low + high) / 2 + np.log(np.where(p > 0, p, 1.0)))) * (p > 0)
        for group in range(room.size):
            here = groups == group
            if pi[here].sum() > room[group]:
                pi[here] = inclusion_targets(p[here], int(room[group])) if room[group] else 0.0
        low, high = ((low + high) / 2, high) if pi.sum() < budget else (low, (low + high) / 2)
    return pi


def priced_targets(p: Float64Array, costs: Float64Array, spend: float) -> Float64Array:
    """min(1, k p_i / sqrt(cost_i)) with sum pi_i cost_i = spend: rows above 1 are set to 1, until none exceeds 1."""
    pull, certain = p / np.sqrt(costs), np.zeros(p.size, dtype=bool)
    while True:
        pi = np.where(certain, 1.0, pull)
        pi[~certain] *= (spend - costs[certain].sum()) / (pull * costs)[~certain].sum()
        if not (pi > 1).any():
            return pi
        certain |= pi > 1


def trade_law(held: list[float], prices: list[float]) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Every outcome of the pivotal method with prices, as (probability, rows): one against the next, fair odds."""
    rows = [(number, part, price) for number, (part, price) in enumerate(zip(held, prices, strict=True))]

    def walk(mass: float, taken: tuple[int, ...], left: list[_Row]) -> Iterator[tuple[float, tuple[int, ...]]]:
        if mass <= 0 or not left:
            if mass > 0:
                yield mass, taken
            return
        (a, x, price_a), *rest = left
        if not _undecided((a, x, price_a)):
            yield from walk(mass, (*taken, a) if x > price_a / 2 else taken, rest)
        elif not rest:
            yield mass * x / price_a, (*taken, a)
            yield mass * (1 - x / price_a), taken
        else:
            (b, y, price_b), *rest = rest
            up, down = min(price_a - x, y), min(x, price_b - y)
            for odds, change in ((down, up), (up, -down)):
                ends = sorted([(a, x + change, price_a), (b, y - change, price_b)], key=_undecided)
                yield from walk(mass * odds / (up + down), taken, [*ends, *rest])

    return walk(1.0, (), rows)


def _undecided(row: _Row) -> bool:
    return 1e-12 * row[2] < row[1] < (1 - 1e-12) * row[2]
