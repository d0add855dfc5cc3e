"""Distances between all pairs of items, a tile at a time: never n x n numbers in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, FloatArray, IntArray, RowShards
from ..errors import InvalidInput
from ..reference.nearest import prepared
from ..search import nearest

_TILE = 2048  # rows and columns of a tile: 32 MB of distances
KEPT_BYTES = 1 << 30  # prepared rows are kept below this, else read and prepared anew for every row of tiles
_CHECKED_PAIRS = 1 << 13


class Pairs:
    """The items `used` (ascending positions) of some rows, numbered 0 .. size - 1 in this order.

    dtype  of the products: float32 is twice as fast

    Distances by products are within `slack` of the definition (oneglance.reference.nearest): for float32 they are
    those of centred rows scaled into its range. `within` decides the pairs that are so close to the radius by the
    definition itself, so its answer does not depend on the products.
    """

    def __init__(self, rows: RowShards, used: IntArray, metric: str, dtype: Any = np.float64) -> None:
        self.rows, self.used, self.metric = rows, used, metric
        self.size = int(used.size)
        self._dtype = np.dtype(dtype)
        total = np.zeros(rows.shape[1])
        if metric == "sqeuclidean":
            for start in range(0, self.size, _TILE):
                total += self._read(slice(start, start + _TILE)).sum(axis=0)
        self._center = total / self.size
        largest = 0.0
        for start in range(0, self.size, _TILE):
            block = self._read(slice(start, start + _TILE)) - self._center
            largest = max(largest, float(np.einsum("ij,ij->i", block, block).max()))
        if not np.isfinite(largest):
            raise InvalidInput("features are so large that squared distances leave float64. Scale them down.")
        self._scale = float(np.sqrt(largest)) or 1.0
        self._unit = self._scale**2 if metric == "sqeuclidean" else self._scale**2 / 2
        self.slack = 8 * (rows.shape[1] + 16) * float(np.finfo(self._dtype).eps) * largest
        self._kept: FloatArray | None = None
        if self.size * rows.shape[1] * self._dtype.itemsize <= KEPT_BYTES:
            self._kept = np.empty((self.size, rows.shape[1]), dtype=self._dtype)
            for start in range(0, self.size, _TILE):
                block = self._read(slice(start, start + _TILE))
                self._kept[start : start + _TILE] = (block - self._center) / self._scale

    def _read(self, block: slice) -> Float64Array:
        """Prepared rows from where they are."""
        raw = self.rows.take(self.used[block])
        if not np.isfinite(raw).all() or (self.metric == "cosine" and not raw.any(axis=1).all()):
            raise InvalidInput("features hold NaN or infinity, or under cosine rows of zeros. Leave these items out.")
        return prepared(raw, self.metric)

    def take(self, numbers: IntArray) -> Float64Array:
        """Prepared rows by number, float64."""
        return prepared(self.rows.take(self.used[numbers]), self.metric)

    def _scaled(self, numbers: IntArray | slice) -> FloatArray:
        """Centred rows of norm 1 at most."""
        if self._kept is not None:
            return self._kept[numbers]
        wanted = np.arange(self.size)[numbers]
        scaled: FloatArray = ((self.take(wanted) - self._center) / self._scale).astype(self._dtype)
        return scaled

    def tiles(self, numbers: IntArray) -> Iterator[tuple[slice, slice, Float64Array]]:
        """Tiles (part of `numbers`, columns, distances (m, c) float64), within slack, not negative."""
        for first in range(0, numbers.size, _TILE):
            part = slice(first, min(first + _TILE, numbers.size))
            queries = self._scaled(numbers[part])
            mine = np.einsum("ij,ij->i", queries, queries)
            for start in range(0, self.size, _TILE):
                columns = slice(start, min(start + _TILE, self.size))
                block = self._scaled(columns)
                d = queries @ block.T
                d *= -2.0
                d += mine[:, None]
                d += np.einsum("ij,ij->i", block, block)
                np.maximum(d, 0.0, out=d)
                yield part, columns, d.astype(np.float64) * self._unit

    def within(self, numbers: IntArray, radius: float) -> Iterator[tuple[slice, slice, BoolArray]]:
        """Tiles of (distance < radius), by definition."""
        for part, columns, d in self.tiles(numbers):
            inside = d < radius
            unsure_row, unsure_column = np.nonzero(np.abs(d - radius) <= self.slack)
            for start in range(0, unsure_row.size, _CHECKED_PAIRS):
                i, j = unsure_row[start : start + _CHECKED_PAIRS], unsure_column[start : start + _CHECKED_PAIRS]
                exact = ((self.take(numbers[part][i]) - self.take(columns.start + j)) ** 2).sum(axis=1)
                inside[i, j] = (exact if self.metric == "sqeuclidean" else exact / 2) < radius
            yield part, columns, inside


def fixed_sample(used: IntArray, most: int) -> IntArray:
    """Numbers 0 .. size - 1 of at most so many items, ascending: scattered evenly, and the same ones for every seed.

    What is estimated from them, such as a bandwidth, is a property of the pool and leaves no room for chance.
    """
    if used.size <= most:
        return np.arange(used.size)
    keys = uniforms(0, Purpose.COVER, used, draw=2**30)
    return np.sort(np.argsort(keys, kind="stable")[:most])


def sampled_distances(rows: RowShards, used: IntArray, metric: str, n_sample: int = 1024) -> Float64Array:
    """Exact distances among a fixed sample of items, ascending per item, itself left out: (m, m - 1)."""
    chosen = used[fixed_sample(used, n_sample)]
    sample = rows.take(chosen)
    found = nearest(sample, sample, k=chosen.size, metric=metric)
    own = found.indices == np.arange(chosen.size)[:, None]
    others: Float64Array = found.distances[~own].reshape(chosen.size, chosen.size - 1)
    return others
