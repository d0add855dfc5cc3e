"""Exact draw of a conditional Poisson sample by halving the pool: how many picks lie left, how many right?

A binary tree over the rows holds, per node, the distribution of the number of picks below it (Poisson
binomial: the convolution of its two halves). From the root, where the number is k, one uniform number per
node splits it between the halves until single rows are left. Every split is drawn from its exact
conditional law, so the whole is: no rejection, and only nodes with picks are visited. Uniforms are keyed
by (seed, level, node), so the answer is a function of the odds and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._rng import Purpose, uniforms
from ..._types import Float64Array, IntArray
from .conditional_poisson import logistic

_BLOCK_LEVEL = 6  # below blocks of 2^6 rows the tree is rebuilt where needed instead of kept
_BLOCK = 1 << _BLOCK_LEVEL
_CHUNK = 1024  # blocks worked on at once
_MAX_LEVELS = 64  # draw numbers set aside per stream


@dataclass(frozen=True, slots=True)
class _Level:
    """Per node: P(count = offset + j) = pmf[:, j], for counts that matter."""

    offset: IntArray
    pmf: Float64Array


def _window(mean: Float64Array, variance: Float64Array) -> tuple[IntArray, IntArray]:
    """Counts outside lo..hi have probability below 1e-18 for a sum of independent bits."""
    reach = 9.0 * np.sqrt(variance) + 12.0
    lo = np.maximum(0, np.floor(mean - reach)).astype(np.int64)
    return lo, np.ceil(mean + reach).astype(np.int64)


def _convolve(left: Float64Array, right: Float64Array) -> Float64Array:
    """Row-wise convolution of (m, a) with (m, b)."""
    if left.shape[0] <= 8:
        rows = [np.convolve(a, b) for a, b in zip(left, right, strict=True)]
        return np.stack(rows)
    out = np.zeros((left.shape[0], left.shape[1] + right.shape[1] - 1))
    for j in range(left.shape[1]):
        out[:, j : j + right.shape[1]] += left[:, j : j + 1] * right
    return out


def _block_levels(q: Float64Array) -> list[_Level]:
    """Levels 0 (rows) to 6 (whole blocks) of the trees over blocks q (m, 64)."""
    flat = q.reshape(-1)
    levels = [_Level(np.zeros(flat.size, dtype=np.int64), np.stack((1.0 - flat, flat), axis=1))]
    _, hi = _window(q.sum(axis=1), (q * (1.0 - q)).sum(axis=1))
    width = int(hi.max()) + 1  # a half's counts above the whole block's reach cannot matter
    for _ in range(_BLOCK_LEVEL):
        pmf = levels[-1].pmf
        joined = _convolve(pmf[0::2], pmf[1::2])[:, :width]
        levels.append(_Level(np.zeros(joined.shape[0], dtype=np.int64), joined))
    return levels


def _join(level: _Level, mean: Float64Array, variance: Float64Array) -> _Level:
    """The level above: pairs of nodes convolved, cut to the counts that matter."""
    joined = _convolve(level.pmf[0::2], level.pmf[1::2])
    base = level.offset[0::2] + level.offset[1::2]
    lo, hi = _window(mean, variance)
    lo = np.maximum(lo, base)
    width = int(min((hi - lo).max() + 1, joined.shape[1]))
    column = (lo - base)[:, None] + np.arange(width)
    inside = column < joined.shape[1]
    pmf = np.take_along_axis(joined, np.where(inside, column, 0), axis=1)
    return _Level(lo, np.where(inside, pmf, 0.0))


def _split(
    level: _Level, child: IntArray, counts: IntArray, node: IntArray, seed: int, draw: int
) -> tuple[IntArray, IntArray]:
    """Counts of the left and right halves: children `child` and `child + 1` of `level`, `counts` in all."""
    left, right = level.pmf[child], level.pmf[child + 1]
    taken = level.offset[child][:, None] + np.arange(left.shape[1])
    column = counts[:, None] - taken - level.offset[child + 1][:, None]
    inside = (column >= 0) & (column < right.shape[1])
    column = np.where(inside, column, 0)
    joint = np.where(inside, left * np.take_along_axis(right, column, axis=1), 0.0)
    reached = np.cumsum(joint, axis=1)
    threshold = uniforms(seed, Purpose.SPLIT, node, draw) * reached[:, -1]
    choice = np.argmax(reached > threshold[:, None], axis=1)
    to_left = taken[np.arange(counts.size), choice]
    return to_left, counts - to_left


def _children(node: IntArray, to_left: IntArray, to_right: IntArray) -> tuple[IntArray, IntArray]:
    """The next level's nodes that hold picks, and their counts."""
    nodes = np.stack((2 * node, 2 * node + 1), axis=1).reshape(-1)
    counts = np.stack((to_left, to_right), axis=1).reshape(-1)
    return nodes[counts > 0], counts[counts > 0]


