"""Farthest-first traversal on the device: csrc/cuda/farthest.h."""

from __future__ import annotations

import numpy as np

from .cover import CENTERS, LESS, PEEKED, PICKED, POOL, STOPPED, Answer, CoverRequest, CoverState
from .memory import named_memory

_SHARE = 1 / 16  # of the open rows in the pool of a round,
_LEAST_POOL = 1024  # and at least so many
_MOST_BLOCKS, _BLOCK_ROWS = 512, 64
_STEPS = 32  # launches before the host looks again


def farthest_points(request: CoverRequest, assign: bool, *, least_pool: int = _LEAST_POOL) -> Answer:
    """As `oneglance.farthest_points`. Each pick is a farthest row by distances that float32 sums (unless arithmetic is
    "float64", or the rows ask for it): relative error below n_dims / 2^23. One word to the host per round."""
    library, device = request.rows.library, request.rows.device
    needed = request.needed_bytes()
    with library.guard(device), named_memory(library, device, "farthest_points", needed, LESS):
        state = CoverState(request)
        if state.n_centers == 0 and len(state.items) < request.n_picks:
            first = np.flatnonzero(state.open_items & state.has_rows)[:1]
            state.pick(first.astype(np.int64))
        radius = 0.0
        if state.n_centers:
            state.begin()
            radius = _rounds(state, not assign, least_pool)
            state.end()
        left = np.flatnonzero(state.open_items)[: request.n_picks - len(state.items)]
        state.pick(left.astype(np.int64))
        return state.answer(assign, radius * (0.5 if request.cosine else 1.0))


def _rounds(state: CoverState, to_radius: bool, least_pool: int) -> float:
    """All picks that distances decide; returns dist2 of the farthest row afterwards, if asked for."""
    library, kernels, n_picks = state.library, state.kernels, state.request.n_picks
    n_rows = state.rows.n_rows
    pool, lowest, radius = state.empty(n_rows, "int64"), state.empty(1, "float64"), state.empty(1, "float64")
    best_dist2, best_row = state.empty((2, _MOST_BLOCKS), "float64"), state.empty((2, _MOST_BLOCKS), "int64")
    n_open, control, number = n_rows, state.read(), 0
    while control[PICKED] < n_picks or to_radius:
        share = max(_SHARE, least_pool / max(1, n_open - int(control[CENTERS])))
        arrays, n_pool = state.arrays(), min(n_rows, 2 * share * n_rows)
        scratch = kernels.FarthestScratch(
            pool=library.address(pool),
            lowest=library.address(lowest),
            best_dist2=library.address(best_dist2),
            best_row=library.address(best_row),
            radius=library.address(radius),
            n_blocks=min(_MOST_BLOCKS, 1 + int(n_pool) // _BLOCK_ROWS),
        )
        kernels.farthest_pool(arrays, scratch, share, number, state.stream)
        number += 1
        while True:
            kernels.farthest_steps(arrays, scratch, _STEPS, state.stream)
            control = state.read()
            if control[STOPPED] or (control[PICKED] == n_picks and not to_radius):
                break
        kernels.farthest_close(arrays, scratch, state.stream)
        if control[PEEKED]:
            return float(library.to_host(radius)[0])
        if control[POOL] == 0:
            break
    return 0.0
