"""What BiLAF computes from the rows themselves: by the compiled core, or on the device where the rows are."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .. import _core
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..cuda import DeviceRows
from ..cuda import bilaf as on_cards
from ..cuda.bilaf import Classes
from ..cuda.metric_rows import MetricRows
from ..cuda.nearest import NearestSearch


class Inside(Protocol):
    """Everything on the host; the bits do not depend on where it was computed."""

    cosine: bool
    n_rows: int

    def near(self, centers: IntArray, k: int, used: BoolArray) -> tuple[IntArray, Float64Array]:
        """The k nearest centres of every used row: their numbers and distances in the metric's unit, (n, k)."""

    def denoise(
        self, classes: Classes, n_neighbors: int, growth: float, removal: float
    ) -> tuple[IntArray, Float64Array]:
        """The order in which members join, and their mean distances to those that stay."""

    def picks(
        self,
        classes: Classes,
        near: IntArray,
        distance: Float64Array,
        mean: Float64Array,
        budget: IntArray,
        penalty: float,
    ) -> tuple[IntArray, Float64Array, IntArray]:
        """Rows, scores and opponents of all picks. near, distance: (members, q)"""


def inside_of(rows: RowShards | DeviceRows, cosine: bool, used: BoolArray) -> Inside:
    """Raises the core's NonFiniteRows and ZeroRows for rows of a device that are used."""
    return OfCore(rows, cosine) if isinstance(rows, RowShards) else OfDevice(rows, cosine, used)


class OfCore:
    def __init__(self, rows: RowShards, cosine: bool) -> None:
        self.rows, self.cosine, self.n_rows = rows, cosine, len(rows)

    def near(self, centers: IntArray, k: int, used: BoolArray) -> tuple[IntArray, Float64Array]:
        rows = self.rows
        near, distance = _core.nearest(list(rows), [rows.take(centers)], k, self.cosine, False, None, used)
        return near, distance

    def denoise(
        self, classes: Classes, n_neighbors: int, growth: float, removal: float
    ) -> tuple[IntArray, Float64Array]:
        given = (classes.members, classes.offsets, classes.cores)
        order, distances = _core.denoise(list(self.rows), *given, n_neighbors, growth, removal, self.cosine)
        return order, distances

    def picks(
        self,
        classes: Classes,
        near: IntArray,
        distance: Float64Array,
        mean: Float64Array,
        budget: IntArray,
        penalty: float,
    ) -> tuple[IntArray, Float64Array, IntArray]:
        given = (classes.members, classes.offsets, classes.cores, near.ravel(), distance.ravel(), mean, budget)
        rows, scores, opponent = _core.boundary_picks(list(self.rows), *given, penalty, self.cosine)
        return rows, scores, opponent


class OfDevice:
    def __init__(self, rows: DeviceRows, cosine: bool, used: BoolArray) -> None:
        self.cosine, self.n_rows = cosine, rows.n_rows
        with rows.library.guard(rows.device):
            self.rows = MetricRows(rows, cosine, None if used.all() else used)

    def near(self, centers: IntArray, k: int, used: BoolArray) -> tuple[IntArray, Float64Array]:
        rows, library, where = self.rows, self.rows.library, self.rows.device
        indices: IntArray = np.full((self.n_rows, k), -1, dtype=np.int64)
        distances: Float64Array = np.full((self.n_rows, k), np.nan)
        there = np.flatnonzero(used).astype(np.int64)
        with library.guard(where):
            asked = rows if there.size == self.n_rows else rows.chosen(library.from_host(there, where))
            found, dist2 = NearestSearch(rows.chosen(library.from_host(centers, where)), k).find(asked)
            indices[there], distances[there] = library.to_host(found), library.to_host(dist2)
        return indices, distances * (0.5 if self.cosine else 1.0)

    def denoise(
        self, classes: Classes, n_neighbors: int, growth: float, removal: float
    ) -> tuple[IntArray, Float64Array]:
        return on_cards.denoise(self.rows, classes, n_neighbors, growth, removal)

    def picks(
        self,
        classes: Classes,
        near: IntArray,
        distance: Float64Array,
        mean: Float64Array,
        budget: IntArray,
        penalty: float,
    ) -> tuple[IntArray, Float64Array, IntArray]:
        return on_cards.boundary_picks(self.rows, classes, near, distance, mean, budget, penalty)
