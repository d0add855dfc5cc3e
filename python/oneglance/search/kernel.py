"""Kernel coverage: picks that are similar to as much of the pool as possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._check import as_mask, as_positions, as_shards, is_cosine, positive_int, positive_number, seed_int
from .._rng import Purpose, uniforms
from .._rows import named_rows
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..errors import InvalidInput

_PAIRS = 512  # rows on either side of the sample of distances


@dataclass(frozen=True, slots=True, eq=False)
class KernelCoverage:
    """Picks with what each added.

    indices    int64 (k,), distinct rows in the order of choice
    gains      float64 (k,), by how much each raised the mean coverage; never increasing up to rounding
    coverage   mean over the evaluated rows of the largest kernel to a chosen row, in [0, 1]
    width      of the kernel, in the metric's own unit
    evaluated  kernel values computed, in units of rows times evaluated rows: 1 for the first gains, then what lazy
               evaluation needed
    """

    indices: IntArray
    gains: Float64Array
    coverage: float
    width: float
    evaluated: float


def kernel_coverage(
    X: Any,
    k: int,
    *,
    metric: str = "sqeuclidean",
    width: float | None = None,
    evaluate: int | None = None,
    already: Any = None,
    mask: Any = None,
    seed: int = 0,
) -> KernelCoverage:
    """k rows that greedily maximise the mean over i of max_{s chosen} exp(-distance(x_i, x_s) / width).

    X         (n, d) float16/32/64: NumPy array or memory map, RowShards, CPU torch tensor
    metric    "sqeuclidean", or "cosine" (1 - cos)
    width     > 0 in the metric's unit. Default: the median distance between rows (of 512 x 512 pairs, the same for
              every seed)
    evaluate  count the coverage of so many rows only, drawn by the seed: cost and accuracy of large pools. Default:
              all rows
    already   positions of rows chosen before: they cover from the start and are not answered
    mask      (n,) bool: rows with False are neither picked nor counted
    seed      of the rows that evaluate draws, 0 .. 2**63 - 1; else without effect

    The objective is submodular, so lazy evaluation is exact and the coverage is at least 1 - 1/e of the best
    possible. Ties go to the lower row. float32 products and kernel values, float64 sums: the same picks for any
    number of threads and shards on one type of processor; near-ties (1e-6) may fall otherwise on another.
    Cost n m d multiply-adds for the first gains (m rows evaluated) and m d for each later evaluation; memory O(n)
    and at most 64 MB. Source: MaxHerding (Bae et al., ECCV 2024). Raises InvalidInput.
    """
    rows, k, cosine, seed = as_shards(X, "X"), positive_int(k, "k"), is_cosine(metric), seed_int(seed)
    n_rows = len(rows)
    used = as_mask(mask, "mask", n_rows)
    there = np.arange(n_rows, dtype=np.int64) if used is None else np.flatnonzero(used).astype(np.int64)
    before = as_positions(already, "already", n_rows)
    n_free = there.size - int(np.isin(before, there).sum())
    if k > n_free:
        raise InvalidInput(f"k is {k}, but only {n_free} rows can be chosen. Ask for at most that.")
    counted = np.empty(0, dtype=np.int64)
    if evaluate is not None and positive_int(evaluate, "evaluate") < there.size:
        counted = np.sort(_drawn(there, evaluate, seed, 0))
    with named_rows("X"):
        scale = median_distance(rows, there, cosine) if width is None else positive_number(width, "width")
        read = used
        if read is not None and before.size and not read[before].all():
            read = _with(read, before)
            if not counted.size:
                counted = there
        indices, gains, coverage, evaluated = _core.kernel_coverage(
            list(rows), k, scale * (2.0 if cosine else 1.0), cosine, read, before, counted
        )
    return KernelCoverage(indices, gains, coverage, scale, evaluated)


def _with(mask: BoolArray, rows: IntArray) -> BoolArray:
    more = mask.copy()
    more[rows] = True
    return more


def _drawn(rows: IntArray, count: int, seed: int, draw: int) -> IntArray:
    """`count` of the rows, all alike, distinct."""
    keys = uniforms(seed, Purpose.KERNEL, rows, draw)
    return rows[np.argsort(keys, kind="stable")[:count]]


def median_distance(rows: RowShards, there: IntArray, cosine: bool) -> float:
    """Median distance between different rows of two fixed samples, in the metric's unit; 1 when it is 0."""
    one = np.asarray(rows.take(_drawn(there, _PAIRS, 0, 1)), dtype=np.float64)
    two = np.asarray(rows.take(_drawn(there, _PAIRS, 0, 2)), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if cosine:
            one, two = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, two))
        center = one.mean(axis=0)  # distances stay, digits are not lost to a common offset
        one, two = one - center, two - center
        d = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1) - 2 * one @ two.T
    median = float(np.median(np.maximum(d, 0.0))) / (2.0 if cosine else 1.0)
    return median if np.isfinite(median) and median > 0 else 1.0