def draw_fixed_size(log_odds: Float64Array, k: int, *, seed: int, stream: int = 0) -> IntArray:
    """k distinct rows, ascending: independent draws with these odds, conditioned on k picks.

    log_odds (n,), scaled so that the probabilities sum to about k (`centred`); 1 <= k < n.
    Exact up to counts of probability below 1e-18. Cost about O(n) for sparse samples, O(n log n) at
    worst; memory O(n).
    """
    n_rows = log_odds.size
    n_blocks = -(-n_rows // _BLOCK)
    q = np.zeros(n_blocks * _BLOCK)
    q[:n_rows] = logistic(log_odds)
    blocks = q.reshape(n_blocks, _BLOCK)
    tops = [_block_levels(blocks[i : i + _CHUNK])[-1].pmf for i in range(0, n_blocks, _CHUNK)]
    width = max(top.shape[1] for top in tops)
    pmf = np.concatenate([np.pad(top, ((0, 0), (0, width - top.shape[1]))) for top in tops])
    levels = [_Level(np.zeros(n_blocks, dtype=np.int64), pmf)]
    mean, variance = blocks.sum(axis=1), (blocks * (1.0 - blocks)).sum(axis=1)
    while mean.size > 1:
        if mean.size % 2:  # an empty node to pair the last one with
            empty = np.zeros((1, levels[-1].pmf.shape[1]))
            empty[0, 0] = 1.0
            levels[-1] = _Level(np.append(levels[-1].offset, 0), np.vstack((levels[-1].pmf, empty)))
            mean, variance = np.append(mean, 0.0), np.append(variance, 0.0)
        mean, variance = mean[0::2] + mean[1::2], variance[0::2] + variance[1::2]
        levels.append(_join(levels[-1], mean, variance))
    node, counts = np.zeros(1, dtype=np.int64), np.array([k], dtype=np.int64)
    for height in range(len(levels) - 2, -1, -1):
        draw = stream * _MAX_LEVELS + _BLOCK_LEVEL + height + 1
        node, counts = _children(node, *_split(levels[height], 2 * node, counts, node, seed, draw))
    picked = []
    for start in range(0, node.size, _CHUNK):
        block, count = node[start : start + _CHUNK], counts[start : start + _CHUNK]
        local = _block_levels(blocks[block])
        root, here = np.arange(block.size, dtype=np.int64), count
        for height in range(_BLOCK_LEVEL - 1, -1, -1):
            # `root` counts nodes within this chunk; the key is the node's number within the whole tree
            span = 1 << (_BLOCK_LEVEL - 1 - height)
            whole = block[root // span] * span + root % span
            to_left, to_right = _split(local[height], 2 * root, here, whole, seed, stream * _MAX_LEVELS + height + 1)
            root, here = _children(root, to_left, to_right)
        picked.append(block[root // _BLOCK] * _BLOCK + root % _BLOCK)
    return np.sort(np.concatenate(picked))
