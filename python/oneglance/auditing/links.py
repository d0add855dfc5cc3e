"""Items linked in pairs as groups, and the links that hashes of few different bits make."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .._types import IntArray


class Groups:
    """Connected groups that grow link by link: union-find, a block of links at a time."""

    def __init__(self, n: int) -> None:
        self._parent = np.arange(n, dtype=np.int64)

    def link(self, one: IntArray, other: IntArray) -> None:
        """Puts one[i] and other[i] into the same group."""
        while one.size:
            a, b = self._root(one), self._root(other)
            apart = a != b
            one, other = np.minimum(a[apart], b[apart]), np.maximum(a[apart], b[apart])
            np.minimum.at(self._parent, other, one)  # a root may hang on one lower root only: the rest comes again

    def _root(self, items: IntArray) -> IntArray:
        found = self._parent[items]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                self._parent[items] = found
                return found
            found = above

    def lowest(self) -> IntArray:
        """(n,) the lowest member of every item's group: itself where it is alone."""
        return self._root(np.arange(self._parent.size, dtype=np.int64))


def hamming_links(hashes: npt.NDArray[np.uint64], most: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Blocks of at most n pairs (i, j) of positions that link all hashes with at most `most` different bits: equal
    ones to their first, and different ones pair by pair.

    Two hashes that differ in at most `most` of 64 bits agree in one of most + 1 bands of bits, so only those are
    compared: exact. Cost about n^2 (most + 1) / 2^(64 / (most + 1)) comparisons for hashes that are spread out, up to
    n^2 (most + 1) / 2 where all are alike. Memory O(n).
    """
    distinct, first, of = np.unique(hashes, return_index=True, return_inverse=True)
    repeats = np.flatnonzero(first[of] != np.arange(hashes.size))
    yield first[of][repeats], repeats
    borders = [round(64 * i / (most + 1)) for i in range(most + 2)] if most else []
    for low, high in pairwise(borders):
        band = (distinct >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        left = np.arange(order.size - 1)
        step = 1
        while left.size:
            left = left[left + step < order.size]
            left = left[ordered[left] == ordered[left + step]]
            a, b = order[left], order[left + step]
            near = bit_count(distinct[a] ^ distinct[b]) <= most
            yield first[a[near]], first[b[near]]
            step += 1


def bit_count(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Ones among the 64 bits of each value."""
    v = values.copy()
    v -= (v >> np.uint64(1)) & np.uint64(0x5555555555555555)
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    with np.errstate(over="ignore"):
        v *= np.uint64(0x0101010101010101)
    return (v >> np.uint64(56)).astype(np.int64)
