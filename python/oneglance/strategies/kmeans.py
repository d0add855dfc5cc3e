"""Strategy "kmeans": as many clusters as labels, and from each the item nearest to its centre."""

from __future__ import annotations

import numpy as np

from .._check import is_cosine, positive_int
from .._types import BoolArray, IntArray
from ..cluster import KMeans
from ..cluster import kmeans as clusters_of
from ..cluster.kmeans import INITS
from ..errors import InvalidInput
from .coverage import Chosen, Task, coverage
from .request import Picks, Request
from .space import feature_space


def kmeans(
    request: Request,
    *,
    metric: str = "sqeuclidean",
    clusters: int | None = None,
    init: str = "k-means++",
    max_iter: int = 100,
) -> Picks:
    """The items nearest to the centres of a k-means under the global features of one backbone.

    metric    "sqeuclidean" or "cosine" (spherical k-means)
    clusters  number of clusters, per stratum. Default: labelled items + budget
    init      "k-means++", or "random" rows: it saves as much as an iteration where clusters are very many
    max_iter  most iterations

    Candidates and labelled items are clustered together. Clusters go in the order of the fewest labelled items,
    then the most candidates, then their number; each gives its candidate nearest to its centre (ties to the lower
    row). When all have given one and picks are missing (labelled items share clusters, duplicates leave clusters
    empty), they go round again with their next nearest. So the budget is met with distinct items.
    weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. The seed changes
    the start. Cost: oneglance.kmeans; with many labelled items name a smaller number of clusters.
    """
    is_cosine(metric)
    positive_int(max_iter, "max_iter")
    if init not in INITS:
        raise InvalidInput(f"init must be one of {list(INITS)}, got {init!r}.")
    if clusters is not None:
        positive_int(clusters, "clusters")
    space = feature_space(request.pool, metric, "kmeans")
    reports: list[KMeans] = []

    def search(task: Task) -> Chosen:
        free, used = task.free, task.used
        n_used = int(np.count_nonzero(used))
        k = task.count + task.labelled.size if clusters is None else clusters
        if k > n_used:
            raise InvalidInput(f"clusters is {k}, but only {n_used} items can be clustered. Ask for fewer.")
        request.note(f"k-means of {space.backbone} ({n_used} x {space.rows.shape[1]}, {k} clusters) ...")
        result = clusters_of(task.space.rows, k, metric=metric, init=init, max_iter=max_iter, seed=task.seed, mask=used)
        reports.append(result)
        return _picks(result, free, task.labelled, task.count)

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["clusters"] = sum(report.centers.shape[0] for report in reports)
    picks.certificate["inertia"] = float(sum(report.inertia for report in reports))
    picks.certificate["converged"] = all(report.converged for report in reports)
    return picks


def _picks(result: KMeans, free: BoolArray, labelled: IntArray, count: int) -> Chosen:
    """Round after round, the clusters in their order, the nearest candidate that is left."""
    k = result.centers.shape[0]
    items = np.flatnonzero(free).astype(np.int64)
    labels = result.labels[items]
    n_labelled = np.bincount(result.labels[labelled], minlength=k)
    sizes = np.bincount(labels, minlength=k)
    place = np.empty(k, dtype=np.int64)
    place[np.lexsort((np.arange(k), -sizes, n_labelled))] = np.arange(k)
    by_cluster = np.lexsort((items, result.distances[items], labels))
    starts = np.cumsum(sizes) - sizes
    turn = np.empty(items.size, dtype=np.int64)  # how many of its cluster are nearer to the centre
    turn[by_cluster] = np.arange(items.size) - starts[labels[by_cluster]]
    chosen = np.lexsort((place[labels], turn))[:count]
    reasons = []
    for one in chosen:
        held = int(n_labelled[labels[one]])
        others = f", {held} of them labelled" if held else ""
        which = "nearest" if turn[one] == 0 else f"number {turn[one] + 1}"
        reasons.append(f"{which} to the centre of a cluster of {sizes[labels[one]] + held} items{others}")
    none = np.full(count, -1, dtype=np.int64)
    return Chosen(items[chosen], np.full(count, np.nan), none, reasons, float(result.n_iter + 1))
