"""Lloyd's algorithm in device memory: csrc/algo/kmeans.cpp with labels by NearestSearch.

Labels are decided in float64 and sums are added in row order, both with the bits of the CPU, so centres and labels are
the CPU's. Every row is compared with all centres in every iteration: bounds that skip rows do not pay where products
are this fast. The host waits a few times per iteration.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import InvalidInput
from .arrays import DeviceRows
from .metric_rows import MetricRows, is_exact
from .nearest import NearestSearch

TOO_FAR = "squared distances between the rows exceed the range of float64. Divide the rows by a power of ten."

Answer = tuple[Any, Any, Any, int, float, bool, int]
"""centers, labels, distances (on the device), n_iter, shift, converged, reassigned: as the compiled core's."""


class Lloyd:
    """From centres float64 (k, d) on the device. Used inside the library's guard."""

    def __init__(self, rows: DeviceRows, centers: Any, cosine: bool) -> None:
        self.rows, self.cosine = MetricRows(rows, cosine), cosine
        self.library, self.device = rows.library, rows.device
        self.k, self.d, self.n = int(centers.shape[0]), rows.n_dims, rows.n_rows
        self.centers = self._normalised(centers) if cosine else centers
        self.labels: Any = None
        self.dist2: Any = None

    def _normalised(self, centers: Any) -> Any:
        """Centres of unit norm; one of zeros stays so."""
        view = DeviceRows(centers, self.library, self.device, 2, self.k, self.d, self.d)
        scale = self.library.empty(self.k, "float64", self.device)
        found = self.library.from_host(np.array([0, -1, 0, 0], dtype=np.int32), self.device)
        status = self.library.zeros(self.k, "uint8", self.device)
        at = self.library.address
        stream = self.library.stream(self.device)
        self.library.kernels.cover_measure(*view.args, 0, at(scale), at(status), at(found), stream)
        return centers * scale[:, None]

    def assign(self) -> None:
        """The nearest centre of every row, ties to the lower one, and dist2 to it."""
        view = DeviceRows(self.centers, self.library, self.device, 2, self.k, self.d, self.d)
        search = NearestSearch(MetricRows(view, False), 1, exact_queries=is_exact(self.rows))
        indices, dist2 = search.find(self.rows)
        self.labels, self.dist2 = indices.reshape(-1), dist2.reshape(-1)

    def mean_distance(self) -> float:
        mean = float(self.dist2.sum()) / self.n
        if not math.isfinite(mean):
            raise InvalidInput(TOO_FAR)
        return mean

    def counts(self) -> Any:
        library = self.library
        counts = library.zeros(self.k, "int64", self.device)
        library.kernels.cluster_counts(
            library.address(self.labels), self.n, library.address(counts), library.stream(self.device)
        )
        return library.to_host(counts)

    def fill_empty(self) -> int:
        """Empty clusters take the farthest rows, each at most one; returns how many did."""
        empty = np.flatnonzero(self.counts() == 0).astype(np.int64)
        if empty.size:
            order = self.library.stable_order((-self.dist2).reshape(1, -1)).reshape(-1)
            self.labels[order[: empty.size]] = self.library.from_host(empty, self.device)
        return int(empty.size)

    def update(self) -> float:
        """Centres become means; returns the mean of the squares that they moved."""
        library = self.library
        order = library.contiguous(library.stable_order(self.labels.reshape(1, -1)).reshape(-1))
        counts = self.counts()
        starts = library.from_host(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), self.device)
        means = self.centers + 0.0
        library.kernels.cluster_means(
            *self.rows.rows.args,
            0 if self.rows.scale is None else library.address(self.rows.scale),
            library.address(order),
            library.address(starts),
            self.k,
            library.address(means),
            library.stream(self.device),
        )
        if self.cosine:
            means = self._spherical(means, counts)
        moved = means - self.centers
        self.centers = means
        return float((moved * moved).sum()) / self.k

    def _spherical(self, means: Any, counts: Any) -> Any:
        """Means of unit norm; a cluster without rows, or whose rows cancel, keeps its centre."""
        unit = self._normalised(means)
        size = self.library.to_host((unit * unit).sum(1))
        kept = np.flatnonzero((counts == 0) | (size == 0.0)).astype(np.int64)
        if kept.size:
            places = self.library.from_host(kept, self.device)
            unit[places] = self.centers[places]
        return unit


def kmeans(rows: DeviceRows, centers: Any, cosine: bool, max_iter: int, tol: float) -> Answer:
    """As the compiled core's kmeans, all rows used."""
    lloyd = Lloyd(rows, centers, cosine)
    half = 0.5 if cosine else 1.0
    n_iter, shift, reassigned = 0, math.inf, 0
    lloyd.assign()
    while n_iter < max_iter and shift > tol:
        mean_distance = lloyd.mean_distance()
        reassigned += lloyd.fill_empty()
        movement = lloyd.update()
        shift = math.sqrt(movement / mean_distance) if mean_distance > 0.0 else 0.0
        n_iter += 1
        lloyd.assign()
    return lloyd.centers, lloyd.labels, lloyd.dist2 * half, n_iter, shift, shift <= tol, reassigned
