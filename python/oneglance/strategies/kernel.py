"""Strategy "kernel": items that are similar to as much of the pool as possible, under all backbones at once."""

from __future__ import annotations

import numpy as np

from .._check import positive_number
from .._types import BoolArray, Float64Array, FloatArray, RowShards
from ..errors import InvalidInput
from ..search import KernelCoverage, kernel_coverage
from ..search.kernel import median_distance
from .coverage import Chosen, Task, coverage
from .pool import Pool
from .request import Picks, Request
from .space import Space

_BLOCK = 4096


def kernel(request: Request, *, width: float = 1.0, evaluate: int | None = None) -> Picks:
    """Greedy maximum of the mean largest Gaussian kernel to a pick (MaxHerding), several backbones as one kernel.

    width     of the kernel, in units of the median squared distance between items
    evaluate  count the coverage of a fixed sample of so many items only (large pools). Default: all

    The features of every backbone are centred, scaled to unit norm and put side by side, so each backbone counts
    alike; this copy is held in memory as float32. Labelled items cover from the start. weights are the numbers of
    candidates nearest to each pick, scores too; inclusion_prob is NaN. No randomness.
    A priority says how much an item counts in the mean. With costs the better of two greedy runs is taken, see
    oneglance.kernel_coverage. Source: Bae et al., ECCV 2024.
    """
    positive_number(width, "width")
    space = joint_space(request.pool, request.candidates)
    reports: list[KernelCoverage] = []

    def search(task: Task) -> Chosen:
        n_rows, n_dims = task.space.rows.shape
        request.note(f"kernel coverage under {space.backbone} ({n_rows} x {n_dims}) ...")
        free = np.arange(n_rows) if task.mask is None else np.flatnonzero(task.mask)
        median = median_distance(task.space.rows, free.astype(np.int64), cosine=False)
        found = kernel_coverage(
            task.space.rows,
            task.count,
            width=width * median,
            evaluate=evaluate,
            already=task.labelled if task.labelled.size else None,
            mask=task.mask,
            weights=task.priority,
            costs=task.costs if task.money is not None else None,
            budget=task.money,
        )
        reports.append(found)
        reasons = [f"raises the coverage by {gain:.3g}" for gain in found.gains]
        unknown, none = np.full(found.indices.size, np.nan), np.full(found.indices.size, -1, dtype=np.int64)
        return Chosen(found.indices, unknown, none, reasons, found.evaluated)

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights", by_cost=True)
    picks.certificate["kernel_coverage"] = [report.coverage for report in reports]
    picks.certificate["width"] = [report.width for report in reports]
    return picks


def joint_shape(pool: Pool, metric: str, strategy: str) -> Space:
    """The joint space without its values, for plans."""
    if not pool.features:
        raise InvalidInput(
            f'strategy "{strategy}" needs global features, and {pool.where} holds patterns only. '
            'Use strategy="freesel", or give one row of features per item.'
        )
    n_dims = sum(rows.shape[1] for rows in pool.features.values())
    empty = np.broadcast_to(np.float32(0), (pool.n_items, n_dims))
    return Space("+".join(pool.features), "sqeuclidean", RowShards((empty,)))


def joint_space(pool: Pool, counted: BoolArray) -> Space:
    """Features of all backbones, side by side: float32 (n, sum of widths); each less the mean of the rows that are
    counted, and of unit norm. Rows with NaN keep it."""
    shape = joint_shape(pool, "sqeuclidean", "kernel")
    joint = np.empty(shape.rows.shape, dtype=np.float32)
    first = 0
    for rows in pool.features.values():
        _centred_unit(rows, counted, joint[:, first : first + rows.shape[1]])
        first += rows.shape[1]
    return Space(shape.backbone, shape.metric, RowShards((joint,)))


def _centred_unit(rows: RowShards, counted: BoolArray, out: FloatArray) -> None:
    mean: Float64Array = np.zeros(rows.shape[1])
    n_counted = 0
    for start in range(0, len(rows), _BLOCK):
        there = np.flatnonzero(counted[start : start + _BLOCK]) + start
        block = np.asarray(rows.take(there), dtype=np.float64)
        block = block[np.isfinite(block).all(axis=1)]
        mean += block.sum(axis=0)
        n_counted += len(block)
    mean /= max(1, n_counted)
    for start in range(0, len(rows), _BLOCK):
        block = rows.take(np.arange(start, min(start + _BLOCK, len(rows)))).astype(np.float64) - mean
        norm = np.linalg.norm(block, axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # infinite rows become NaN, and are named as unusable
            out[start : start + len(block)] = block / np.where(norm == 0, 1.0, norm)
