"""Strategy "prototypes": the easiest or the hardest items by distance to cluster centres (Sorscher et al. 2022)."""

from __future__ import annotations

import numpy as np

from .._check import is_cosine, positive_int
from ..cluster import kmeans
from ..errors import InvalidInput
from .balance import from_clusters, shares
from .coverage import Chosen, Task, coverage
from .request import Picks, Request
from .space import feature_space

KEEPS = ("easy", "hard")


def prototypes(
    request: Request,
    *,
    metric: str = "cosine",
    keep: str = "easy",
    clusters: int | None = None,
    even: bool = True,
    max_iter: int = 100,
) -> Picks:
    """Self-supervised prototypes: an item is the harder, the farther it is from the nearest cluster centre.

    metric    "cosine" (features of unit length) or "sqeuclidean"
    keep      "easy" takes the items nearest to their centre, "hard" the farthest. The paper finds easy ones better
              with little data and hard ones with much
    clusters  number of prototypes, per stratum; the root of the number of items by default. Take about the number of
              classes where you know it
    even      every cluster gives as many as the others, or all it has, labelled items counted. False: the easiest or
              hardest of all, wherever they are
    max_iter  most iterations of k-means

    Ties go to the lower row. weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob
    is NaN. The seed changes the k-means++ start. Cost: oneglance.kmeans. Source: arXiv 2206.14486.
    """
    is_cosine(metric)
    if keep not in KEEPS:
        raise InvalidInput(f"keep must be one of {list(KEEPS)}, got {keep!r}.")
    if even not in (True, False):
        raise InvalidInput(f"even must be True or False, got {even!r}.")
    positive_int(max_iter, "max_iter")
    if clusters is not None:
        positive_int(clusters, "clusters")
    space = feature_space(request.pool, metric, "prototypes")
    n_clusters: list[int] = []

    def search(task: Task) -> Chosen:
        free, used = np.flatnonzero(task.free), task.used
        n_used = int(np.count_nonzero(used))
        k = clusters or max(1, round(n_used**0.5))
        if k > n_used:
            raise InvalidInput(f"clusters is {k}, but only {n_used} items can be clustered. Ask for fewer.")
        request.note(f"k-means of {space.backbone} ({n_used} x {space.rows.shape[1]}, {k} clusters) ...")
        found = kmeans(task.space.rows, k, metric=metric, max_iter=max_iter, seed=task.seed, mask=used)
        n_clusters.append(k)
        key = found.distances if keep == "easy" else -found.distances
        if even:
            available, held = (np.bincount(found.labels[rows], minlength=k) for rows in (free, task.labelled))
            items = from_clusters(found.labels, key, free, shares(task.count, available, held))
        else:
            items = free[np.lexsort((free, key[free]))][: task.count]
        reasons = [f"{keep}: distance {found.distances[i]:.3g} to the nearest prototype" for i in items]
        unknown, none = np.full(task.count, np.nan), np.full(task.count, -1, dtype=np.int64)
        return Chosen(items, unknown, none, reasons, float(found.n_iter + 1))

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["clusters"] = sum(n_clusters)
    return picks
