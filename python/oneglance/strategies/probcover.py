"""Strategy "probcover": balls around the picks hold as many items as possible (Yehuda et al., NeurIPS 2022)."""

from __future__ import annotations

import numpy as np

from .._check import is_cosine, positive_number
from .._types import BoolArray, Float64Array, IntArray
from ..reference.probcover import PARALLEL
from ..search import nearest
from .coverage import Chosen, Task, coverage
from .pairs import Pairs, sampled_distances
from .request import Picks, Request
from .space import feature_space


def probcover(request: Request, *, metric: str = "cosine", delta: float | None = None) -> Picks:
    """ProbCover: every next item is the one with the most items, not covered yet, at a distance < delta.

    metric  "cosine" (the paper's features of unit length) or "sqeuclidean"
    delta   radius of the balls, in the metric's unit: for cosine half the square of the paper's delta. Default, per
            stratum: a ball holds a share 1 / (labelled items + budget) of the pool, over the pairs of a fixed sample of
            at most 1024 items. (The paper asks for balls that are pure in the classes, which needs their number.)

    Balls of labelled items cover too. The greedy choice is exact, ties go to the lower row. When every item is
    covered, delta is halved until some item is not, and it goes on; the released code then picks whatever comes
    first. certificate["delta"] has the first radius, the reasons have each pick's own.
    weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. No randomness.
    Made for small budgets: with large ones balls become small and hold outliers. Cost: at most two products of all rows
    with all rows (4 n^2 d flops in float32, doubtful pairs decided in float64) for each radius that is come to, at O(n)
    memory, as no edge is stored, and one reading of the rows per pick.
    Source: arXiv 2205.11320; in its released code the rows of the last incomplete batch have no edges.
    """
    is_cosine(metric)
    if delta is not None:
        positive_number(delta, "delta")
    space = feature_space(request.pool, metric, "probcover")
    told: list[float] = []

    def search(task: Task) -> Chosen:
        free, there = task.free, np.flatnonzero(task.used).astype(np.int64)
        radius = delta or _radius(task, there, 1.0 / (task.count + task.labelled.size))
        request.note(f"cover of {space.backbone} by balls of radius {radius:.4g} ({metric}) ...")
        pairs = Pairs(task.space.rows, there, metric, np.float32)
        numbers, radii, gains = _picks(pairs, free[there], task.count, radius)
        told.append(radius)
        reasons = []
        for r, gain in zip(radii, gains, strict=True):
            within = f"{gain} item{'s' if gain > 1 else ''} not covered before within {r:.3g}"
            reasons.append(within if r else "only duplicates of chosen items were left")
        none = np.full(task.count, -1, dtype=np.int64)
        return Chosen(there[numbers], np.full(task.count, np.nan), none, reasons, 2.0)

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["delta"] = told[0] if len(told) == 1 else told
    return picks


def _radius(task: Task, used: IntArray, share: float) -> float:
    """The distance that this share of the pairs of a sample are closer than, a positive one."""
    if used.size == 1:
        return 1.0
    d = np.sort(sampled_distances(task.space.rows, used, task.space.metric), axis=None)
    at = d[min(d.size - 1, int(share * d.size))]
    if at > 0:
        return float(at)
    return float(d[d > 0].min()) if d[-1] > 0 else 1.0


def _picks(pairs: Pairs, free: BoolArray, count: int, radius: float) -> tuple[IntArray, list[float], list[int]]:
    """Numbers of the picks, with the radius and the items newly covered of each.

    Degrees are counted once per radius, and each item that is covered is taken off once, so a radius costs two
    products of all rows with all rows, however many picks it has; no edge is ever stored.
    """
    allowed = free.copy()
    chosen: list[int] = np.flatnonzero(~free).tolist()
    picks: list[int] = []
    radii: list[float] = []
    gains: list[int] = []
    uncovered: BoolArray = np.zeros(pairs.size, dtype=np.bool_)
    degree = np.zeros(pairs.size, dtype=np.int64)
    while len(picks) < count:
        if not uncovered.any():
            far = _to_chosen(pairs, np.array(chosen, dtype=np.int64))
            farthest = float(far.max())
            if farthest == 0.0:
                rest = np.flatnonzero(allowed)[: count - len(picks)]
                picks.extend(rest.tolist())
                radii.extend([0.0] * rest.size)
                gains.extend([0] * rest.size)
                break
            while radius > farthest:
                radius /= 2
            uncovered = far >= radius
            degree = _held(pairs, np.flatnonzero(uncovered), radius)
        best = int(np.argmax(np.where(allowed, degree, -1)))
        allowed[best] = False
        chosen.append(best)
        picks.append(best)
        radii.append(radius)
        gains.append(int(degree[best]))
        new = uncovered.copy()
        for _, columns, inside in pairs.within(np.array([best]), radius):
            new[columns] &= inside[0]
        uncovered &= ~new
        n_new, n_left = int(np.count_nonzero(new)), int(np.count_nonzero(uncovered))
        if n_left and n_new <= n_left:
            degree -= _held(pairs, np.flatnonzero(new), radius)
        elif n_left:
            degree = _held(pairs, np.flatnonzero(uncovered), radius)
    return np.array(picks, dtype=np.int64), radii, gains


def _held(pairs: Pairs, numbers: IntArray, radius: float) -> IntArray:
    """Per item, how many of these its ball holds."""
    degree = np.zeros(pairs.size, dtype=np.int64)
    for _, columns, inside in pairs.within(numbers, radius):
        degree[columns] += np.count_nonzero(inside, axis=0)
    return degree


def _to_chosen(pairs: Pairs, chosen: IntArray) -> Float64Array:
    """Distance of every item to its nearest chosen one; infinity without any."""
    if not chosen.size:
        return np.full(pairs.size, np.inf)
    centers = pairs.rows.take(pairs.used[chosen])
    out = np.empty(pairs.size)
    for start in range(0, pairs.size, 1 << 16):
        block = pairs.rows.take(pairs.used[start : start + (1 << 16)])
        out[start : start + (1 << 16)] = nearest(block, centers, metric=pairs.metric).distances[:, 0]
    if pairs.metric == "cosine":
        out[out <= PARALLEL] = 0.0
    return out
