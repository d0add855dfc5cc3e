"""Facility location on a graph of nearest neighbours: the greedy part, and with the graph, against lazy greedies."""

import heapq
import itertools

import numpy as np
import pytest

import oneglance as og
from cases import SHRINK, clustered
from oneglance.strategies.facility import greedy

N_ROWS, N_DIMS, N_NEIGHBORS, N_PICKS = 50_000 // SHRINK, 384, 50, 5000 // SHRINK


@pytest.fixture(scope="module")
def graph():
    """Itself and the 50 nearest others of every row, and whole-numbered similarities."""
    rows = clustered(N_ROWS, N_DIMS, 300)
    found = og.knn(rows, N_NEIGHBORS, metric="cosine")
    near = np.hstack([np.arange(N_ROWS)[:, None], found.indices]).astype(np.int32)
    similarity = np.hstack([np.ones((N_ROWS, 1)), np.exp(-found.distances / np.median(found.distances))])
    return near, np.rint(similarity * 2**30).astype(np.int32)


def lazy_greedy(near, similarity, n_picks):
    """What people write: a heap of old gains; the best is brought up to date until it stays the best."""
    n, width = near.shape
    order = np.argsort(near, axis=None, kind="stable")
    clients, serving = order // width, similarity.ravel()[order].astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(np.bincount(near.ravel(), minlength=n))])
    mine = [slice(a, b) for a, b in itertools.pairwise(ends)]
    best = np.zeros(n, dtype=np.int64)
    heap = [(-int(serving[own].sum()), s) for s, own in enumerate(mine)]
    heapq.heapify(heap)
    picks = []
    while len(picks) < n_picks:
        _, s = heapq.heappop(heap)
        gain = int(np.maximum(serving[mine[s]] - best[clients[mine[s]]], 0).sum())
        if heap and (-gain, s) > heap[0]:
            heapq.heappush(heap, (-gain, s))
            continue
        best[clients[mine[s]]] = np.maximum(best[clients[mine[s]]], serving[mine[s]])
        picks.append(s)
    return picks


CASE = f"facility location, {N_ROWS} items, {N_NEIGHBORS} neighbours, {N_PICKS} picks, on a ready graph"


def test_greedy_against_a_lazy_greedy(graph, versus):
    """Baseline: the heap above, each gain by NumPy."""
    free = np.ones(N_ROWS, dtype=bool)
    assert greedy(*graph, free, N_PICKS)[0].tolist() == lazy_greedy(*graph, N_PICKS)
    versus(
        f"{CASE}, lazy greedy",
        lambda: greedy(*graph, free, N_PICKS),
        lambda: lazy_greedy(*graph, N_PICKS),
        rounds=3,
        at_least=5,
    )


def test_greedy_against_apricot(graph, versus):
    """Baseline: apricot-select on the same sparse similarities, its lazy optimizer."""
    apricot = pytest.importorskip("apricot", reason="apricot-select is not installed", exc_type=ImportError)
    sparse = pytest.importorskip("scipy.sparse")
    near, similarity = graph
    rows = np.repeat(np.arange(N_ROWS), near.shape[1])
    matrix = sparse.csr_matrix((similarity.ravel() / 2**30, (near.ravel(), rows)), shape=(N_ROWS, N_ROWS))
    free = np.ones(N_ROWS, dtype=bool)

    def peer():
        return apricot.FacilityLocationSelection(N_PICKS, metric="precomputed", optimizer="lazy").fit(matrix)

    # Its float sums round differently, so ties may go elsewhere: the first picks and the sum of gains must agree.
    gains = greedy(near, similarity, free, N_PICKS)[1] / 2**30
    assert peer().gains.sum() == pytest.approx(gains.sum(), rel=1e-3)
    versus(f"{CASE}, apricot-select", lambda: greedy(near, similarity, free, N_PICKS), peer, rounds=1, at_least=5)
