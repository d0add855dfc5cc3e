"""Strategy "herding": the mean kernel of the picks follows that of the pool (RDSS, NeurIPS 2024)."""

from __future__ import annotations

import numpy as np

from .._check import is_cosine, positive_int, positive_number
from .._types import BoolArray, Float64Array, IntArray
from ..reference.herding import DECIMALS
from .coverage import Chosen, Task, coverage
from .pairs import Pairs, fixed_sample, sampled_distances
from .request import Picks, Request
from .space import feature_space


def herding(
    request: Request,
    *,
    metric: str = "cosine",
    sigma: float | None = None,
    alpha: float | None = None,
    mean_over: int = 20_000,
) -> Picks:
    """Kernel herding without replacement: representative of the pool and unlike the picks so far.

    metric     "cosine" (features of unit length) or "sqeuclidean"
    sigma      width of the kernel k = exp(-d / sigma^2), d in the metric's unit (a squared distance). Default, per
               stratum: sigma^2 is the median distance among a fixed sample of at most 1024 items
    alpha      > 0, weight of being representative; 1 is plain herding. Default: 1 - 1 / sqrt(labelled items +
               budget), as in the paper, and 1 for a single item
    mean_over  the pool's mean kernel is taken over all items, or over a fixed sample of so many of a larger pool

    Each pick is the candidate i with the least S_i - alpha mu_i: S_i is its mean kernel to all chosen items,
    labelled ones included, mu_i that to the pool. Objectives are compared to 12 decimals, ties go to the lower row.
    weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. No randomness.
    Cost: 2 n d min(n, mean_over) flops for the mean and 2 n B d for the picks, with one reading of the rows each; all
    in float64. Memory O(n), and up to 1 GB for rows in float64.
    Source: arXiv 2409.05363, with its one pass without replacement.
    """
    is_cosine(metric)
    positive_int(mean_over, "mean_over")
    if sigma is not None:
        positive_number(sigma, "sigma")
    if alpha is not None:
        positive_number(alpha, "alpha")
    space = feature_space(request.pool, metric, "herding")
    widths: list[float] = []

    def search(task: Task) -> Chosen:
        free, there = task.free, np.flatnonzero(task.used).astype(np.int64)
        sigma2 = _median(task, there) if sigma is None else sigma**2
        widths.append(float(np.sqrt(sigma2)))
        n_chosen = task.count + task.labelled.size
        weight = alpha if alpha is not None else 1 - 1 / np.sqrt(n_chosen) if n_chosen > 1 else 1.0
        request.note(f"mean kernel of {space.backbone} ({there.size} items) ...")
        pairs = Pairs(task.space.rows, there, metric)
        mean = _mean_kernel(pairs, sigma2, fixed_sample(there, mean_over))
        request.note(f"herding of {task.count} items ...")
        numbers, objective = _picks(pairs, free[there], task.count, sigma2, weight * mean)
        reasons = [
            f"mean kernel to the pool {mean[i]:.3g}, to the items before {max(0.0, o + weight * mean[i]):.3g}"
            for i, o in zip(numbers, objective, strict=True)
        ]
        unknown, none = np.full(task.count, np.nan), np.full(task.count, -1, dtype=np.int64)
        return Chosen(there[numbers], unknown, none, reasons, task.count + 2.0)

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["sigma"] = widths[0] if len(widths) == 1 else widths
    return picks


def _median(task: Task, used: IntArray) -> float:
    """Median distance of a sample; 1 where more than half of its pairs are duplicates."""
    if used.size == 1:
        return 1.0
    return float(np.median(sampled_distances(task.space.rows, used, task.space.metric))) or 1.0


def _kernel_sums(pairs: Pairs, sigma2: float, numbers: IntArray) -> Float64Array:
    """Per item, the sum of its kernel to these."""
    total = np.zeros(pairs.size)
    for _, columns, d in pairs.tiles(numbers):
        d /= -sigma2
        total[columns] += np.exp(d, out=d).sum(axis=0)
    return total


def _mean_kernel(pairs: Pairs, sigma2: float, sample: IntArray) -> Float64Array:
    return _kernel_sums(pairs, sigma2, sample) / sample.size


def _picks(
    pairs: Pairs, free: BoolArray, count: int, sigma2: float, pull: Float64Array
) -> tuple[IntArray, Float64Array]:
    """Numbers of the picks, and their objectives."""
    allowed = free.copy()
    chosen = np.flatnonzero(~free)
    sums = _kernel_sums(pairs, sigma2, chosen)
    picks, told = np.empty(count, dtype=np.int64), np.empty(count)
    for place in range(count):
        objective = np.round(sums / max(1, chosen.size + place) - pull, DECIMALS)
        objective[~allowed] = np.inf
        best = picks[place] = int(np.argmin(objective))
        told[place] = objective[best]
        allowed[best] = False
        sums += _kernel_sums(pairs, sigma2, picks[place : place + 1])
    return picks, told
