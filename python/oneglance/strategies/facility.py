"""Strategy "facility": every item wants a similar pick (facility location on a graph of nearest neighbours)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._check import is_cosine, positive_int
from .._types import BoolArray, Float64Array, IntArray
from ..reference.facility import UNIT
from ..search import nearest
from .coverage import Chosen, Task, coverage
from .pairs import sampled_distances
from .request import Picks, Request
from .space import feature_space

_BLOCK = 1 << 16
_CHOSEN = -(1 << 62)  # as a gain: below all others, whatever is taken off


def facility(request: Request, *, metric: str = "cosine", neighbors: int = 50) -> Picks:
    """Facility location: greedy maximum of sum_i max_s sim(i, s) over the chosen items s.

    metric     "cosine" (features of unit length) or "sqeuclidean"
    neighbors  each item counts similarities to itself (1) and to so many nearest items; to others it has 0

    sim is exp(-d / m), m the median distance among a fixed sample of at most 1024 items (per stratum). The greedy
    answer on the graph is exact, and within 1 - 1/e of the best possible: similarities are rounded to multiples of
    2^-30, so that sums of them are exact. Ties go to the lower row. Labelled items count as chosen. When nothing can be
    gained, only duplicates of chosen items are left, which follow by row.
    weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. No randomness.
    Cost: oneglance.nearest of all items (2 n^2 d flops), then about neighbors^2 additions and one scan of n gains per
    pick. Memory 16 bytes per edge, n (neighbors + 1) edges, and as much again while it is built.
    """
    is_cosine(metric)
    positive_int(neighbors, "neighbors")
    space = feature_space(request.pool, metric, "facility")
    shares: list[float] = []

    def search(task: Task) -> Chosen:
        free, there = task.free, np.flatnonzero(task.used).astype(np.int64)
        scale = 1.0
        if there.size > 1:
            scale = float(np.median(sampled_distances(task.space.rows, there, metric))) or 1.0
        k = min(neighbors, there.size - 1)
        request.note(f"{k} nearest neighbours of {there.size} items under {space.backbone} ({metric}) ...")
        near, similarity = _graph(task, there, k, scale)
        request.note(f"facility location of {task.count} items ...")
        numbers, gains = greedy(near, similarity, free[there], task.count)
        shares.append(float(gains.sum()) / UNIT)
        reasons = [
            f"adds {gain / UNIT:.3g} items' worth of similarity" if gain else "only duplicates were left"
            for gain in gains
        ]
        none = np.full(task.count, -1, dtype=np.int64)
        return Chosen(there[numbers], np.full(task.count, np.nan), none, reasons, 2.0)

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["similarity_gained"] = float(sum(shares))
    return picks


def _graph(task: Task, there: IntArray, k: int, scale: float) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Per item, itself and its k nearest others, and the similarities to them in units: (n, k + 1) each."""
    rows = task.space.rows
    n = there.size
    near = np.empty((n, k + 1), dtype=np.int32)
    similarity = np.empty((n, k + 1), dtype=np.int32)
    near[:, 0], similarity[:, 0] = np.arange(n), UNIT
    if k == 0:
        return near, similarity
    whole = rows if n == len(rows) else rows.take(there)
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        found = nearest(rows.take(there[block]), whole, k=k + 1, metric=task.space.metric)
        own = found.indices == np.arange(block.start, block.stop)[:, None]
        own[~own.any(axis=1), -1] = True  # more than k duplicates in lower rows: the last one gives way
        shape = (block.stop - block.start, k)
        near[block, 1:] = found.indices[~own].reshape(shape)
        d: Float64Array = found.distances[~own].reshape(shape)
        similarity[block, 1:] = np.rint(np.exp(-d / scale) * UNIT)
    return near, similarity


def greedy(
    near: npt.NDArray[np.int32], similarity: npt.NDArray[np.int32], free: BoolArray, count: int
) -> tuple[IntArray, IntArray]:
    """Numbers of the picks and their gains in units. Items that are not free count as chosen.

    Gains are kept exact: whoever is served better by a pick takes the difference off the gains of all others that
    could serve it. Whole numbers make the order of these sums indifferent.
    """
    n, width = near.shape
    order = _by_target(near.ravel())
    client, serving = (order // width).astype(np.int32), similarity.ravel()[order]
    del order
    ends = np.concatenate([[0], np.cumsum(np.bincount(near.ravel(), minlength=n))])
    best = np.zeros(n, dtype=np.int32)
    for s in np.flatnonzero(~free):
        mine = slice(ends[s], ends[s + 1])
        best[client[mine]] = np.maximum(best[client[mine]], serving[mine])
    gain = np.zeros(n, dtype=np.int64)
    for start in range(0, n, _BLOCK):
        block = slice(start, start + _BLOCK)
        more = np.maximum(similarity[block].astype(np.int64) - best[block, None], 0)
        np.add.at(gain, near[block], more)
    gain[~free] = _CHOSEN
    picks, gains = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for place in range(count):
        pick = int(gain.argmax())
        picks[place], gains[place] = pick, gain[pick]
        mine = slice(ends[pick], ends[pick + 1])
        better = serving[mine] > best[client[mine]]
        served, level = client[mine][better], serving[mine][better]
        less = np.minimum(similarity[served], level[:, None])
        less -= best[served, None]
        np.maximum(less, 0, out=less)
        np.subtract.at(gain, near[served].ravel().astype(np.intp), less.ravel().astype(np.int64))
        best[served] = level
        gain[pick] = _CHOSEN
    return picks, gains


def _by_target(near: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Stable argsort of item numbers, by halves of 16 bits, which NumPy sorts by counting."""
    order: npt.NDArray[np.int64] = np.argsort((near & 0xFFFF).astype(np.uint16), kind="stable")
    if near.max() > 0xFFFF:
        order = order[np.argsort((near[order] >> 16).astype(np.uint16), kind="stable")]
    return order
