"""Strategy "typiclust": from every cluster the item in its densest place (Hacohen et al., ICML 2022)."""

from __future__ import annotations

import numpy as np

from .._check import is_cosine, positive_int
from .._types import BoolArray, FloatArray, IntArray, RowShards
from ..cluster import kmeans
from ..search import knn
from .coverage import Chosen, Task, coverage
from .request import Picks, Request
from .space import feature_space

_SPARE = 2  # so many times the neighbours are kept, so that few picks make it necessary to search again


def typiclust(
    request: Request,
    *,
    metric: str = "cosine",
    max_clusters: int = 500,
    neighbors: int = 20,
    min_cluster: int = 6,
    max_iter: int = 100,
) -> Picks:
    """TypiClust: k-means, then from every cluster the candidate with the closest neighbours.

    metric        "cosine" (the paper's features of unit length) or "sqeuclidean"
    max_clusters  most clusters, per stratum. There are labelled items + budget of them, but no more than this, and
                  no more than leaves 2 min_cluster items to each on average
    neighbors     typicality is 1 / (mean rooted distance to so many nearest candidates in the cluster, or to half
                  of them where it has fewer)
    min_cluster   clusters with fewer items wait until the others have nothing left
    max_iter      most iterations of k-means

    Clusters go in the order of the fewest labelled items, then the most items, then their number, and give one pick
    each; then they go round again. A pick and the labelled items are no neighbours from then on, so that further
    picks come from other places, as in the released code. Ties go to the lower row. With many clusters of few items
    typicality says little: made for small budgets.
    weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. The seed changes
    the k-means++ start. Cost: oneglance.kmeans, and n^2 d / clusters for the neighbours.
    Source: arXiv 2202.02794 and its released code.
    """
    is_cosine(metric)
    for value, name in ((max_clusters, "max_clusters"), (neighbors, "neighbors"), (min_cluster, "min_cluster")):
        positive_int(value, name)
    positive_int(max_iter, "max_iter")
    space = feature_space(request.pool, metric, "typiclust")
    n_clusters: list[int] = []

    def search(task: Task) -> Chosen:
        free, used = task.free, task.used
        n_used = int(np.count_nonzero(used))
        k = max(1, min(task.count + task.labelled.size, max_clusters, n_used // (2 * min_cluster)))
        request.note(f"k-means of {space.backbone} ({n_used} x {space.rows.shape[1]}, {k} clusters) ...")
        mask = None if used.all() else used
        found = kmeans(task.space.rows, k, metric=metric, max_iter=max_iter, seed=task.seed, mask=mask)
        n_clusters.append(k)
        items, reasons = _picks(
            task.space.rows, found.labels, free, task.labelled, task.count, metric, neighbors, min_cluster
        )
        unknown = np.full(task.count, np.nan)
        none = np.full(task.count, -1, dtype=np.int64)
        return Chosen(items, unknown, none, reasons, float(found.n_iter + 2))

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["clusters"] = sum(n_clusters)
    return picks


def _picks(
    rows: RowShards,
    labels: IntArray,
    free: BoolArray,
    labelled: IntArray,
    count: int,
    metric: str,
    neighbors: int,
    min_cluster: int,
) -> tuple[IntArray, list[str]]:
    """How often each cluster's turn comes is known beforehand, so one cluster is done after the other."""
    items = np.flatnonzero(free).astype(np.int64)
    n_clusters = int(labels.max()) + 1
    held = np.bincount(labels[labelled], minlength=n_clusters)
    available = np.bincount(labels[items], minlength=n_clusters)
    size = available + held
    place = np.empty(n_clusters, dtype=np.int64)
    place[np.lexsort((np.arange(n_clusters), -size, held, size < min_cluster))] = np.arange(n_clusters)
    by_cluster = items[np.argsort(labels[items], kind="stable")]
    ends = np.cumsum(available)
    owner = np.repeat(np.arange(n_clusters), available)  # one entry per turn that could be taken
    turn = np.arange(items.size) - np.repeat(ends - available, available)
    taken = np.lexsort((place[owner], turn, size[owner] < min_cluster))[:count]
    n_turns = np.bincount(owner[taken], minlength=n_clusters)
    order: dict[int, IntArray] = {}
    for c in np.flatnonzero(n_turns).tolist():
        members = by_cluster[ends[c] - available[c] : ends[c]]
        order[c] = members[_most_typical(rows.take(members), int(n_turns[c]), neighbors, metric)]
    chosen, reasons = np.empty(count, dtype=np.int64), []
    for position, entry in enumerate(taken):
        c, t = int(owner[entry]), int(turn[entry])
        chosen[position] = order[c][t]
        which = "the most typical" if t == 0 else f"typical, number {t + 1}"
        others = f", {held[c]} of them labelled" if held[c] else ""
        reasons.append(f"{which} of a cluster of {size[c]} items{others}")
    return chosen, reasons


def _most_typical(x: FloatArray, count: int, neighbors: int, metric: str) -> list[int]:
    """The most typical row, then the most typical of the others, and so on. Neighbours come from one search with
    some to spare; when picks have used them up, from another among the rows that are left."""
    left = np.arange(x.shape[0])
    picks: list[int] = []
    while len(picks) < count:
        if left.size <= 1:
            picks.extend(left.tolist())
            break
        found = knn(x[left], min(left.size - 1, _SPARE * neighbors), metric=metric)
        roots = np.sqrt(found.distances)
        alive = np.ones(left.size, dtype=np.bool_)
        while len(picks) < count:
            n_alive = int(np.count_nonzero(alive))
            k = min(neighbors, n_alive // 2)
            if n_alive == 0:
                break
            there = alive[found.indices]
            if (there.sum(axis=1)[alive] < k).any():
                break
            first = np.argsort(~there, axis=1, kind="stable")[:, :k]  # still in ascending order of distance
            mean = np.take_along_axis(roots, first, axis=1).sum(axis=1) / max(k, 1)
            best = int(np.argmin(np.where(alive, mean, np.inf)))
            alive[best] = False
            picks.append(int(left[best]))
        left = left[alive]
    return picks
