"""Strategy "hierarchical": balanced draws from clusters of clusters (Vo et al., TMLR 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .._check import is_cosine, positive_int
from .._rng import Purpose, uniforms
from .._types import Float64Array, FloatArray, IntArray, RowShards
from ..cluster import kmeans
from ..errors import InvalidInput
from ..search import nearest
from .balance import from_clusters, tree_shares
from .coverage import Chosen, Task, coverage
from .request import Picks, Request
from .space import feature_space

DRAWS = ("closest", "random")
_LOWEST, _PER_LABEL = 4, 4  # least items per cluster, lowest clusters per label


def hierarchical(
    request: Request,
    *,
    metric: str = "cosine",
    levels: Sequence[int] | None = None,
    draw: str = "closest",
    resample: int = 0,
    max_iter: int = 50,
) -> Picks:
    """Hierarchical k-means: clusters, clusters of their centres, and so on; the budget is shared from the top.

    metric    "cosine" (features of unit length) or "sqeuclidean"
    levels    numbers of clusters, lowest level first, falling; per stratum. Default: 4 per label (labelled items and
              budget), but at least 4 items in each on average; and above them as many as labels
    draw      from each lowest cluster the items "closest" to its centre, or "random" ones
    resample  times that each level is clustered anew from the items closest to each centre, at most half a mean
              cluster of each; all others are then assigned. It evens out the density, so that sparse regions and
              outliers get more picks. The paper takes 10, to curate a web-scale pool; on pools of some thousand
              pictures it was seen to cost accuracy
    max_iter  most iterations of each k-means

    At every level each cluster gives as many items as the others, or all it has (water-filling; labelled items
    count as given). So rare kinds of items are drawn as often as common ones, and the pool's proportions are lost on
    purpose. Ties go to the lower row.
    weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. The seed changes
    the k-means++ starts and random draws. Cost: resample + 1 k-means fits per level, the later ones on half the rows.
    Source: arXiv 2405.15613 and its released code.
    """
    is_cosine(metric)
    if draw not in DRAWS:
        raise InvalidInput(f"draw must be one of {list(DRAWS)}, got {draw!r}.")
    if isinstance(resample, bool) or not isinstance(resample, (int, np.integer)) or resample < 0:
        raise InvalidInput(f"resample must be an integer >= 0, got {resample!r}.")
    positive_int(max_iter, "max_iter")
    asked = None if levels is None else _levels(levels)
    space = feature_space(request.pool, metric, "hierarchical")
    sizes: list[list[int]] = []

    def search(task: Task) -> Chosen:
        free, there = np.flatnonzero(task.free), np.flatnonzero(task.used)
        counts = asked or _default(there.size, task.count + task.labelled.size)
        if counts[0] > there.size:
            raise InvalidInput(f"levels asks for {counts[0]} clusters of {there.size} items. Ask for fewer.")
        points: Any = task.space.rows if there.size == task.n_items else task.space.rows.take(there)
        tree, key = [], np.empty(0)
        for depth, k in enumerate(counts):
            request.note(f"level {depth + 1} of {space.backbone}: {k} clusters of {len(points)} ...")
            centers, labels, distances = _level(points, k, metric, resample, max_iter, task.seed)
            key = key if depth else distances
            tree.append(labels)
            points = centers
        sizes.append(counts)
        if draw == "random":
            key = uniforms(task.seed, Purpose.COVER, there, draw=2**30 + 2)
        mine, done = np.searchsorted(there, free), np.searchsorted(there, task.labelled)
        given = tree_shares(task.count, tree, mine, done)
        numbers = from_clusters(tree[0], key, mine, given)
        filled = np.bincount(tree[0], minlength=counts[0])
        which = "closest to the centre" if draw == "closest" else "drawn"
        reasons = [f"{which}: {given[c]} of a cluster of {filled[c]} items" for c in tree[0][numbers]]
        unknown, none = np.full(task.count, np.nan), np.full(task.count, -1, dtype=np.int64)
        return Chosen(there[numbers], unknown, none, reasons, float(resample + 2))

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["levels"] = sizes[0] if len(sizes) == 1 else sizes
    return picks


def _levels(levels: Sequence[int]) -> list[int]:
    asked = [positive_int(k, "levels") for k in levels]
    if not asked or any(above > below for below, above in pairwise(asked)):
        raise InvalidInput(f"levels must be numbers of clusters that never rise, lowest level first, got {asked}.")
    return asked


def _default(n_items: int, n_labels: int) -> list[int]:
    lowest = max(1, min(_PER_LABEL * n_labels, n_items // _LOWEST))
    return [lowest, min(lowest, n_labels)]


def _level(
    points: RowShards | FloatArray, k: int, metric: str, resample: int, max_iter: int, seed: int
) -> tuple[Float64Array, IntArray, Float64Array]:
    """Centres, labels and distances of one level."""
    found = kmeans(points, k, metric=metric, max_iter=max_iter, seed=seed)
    centers, labels, distances = found.centers, found.labels, found.distances
    n_points = labels.size
    close = max(1, n_points // k // 2)
    for step in range(1, resample + 1):
        order = np.lexsort((np.arange(n_points), distances, labels))
        sizes = np.bincount(labels, minlength=k)
        turn = np.arange(n_points) - (np.cumsum(sizes) - sizes)[labels[order]]
        part = np.sort(order[turn < close])
        if part.size < k:
            break  # fewer distinct points than clusters
        some = points.take(part) if isinstance(points, RowShards) else points[part]
        centers = kmeans(some, k, metric=metric, max_iter=max_iter, seed=(seed + step) % 2**63).centers
        assigned = nearest(points, centers, metric=metric)
        labels, distances = assigned.indices[:, 0], assigned.distances[:, 0]
    return centers, labels, distances
