"""Oracles of the samplers and of the agreement between backbones: float64 NumPy, by definition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from .._types import Float64Array, IntArray


def inclusion_targets(p: Float64Array, budget: int) -> Float64Array:
    """min(1, c p_i) with sum = budget: rows above 1 are set to 1, the rest rescaled, until none exceeds 1."""
    certain = np.zeros(p.size, dtype=bool)
    while True:
        pi = np.where(certain, 1.0, p)
        pi[~certain] = (budget - certain.sum()) * (p[~certain] / p[~certain].sum())
        if not (pi > 1).any():
            return pi
        certain |= pi > 1


def subset_law(odds: Float64Array, k: int) -> tuple[IntArray, Float64Array]:
    """All subsets of k rows (s, k) and their probability (s,), proportional to the product of the odds."""
    subsets = np.array(list(itertools.combinations(range(odds.size), k)), dtype=np.int64)
    mass = np.prod(odds[subsets], axis=1)
    return subsets, mass / mass.sum()


def conditional_inclusion(odds: Float64Array, k: int) -> Float64Array:
    """P(row i is among the k picks), by enumeration of all subsets: n up to about 15."""
    subsets, mass = subset_law(odds, k)
    return np.array([mass[(subsets == row).any(axis=1)].sum() for row in range(odds.size)])


def conditional_inclusion_dp(odds: Float64Array, k: int) -> Float64Array:
    """The same by dynamic programming over the rows, O(n k) time and memory; odds of order 1."""
    ahead = np.zeros((odds.size + 1, k + 1))  # [i, s]: e_s of the first i odds
    behind = np.zeros((odds.size + 1, k + 1))  # [i, s]: e_s of the odds from i on
    ahead[0, 0] = behind[odds.size, 0] = 1.0
    for i, o in enumerate(odds):
        ahead[i + 1] = ahead[i] + o * np.concatenate(([0.0], ahead[i, :-1]))
    for i in range(odds.size - 1, -1, -1):
        behind[i] = behind[i + 1] + odds[i] * np.concatenate(([0.0], behind[i + 1, :-1]))
    rest = [ahead[i, :k] @ behind[i + 1, k - 1 :: -1][:k] for i in range(odds.size)]
    return np.asarray(odds * np.array(rest) / ahead[odds.size, k])


def draw_until_distinct(p: Float64Array, budget: int, rng: np.random.Generator) -> IntArray:
    """Algorithm 1's loop, literally: the sequence of draws up to the budget-th distinct row."""
    draws: list[int] = []
    while len(set(draws)) < budget:
        draws.append(int(rng.choice(p.size, p=p / p.sum())))
    return np.array(draws, dtype=np.int64)


def draw_until_beyond(p: Float64Array, budget: int, rng: np.random.Generator) -> IntArray:
    """Inverse sampling: the draws before the first one of a row beyond the budget."""
    return draw_until_distinct(p, budget + 1, rng)[:-1]


def tree_order(points: Float64Array, rows: IntArray | None = None) -> list[int]:
    """Rows sorted along the coordinate of largest variance, halved (the first half is the larger), and so on."""
    rows = np.arange(len(points)) if rows is None else rows
    if rows.size < 2:
        return [int(row) for row in rows]
    widest = int(np.argmax(points[rows].var(axis=0)))
    rows = rows[np.lexsort((rows, points[rows, widest]))]
    half = (rows.size + 1) // 2
    return tree_order(points, rows[:half]) + tree_order(points, rows[half:])


Outcome = tuple[frozenset[int], int, Fraction]
"""Rows picked in a node, the undecided row of it, and the probability that this row holds."""


def pivotal_law(pi: Sequence[Fraction], order: Sequence[int]) -> dict[Outcome, Fraction]:
    """The exact law of the pivotal method over the halvings of an order; pi in (0, 1)."""
    if len(order) == 1:
        return {(frozenset(), order[0], pi[order[0]]): Fraction(1)}
    half = (len(order) + 1) // 2
    law: dict[Outcome, Fraction] = {}
    ahead, behind = pivotal_law(pi, order[:half]), pivotal_law(pi, order[half:])
    for (one, two), chance in {(a, b): ahead[a] * behind[b] for a in ahead for b in behind}.items():
        total, picked = one[2] + two[2], one[0] | two[0]
        for row, share, other, others in ((*one[1:], *two[1:]), (*two[1:], *one[1:])):
            if total == 0:
                end, odds = (picked, row, total), Fraction(1, 2)
            elif total < 1:  # `row` gets all
                end, odds = (picked, row, total), share / total
            else:  # `row` is picked, `other` keeps what is left
                end, odds = (picked | {row}, other, total - 1), (1 - others) / (2 - total)
            law[end] = law.get(end, Fraction(0)) + chance * odds
    return law


def coherence_total(weights: Sequence[Float64Array]) -> float:
    """T = sum_i max_j w_i under backbone j."""
    return float(sum(max(w[i] for w in weights) for i in range(len(weights[0]))))


def kappa(weights: Sequence[Float64Array], fraction: float) -> float:
    """Mean over backbones of |top of backbone j and top of the maximum| / |top|; ties to the lower row."""
    n_rows = len(weights[0])
    size = max(1, round(fraction * n_rows))

    def top(w: Float64Array) -> set[int]:
        return set(sorted(range(n_rows), key=lambda i: (-w[i], i))[:size])

    largest = top(np.max(np.stack(list(weights)), axis=0))
    return float(np.mean([len(top(w) & largest) / size for w in weights]))
