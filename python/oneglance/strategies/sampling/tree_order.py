"""An order of rows in which near rows stand together: leaves of a tree of halvings."""

from __future__ import annotations

import numpy as np

from ..._types import FloatArray, IntArray


def halvings(n_rows: int) -> list[IntArray]:
    """Nodes of a tree over n_rows >= 1 places, level by level, from the root to nodes of one place at most.

    Level l is int64 (2**l + 1,): node j has the places starts[j] .. starts[j + 1] - 1, and its halves, of which the
    first is the larger by one place where its size is odd, are nodes 2 j and 2 j + 1 of the next level.
    """
    levels = [np.array([0, n_rows], dtype=np.int64)]
    for _ in range((n_rows - 1).bit_length()):
        starts = levels[-1]
        halves = np.empty(2 * starts.size - 1, dtype=np.int64)
        halves[0::2] = starts
        halves[1::2] = (starts[:-1] + starts[1:] + 1) // 2
        levels.append(halves)
    return levels


def tree_order(points: FloatArray) -> IntArray:
    """int64 (n,): the rows of points (n, k), finite, from the tree's first leaf to its last.

    Each node is halved along the coordinate in which its rows vary most (ties: the lower coordinate), the lower
    values first (ties: the lower row). All nodes of a level are halved together: O(log n) sorts of n numbers and
    as many passes over the points, in NumPy.
    """
    n_rows = len(points)
    order = np.arange(n_rows, dtype=np.int64)
    for starts in halvings(n_rows)[:-1]:
        sizes = np.diff(starts)
        node = np.repeat(np.arange(sizes.size), sizes)
        here = np.asarray(points[order], dtype=np.float64)
        first = starts[:-1]  # no node is empty: a level above the leaves has fewer nodes than rows
        offset = here - (np.add.reduceat(here, first) / sizes[:, None])[node]
        widest = np.argmax(np.add.reduceat(offset * offset, first), axis=1)
        order = order[np.lexsort((order, here[np.arange(n_rows), widest[node]], node))]
    return order
