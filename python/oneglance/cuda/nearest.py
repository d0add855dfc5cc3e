"""Nearest rows in device memory, exactly: csrc/algo/nearest.cpp with the library's products.

Tiles of float32 products that fit into the second level cache propose candidates within a proven bound; float64
distances, with the bits of the CPU, decide among them. A query for which too many rows come into question takes a
longer list, and in the end all rows in float64: many exact duplicates cost time, never the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._types import IntArray
from ..errors import InvalidInput
from .arithmetic import THREE_TF32, single
from .metric_rows import Frame, MetricRows, frame_of, is_exact, shift_pays

PANEL_ROWS = 4096
CACHE_BYTES = 256 << 20  # prepared rows are kept when they fit
EXACT_BYTES = 64 << 20  # of float64 distances that are sorted at once
_SLOTS = (1, 4, 16)
MOST_NEAREST = 32 * _SLOTS[-1] - 8
# Parts of a query and of a row, and which of them hold the lower bits, when numbers are (query, row) exact in 11 bits.
_PARTS = {(True, True): (1, 0, 0), (True, False): (2, 0, 2), (False, False): (3, 2, 4)}


@dataclass(slots=True)
class _Points:
    """Points of the kernels with the arrays that hold them."""

    x: Any
    arrays: tuple[Any, ...]
    kernel: Any


class NearestSearch:
    """The n_nearest of `rows` for queries. Used inside the library's guard; `rows` are prepared when first needed.

    exact_queries  the queries are float16 or bfloat16 and not scaled. With tensor cores a product of two points then
                   takes one product of TF32 (rows exact too), or two; else three
    Memory: a tile of products (half the second level cache), a panel of queries, the rows prepared (at most
    CACHE_BYTES, else tile by tile), and 32 to 512 candidates of 16 bytes per query of a panel.
    """

    def __init__(self, rows: MetricRows, n_nearest: int, *, exact_queries: bool = False) -> None:
        if n_nearest > MOST_NEAREST:
            raise InvalidInput(
                f"k is {n_nearest}, but on a CUDA device at most {MOST_NEAREST} nearest rows are kept. Ask for fewer, "
                "or pass arrays of the CPU."
            )
        self.rows, self.n_nearest = rows, n_nearest
        self.library, self.device = rows.library, rows.device
        self.kernels = self.library.kernels
        self.tf32 = single(self.library, self.device) is THREE_TF32
        exact = exact_queries and self.tf32 and not shift_pays(rows)
        parts, *self._low = _PARTS[exact, exact and is_exact(rows)] if self.tf32 else (1, 0, 0)
        self._parts = parts
        self.width = rows.rows.n_dims * parts
        self.frame: Frame = frame_of(rows, tf32_parts=parts if self.tf32 else 0, shifted=not exact)
        frame = self.frame
        self._frame = self.kernels.Frame(
            frame.power, frame.unit, frame.dot_error, frame.row_error, self.library.address(frame.shift)
        )
        self._keep = rows.rows.n_rows * self.width * 4 <= CACHE_BYTES
        self._tiles: dict[tuple[int, int], _Points] = {}
        self._rows_of_tiles = 0

    def find(self, queries: MetricRows, query_rows: IntArray | None = None) -> tuple[Any, Any]:
        """indices int64 and dist2 float64 (n_queries, n_nearest), ascending, ties to the lower row, on the device.

        query_rows  the row that each query is, which is no answer to it; -1 for none
        """
        library = self.library
        own = None if query_rows is None else library.from_host(query_rows, self.device)
        left, left_own = queries, own
        indices: Any = None
        dist2: Any = None
        positions: Any = None
        for slots in _SLOTS:
            if 32 * slots < min(self.n_nearest + 8, 32 * _SLOTS[-1]):
                continue
            found = self._listed(left, left_own, slots)
            if positions is None:
                indices, dist2 = found[:2]
            else:
                indices[positions], dist2[positions] = found[:2]
            crowded = np.flatnonzero(library.to_host(found[2])).astype(np.int64)
            if crowded.size == 0:
                return indices, dist2
            here = library.from_host(crowded, self.device)
            positions = here if positions is None else positions[here]
            left, left_own = queries.chosen(positions), None if own is None else own[positions]
        self._all_rows(left, left_own, positions, indices, dist2)
        return indices, dist2

    def _listed(self, queries: MetricRows, own: Any, slots: int) -> tuple[Any, Any, Any]:
        """indices, dist2, and 1 for every query whose list was too short. -1 and infinity where there are too few rows
        beside the query's own."""
        library, n = self.library, queries.rows.n_rows
        indices = library.full((n, self.n_nearest), -1, "int64", self.device)
        dist2 = library.full((n, self.n_nearest), np.inf, "float64", self.device)
        crowded = library.zeros(n, "uint8", self.device)
        step = min(PANEL_ROWS, n)
        tile_rows = self._tile_rows(step)
        if tile_rows != self._rows_of_tiles:  # fewer queries, wider tiles: the rows are kept once
            self._tiles, self._rows_of_tiles = {}, tile_rows
        products = library.empty(step * tile_rows, "float32", self.device)
        stream, at = library.stream(self.device), library.address
        n_rows = self.rows.rows.n_rows
        for first in range(0, n, step):
            last = min(first + step, n)
            size = last - first
            points = self._prepared(queries, first, last, self._low[0])
            known = self._candidates(size, slots)
            for start in range(0, n_rows, tile_rows):
                stop = min(start + tile_rows, n_rows)
                tile = self._tile(start, stop)
                out = products[: size * (stop - start)].reshape(size, stop - start)
                library.product(points.x, tile.x.T, out, tf32=self.tf32)
                self.kernels.scan_tile(
                    at(out),
                    size,
                    stop - start,
                    start,
                    points.kernel,
                    tile.kernel,
                    0 if own is None else at(own) + 8 * first,
                    self.n_nearest,
                    known.kernel,
                    stream,
                )
            self.kernels.decide_nearest(
                queries.part(first, last),
                self.rows.part(0, n_rows),
                points.kernel,
                self.frame.power2,
                self.n_nearest,
                known.kernel,
                at(indices) + 8 * first * self.n_nearest,
                at(dist2) + 8 * first * self.n_nearest,
                at(crowded) + first,
                stream,
            )
        return indices, dist2, crowded

    def _tile_rows(self, n_queries: int) -> int:
        cache = int(self.library.card(self.device)["l2_bytes"])
        rows = max(128, cache // 2 // (4 * n_queries) // 128 * 128)
        return min(rows, 1 << 16, self.rows.rows.n_rows)

    def _tile(self, start: int, stop: int) -> _Points:
        if (start, stop) in self._tiles:
            return self._tiles[start, stop]
        tile = self._prepared(self.rows, start, stop, self._low[1])
        if self._keep:
            self._tiles[start, stop] = tile
        return tile

    def _prepared(self, rows: MetricRows, first: int, last: int, low: int) -> _Points:
        library, n = self.library, last - first
        x = library.empty((n, self.width), "float32", self.device)
        numbers = tuple(library.empty(n, dtype, self.device) for dtype in ("float64", "float64", "float32", "float32"))
        kernel = self.kernels.Points(*(library.address(array) for array in (x, *numbers)))
        self.kernels.prepare_points(
            rows.part(first, last),
            self._frame,
            self._parts,
            low,
            self.tf32,
            kernel,
            library.stream(self.device),
        )
        return _Points(x, numbers, kernel)

    def _candidates(self, n: int, slots: int) -> _Points:
        library, shape = self.library, (n, 32 * slots)
        lower, upper = (library.full(shape, np.inf, "float32", self.device) for _ in range(2))
        row = library.full(shape, -1, "int64", self.device)
        dropped = library.full(n, np.inf, "float32", self.device)
        arrays = (lower, row, upper, dropped)
        kernel = self.kernels.Candidates(*(library.address(array) for array in arrays), slots)
        return _Points(None, arrays, kernel)

    def _all_rows(self, queries: MetricRows, own: Any, positions: Any, indices: Any, dist2: Any) -> None:
        """float64 distances to all rows, sorted."""
        library, n_rows, n = self.library, self.rows.rows.n_rows, queries.rows.n_rows
        step = max(1, EXACT_BYTES // (8 * n_rows))
        for first in range(0, n, step):
            last = min(first + step, n)
            chosen = library.from_host(np.arange(first, last, dtype=np.int64), self.device)
            found = library.empty((last - first, n_rows), "float64", self.device)
            self.kernels.exact_distances(
                queries.part(0, n),
                library.address(chosen),
                last - first,
                self.rows.part(0, n_rows),
                0 if own is None else library.address(own),
                library.address(found),
                library.stream(self.device),
            )
            order = library.stable_order(found)[:, : self.n_nearest]
            indices[positions[first:last]] = order
            dist2[positions[first:last]] = library.taken(found, order)
