"""Kernel coverage: picks that are similar to as much of the pool as possible."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
    gains      float64 (k,), by how much each raised the mean coverage; never increasing up to rounding, without costs
    coverage   (weighted) mean over the evaluated rows of the largest kernel to a chosen row, in [0, 1]
    width      of the kernel, in the metric's own unit
    evaluated  kernel values computed, in units of rows times evaluated rows
    spent      what the picks cost together; None without costs
    """

    indices: IntArray
    gains: Float64Array
    coverage: float
    width: float
    evaluated: float
    spent: float | None = None


def kernel_coverage(
    X: Any,
    k: int | None,
    *,
    metric: str = "sqeuclidean",
    width: float | None = None,
    evaluate: int | None = None,
    already: Any = None,
    mask: Any = None,
    weights: Any = None,
    costs: Any = None,
    budget: float | None = None,
    seed: int = 0,
) -> KernelCoverage:
    """k rows that greedily maximise the mean over i of w_i max_{s chosen} exp(-distance(x_i, x_s) / width).

    k         rows to pick; with costs at most so many, None for as many as the budget pays
    X         (n, d) float16/32/64: NumPy array or memory map, RowShards, CPU torch tensor
    metric    "sqeuclidean", or "cosine" (1 - cos)
    width     > 0 in the metric's unit. Default: the median distance between rows (of 512 x 512 pairs, the same for
              every seed)
    evaluate  count the coverage of so many rows only, drawn by the seed: cost and accuracy of large pools. Default:
              all rows
    already   positions of rows chosen before: they cover from the start and are not answered
    mask      (n,) bool: rows with False are neither picked nor counted
    weights   (n,) finite >= 0, importances w_i of rows for the coverage, whose mean is made 1. Default: all alike.
              Every row may be picked, whatever its weight
    costs     (n,) finite > 0, prices of rows; with budget > 0, the money for all picks
    seed      of the rows that evaluate draws, 0 .. 2**63 - 1; else without effect

    The objective is submodular, so lazy evaluation is exact and the coverage is at least 1 - 1/e of the best
    possible. Ties go to the lower row. float32 products and kernel values, float64 sums: the same picks for any
    number of threads and shards on one type of processor; near-ties (1e-6) may fall otherwise on another.
    With costs, two greedy runs spend the budget: one takes the largest gain per cost among the rows that can still
    be paid, the other the largest gain. The better one is answered, which covers at least (1 - 1/e) / 2 of the best
    that the budget could buy; the first alone has no such bound (Leskovec et al., KDD 2007).
    Cost: n^2 d / 2 multiply-adds for a pass over all pairs (n m d where m < n / 2 rows are evaluated), usually one to
    three of them, and m d for each of the columns that are needed between them; twice that with costs. Memory
    64 MB and about 1 kB per row. Source: MaxHerding (Bae et al., ECCV 2024). Raises InvalidInput.
    """
    rows, cosine, seed = as_shards(X, "X"), is_cosine(metric), seed_int(seed)
    n_rows = len(rows)
    used = as_mask(mask, "mask", n_rows)
    there = np.arange(n_rows, dtype=np.int64) if used is None else np.flatnonzero(used).astype(np.int64)
    before = as_positions(already, "already", n_rows)
    free = np.setdiff1d(there, before)
    prices, money = _prices(costs, budget, free, n_rows)
    if k is None and money is None:
        raise InvalidInput("k must be an integer >= 1, got None. Leave it out only with costs= and budget=.")
    most = free.size if k is None else positive_int(k, "k")
    if most > free.size:
        raise InvalidInput(f"k is {k}, but only {free.size} rows can be chosen. Ask for at most that.")
    a_number = False  # whether the money comes to a number of rows, whichever they are
    if money is not None and free.size:
        paid = n_paid(prices[free], money)
        a_number = paid == free.size or bool(np.ptp(prices[free]) == 0)
        most = min(most, paid) if a_number else most
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
        importance = _importance(weights, counted if counted.size else there, n_rows)

        def greedy(by_cost: bool) -> KernelCoverage:
            width_2 = scale * (2.0 if cosine else 1.0)
            asked = (np.empty(0), np.inf) if money is None or a_number else (prices, money)
            indices, gains, coverage, evaluated = _core.kernel_coverage(
                list(rows), most, width_2, cosine, read, before, counted, importance, *asked, by_cost
            )
            spent = None if money is None else math.fsum(prices[indices])
            return KernelCoverage(indices, gains, coverage, scale, evaluated, spent)

        if money is None or a_number:
            return greedy(False)
        by_cost, plain = greedy(True), greedy(False)
    better = by_cost if by_cost.coverage >= plain.coverage else plain
    return replace(better, evaluated=by_cost.evaluated + plain.evaluated)


def _prices(costs: Any, budget: Any, free: IntArray, n_rows: int) -> tuple[Float64Array, float | None]:
    """Prices (n,), empty without costs, and the money."""
    if costs is None:
        if budget is not None:
            raise InvalidInput("budget is money for rows with costs=. Give costs, or ask for k rows.")
        return np.empty(0), None
    prices = _numbers(costs, "costs", free, n_rows, above_zero=True)
    if budget is None:
        raise InvalidInput("costs needs budget=, the money for all picks.")
    money = positive_number(budget, "budget")
    if free.size and prices[free].min() > money:
        raise InvalidInput(
            f"budget is {money:g}, but the cheapest row costs {prices[free].min():g}. Give that at least."
        )
    return prices, money


def n_paid(costs: Float64Array, money: float) -> int:
    """How many of the first prices the money pays, by their sum as it is told: math.fsum, rounded once."""
    count = int(np.searchsorted(np.cumsum(costs), money, side="right"))
    while count < costs.size and math.fsum(costs[: count + 1]) <= money:
        count += 1
    while count and math.fsum(costs[:count]) > money:
        count -= 1
    return count


def _importance(weights: Any, counted: IntArray, n_rows: int) -> Float64Array:
    """Weights (n,), 0 for rows that do not count; empty when all count alike."""
    if weights is None:
        return np.empty(0)
    given = _numbers(weights, "weights", counted, n_rows, above_zero=False)
    kept = np.zeros(n_rows)
    kept[counted] = given[counted]
    if not kept.any():
        raise InvalidInput("weights are 0 for every row that counts. Give some row more, or leave weights out.")
    return kept


def _numbers(given: Any, name: str, rows: IntArray, n_rows: int, *, above_zero: bool) -> Float64Array:
    """(n,) float64, finite and > 0 (or >= 0) in these rows."""
    try:
        values = np.ascontiguousarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must hold numbers, got {type(given).__name__}.") from None
    if values.shape != (n_rows,):
        raise InvalidInput(f"{name} must have one entry per row of X, shape ({n_rows},), got shape {values.shape}.")
    here = values[rows]
    wrong = rows[~(np.isfinite(here) & (here > 0 if above_zero else here >= 0))]
    if wrong.size:
        need = "> 0" if above_zero else ">= 0"
        raise InvalidInput(f"{name} must be finite and {need}, got {values[wrong[0]]:g} at row {wrong[0]}.")
    return values


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
