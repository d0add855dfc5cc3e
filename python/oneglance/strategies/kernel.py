"""Strategy "kernel": items that are similar to as much of the pool as possible, under all backbones at once."""

from __future__ import annotations

import numpy as np

from .._check import positive_number
from ..search import KernelCoverage, kernel_coverage
from ..search.kernel import median_distance
from .coverage import Chosen, Task, coverage
from .joint import joint_space
from .request import Picks, Request


def kernel(request: Request, *, width: float = 0.5, evaluate: int | None = None) -> Picks:
    """Greedy maximum of the mean largest Gaussian kernel to a pick (MaxHerding), several backbones as one kernel.

    width     of the kernel, in units of the median squared distance between items (docs/strategies.md has others)
    evaluate  count the coverage of a fixed sample of so many items only (large pools). Default: all

    The features of every backbone are centred, scaled to unit norm and put side by side, so each backbone counts
    alike; this copy is float32, beyond 2 GB in a scratch file. Labelled items cover from the start. weights are the
    numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. No randomness.
    A priority says how much an item counts in the mean. With costs the better of two greedy runs is taken, see
    oneglance.kernel_coverage. Source: Bae et al., ECCV 2024.
    """
    positive_number(width, "width")
    space = joint_space(request.pool, request.candidates, request.note)
    reports: list[KernelCoverage] = []

    def search(task: Task) -> Chosen:
        n_rows, n_dims = task.space.rows.shape
        request.note(f"kernel coverage under {space.backbone} ({n_rows} x {n_dims}) ...")
        free = np.flatnonzero(task.free)
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
