"""Draws in proportion to a power of the distance on the device: csrc/cuda/weighted_draw.h."""

from __future__ import annotations

import math

import numpy as np

from .._rng import Purpose, uniforms
from .._types import IntArray
from ..errors import InvalidInput
from .cover import LESS, STOPPED, TOO_FAR, Answer, CoverRequest, CoverState
from .memory import named_memory

_UNIFORM = 2  # draw of csrc/algo/weighted_draw.cpp
_CHUNK, _PROPOSALS = 1024, 512  # csrc/cuda/weighted_draw.h
_MOST_SPLITS, _SPLIT_CENTERS = 32, 64  # centres are shared among warps where there are many
_MOST_ROUNDS = 8  # before the host looks again


def weighted_draw(request: CoverRequest, gamma: float, seed: int, assign: bool) -> Answer:
    """As `oneglance.weighted_draw`, with the random numbers and the rounds of the CPU: the same picks, unless a number
    falls between two weights that differ by the rounding of their distances (float32 sums, or arithmetic="float64")
    or of running sums. One word to the host per 8 rounds of up to 512 proposals."""
    library, device = request.rows.library, request.rows.device
    with library.guard(device), named_memory(library, device, "weighted_draw", request.needed_bytes(), LESS):
        state = CoverState(request)
        if state.n_centers == 0 and len(state.items) < request.n_picks:
            state.pick(_in_random_order(state, seed, with_rows=True)[:1])
        if state.n_centers:
            state.begin()
            if len(state.items) < request.n_picks:
                _rounds(state, gamma, seed)
            state.end()
        for with_rows in (True, False):
            left = _in_random_order(state, seed, with_rows)[: request.n_picks - len(state.items)]
            state.pick(left)
        return state.answer(assign, math.nan)


def _in_random_order(state: CoverState, seed: int, with_rows: bool) -> IntArray:
    """Open items (with rows, if so asked) by their own random numbers: each order with equal probability."""
    items = np.flatnonzero(state.open_items & state.has_rows if with_rows else state.open_items).astype(np.int64)
    return items[np.argsort(uniforms(seed, Purpose.COVER, items, draw=_UNIFORM), kind="stable")]


def _rounds(state: CoverState, gamma: float, seed: int) -> None:
    library, kernels = state.library, state.kernels
    n_chunks, most = -(-state.rows.n_rows // _CHUNK), min(_PROPOSALS, max(16, state.request.n_picks))
    n_splits = max(1, min(_MOST_SPLITS, int(state.centers.shape[0]) // _SPLIT_CENTERS))
    largest = state.largest()
    if not math.isfinite(largest):
        raise InvalidInput(TOO_FAR)
    doubles = {
        "largest": state.put(np.array([largest or 1.0])),
        "wasted": library.zeros(1, "float64", state.device),
        "cumulative": state.empty(n_chunks, "float64"),
        "proposal_weight": state.empty(most, "float64"),
        "proposal_uniform": state.empty(most, "float64"),
        "part_dist2": state.empty(n_splits * most, "float64"),
    }
    integers = {
        name: state.empty(size * most, "int64")
        for name, size in (("proposal_row", 1), ("proposal_seen", 1), ("part_nearest", n_splits))
    }
    addresses = {name: library.address(array) for name, array in (doubles | integers).items()}
    scratch = kernels.DrawScratch(gamma=gamma, seed=seed, most=most, n_splits=n_splits, **addresses)
    n_rounds = 1
    while not state.read()[STOPPED]:
        kernels.draw_rounds(state.arrays(), scratch, n_rounds, state.stream)
        n_rounds = min(_MOST_ROUNDS, 2 * n_rounds)
