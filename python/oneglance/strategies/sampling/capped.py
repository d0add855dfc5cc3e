"""Probability-proportional sampling with at most so many rows from a group."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._check import seed_int
from ..._rng import Purpose, uniforms
from ..._types import BoolArray, Float64Array, IntArray
from ...errors import InvalidInput
from .bernoulli import inclusion_targets
from .sample import Sample, check_request

_CERTAIN = 1.0 - 1e-12


def capped_targets(p: Any, budget: int, groups: IntArray, room: IntArray) -> Float64Array:
    """Inclusion probabilities pi_i = min(1, c p_i) with sum pi = budget, and no group's sum above its room.

    p       (n,), non-negative; the scale does not matter
    groups  int64 (n,), the group of every row, 0 .. number of groups - 1
    room    int64 (number of groups,), most rows from each, >= 0

    A group that would exceed its room gets exactly that, shared in proportion to p among its rows (again at most 1
    each); the others share the rest, again and again until none is above. Each round costs O(n log n), and there are
    few: a group once full stays full. Raises InvalidInput when the groups have room for fewer than `budget` rows.
    """
    values, budget = check_request(p, budget)
    limit = np.minimum(room, np.bincount(groups[values > 0], minlength=room.size))
    if int(limit.sum()) < budget:
        raise InvalidInput(
            f"budget is {budget}, but groups have room for {int(limit.sum())} items of importance above 0. "
            "Ask for fewer, or allow more per group."
        )
    full = limit == 0
    pi, left = np.zeros(values.size), budget
    while left:
        here = np.flatnonzero((values > 0) & ~full[groups])
        pi[here] = inclusion_targets(values[here], left)[0]
        over = ~full & (np.bincount(groups[here], pi[here], minlength=room.size) > limit)
        if not over.any():
            break
        full |= over
        left -= int(limit[over].sum())
    inside = np.flatnonzero(full[groups] & (limit[groups] > 0) & (values > 0))
    pi[inside] = _within_groups(values[inside], groups[inside], limit)
    return pi


def _within_groups(values: Float64Array, groups: IntArray, limit: IntArray) -> Float64Array:
    """min(1, c_g p_i) with sum limit_g in every group g."""
    certain = np.zeros(values.size, dtype=np.bool_)
    while True:
        left = limit - np.bincount(groups[certain], minlength=limit.size)
        rest = np.bincount(groups[~certain], values[~certain], minlength=limit.size)
        share = left[groups] * (values / np.where(rest > 0, rest, 1.0)[groups])
        new = ~certain & (share >= _CERTAIN)
        if not new.any():
            return np.where(certain, 1.0, share)
        certain |= new


def capped(p: Any, budget: int, groups: IntArray, room: IntArray, *, seed: int = 0, stream: int = 0) -> Sample:
    """Exactly `budget` distinct rows, row i with probability pi_i of `capped_targets`, no group above its room.

    Systematic sampling: rows are laid end to end on a line of length `budget`, each with a length of its pi, groups
    in random order and in one piece each, rows of a group in random order; the rows under u, u + 1, u + 2, ... are
    picked, u uniform in [0, 1). A group of length s gets floor(s) or ceil(s) rows. Lengths are whole multiples of
    2**-52 times the budget (up to a factor of two), so that sums lose nothing to rounding: inclusion_prob is the
    length itself, and exact. weights are 1 / inclusion_prob. A row whose pi is below half that unit is never picked,
    one within a few units of 1 always. Cost O(n log n). Raises InvalidInput as capped_targets.
    """
    pi = capped_targets(p, budget, groups, room)
    grid = 52 - int(budget).bit_length()
    certain = pi >= 1.0 - 2.0 ** (3 - grid)
    open_ = np.flatnonzero((pi > 0) & ~certain)
    chosen, probability = certain.copy(), np.ones(pi.size)
    n_left = int(budget) - int(np.count_nonzero(certain))
    if n_left:
        picked, probability[open_] = _systematic(pi[open_], groups[open_], n_left, open_, grid, seed_int(seed), stream)
        chosen[open_[picked]] = True
    indices = np.flatnonzero(chosen).astype(np.int64)
    return Sample(indices, probability[indices], 1.0 / probability[indices])


def _systematic(
    pi: Float64Array, groups: IntArray, count: int, names: IntArray, grid: int, seed: int, stream: int
) -> tuple[BoolArray, Float64Array]:
    """Which rows are picked, and the exact probability of each; `count` is the sum of pi up to rounding.

    names  what random numbers of the rows go by
    """
    unit = 1 << grid
    numbers, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    by_group = uniforms(seed, Purpose.GROUPED, names[first], 3 * stream)
    order = np.lexsort((uniforms(seed, Purpose.GROUPED, names, 3 * stream + 1), inverse, by_group[inverse]))
    at = inverse[order]
    begins = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
    ends = np.append(begins[1:], at.size) - 1
    sums: Float64Array = np.bincount(inverse, pi, minlength=numbers.size)[at[begins]].astype(np.float64)
    units = _whole_units(sums, count, grid)
    starts = np.cumsum(units) - units
    reached = np.cumsum(pi[order])
    before = reached[begins] - pi[order][begins]
    piece = np.repeat(np.arange(begins.size), ends - begins + 1)
    share = np.clip((reached - before[piece]) / sums[piece], 0.0, 1.0)
    share[ends] = 1.0
    right = starts[piece] + np.rint(share * units[piece]).astype(np.int64)
    left = np.concatenate([[0], right[:-1]])
    u = int(uniforms(seed, Purpose.GROUPED, np.zeros(1, dtype=np.int64), 3 * stream + 2)[0] * unit)
    ticks = (right + unit - 1 - u) // unit - (left + unit - 1 - u) // unit
    picked, probability = np.zeros(pi.size, dtype=np.bool_), np.zeros(pi.size)
    picked[order], probability[order] = ticks > 0, (right - left) / unit
    return picked, probability


def _whole_units(sums: Float64Array, count: int, grid: int) -> IntArray:
    """Lengths of the groups in units of 2**-grid, `count` in all. A full group's length is a whole number."""
    unit = 1 << grid
    near = np.rint(sums)
    whole = (near > 0) & (np.abs(sums - near) < max(1e-9, 64.0 / unit))
    lengths = np.where(whole, near, 0.0).astype(np.int64) * unit
    rest = np.cumsum(np.where(whole, 0.0, sums))
    if rest[-1] > 0:
        marks = np.rint(rest / rest[-1] * (count * unit - int(lengths.sum()))).astype(np.int64)
        lengths += np.diff(marks, prepend=0)
    return lengths
