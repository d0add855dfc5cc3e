"""Near-duplicates are dropped before a strategy chooses (SemDeDup, Abbas et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import BoolArray, IntArray
from ..cluster import kmeans
from .pairs import Pairs
from .space import Space

_CLUSTER_ROWS = 1000  # on average
_MAX_ITER = 20


@dataclass(frozen=True, eq=False)
class Dropped:
    """Near-duplicates: positions `items`, ascending, and the kept item `of` that each one is close to."""

    items: IntArray
    of: IntArray
    clusters: int


def near_duplicates(space: Space, candidates: BoolArray, labelled: IntArray, eps: float, seed: int) -> Dropped:
    """Candidates whose cosine distance to an earlier kept item of their cluster is below eps.

    space  global features under "cosine"

    Clusters are those of a spherical k-means of candidates and labelled items, of 1000 items on average. In each,
    labelled items are kept; then candidates in the order of their rows, unless an item kept before is that close.
    So chains do not fall as a whole, and equal rows always meet. Near pairs that k-means tears apart stay: never is
    an item dropped without a kept one within eps. Cost: oneglance.kmeans, and about 2000 n d flops for the pairs.
    """
    used = candidates.copy()
    used[labelled] = True
    n_used = int(np.count_nonzero(used))
    k = max(1, n_used // _CLUSTER_ROWS)
    mask = None if used.all() else used
    labels = kmeans(space.rows, k, metric="cosine", max_iter=_MAX_ITER, seed=seed, mask=mask).labels
    items = np.flatnonzero(used).astype(np.int64)
    order = items[np.lexsort((items, candidates[items], labels[items]))]  # labelled first
    ends = np.cumsum(np.bincount(labels[order], minlength=k))
    found, of = [], []
    for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        if end - start > 1:
            members = order[start:end]
            first = _first_kept(Pairs(space.rows, members, "cosine", np.float32), candidates[members], eps)
            gone = np.flatnonzero(first >= 0)
            found.append(members[gone])
            of.append(members[first[gone]])
    dropped = np.concatenate([np.empty(0, dtype=np.int64), *found])
    kept = np.concatenate([np.empty(0, dtype=np.int64), *of])
    by_row = np.argsort(dropped)
    return Dropped(dropped[by_row], kept[by_row], k)


def _first_kept(pairs: Pairs, free: BoolArray, eps: float) -> IntArray:
    """Per member, in their order: the first kept member within eps before it; -1 for those that are kept."""
    first = np.full(pairs.size, -1, dtype=np.int64)
    for start in range(0, pairs.size, 512):
        numbers = np.arange(start, min(start + 512, pairs.size))
        inside = np.zeros((numbers.size, pairs.size), dtype=np.bool_)
        for part, columns, block in pairs.within(numbers, eps):
            inside[part, columns] = block
        inside &= np.arange(pairs.size) > numbers[:, None]
        inside &= free
        for i in np.flatnonzero(inside.any(axis=1)):
            if first[numbers[i]] < 0:
                first[np.flatnonzero(inside[i] & (first < 0))] = numbers[i]
    return first
