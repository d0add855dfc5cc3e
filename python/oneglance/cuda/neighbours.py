"""Nearest rows of matrices in device memory, or of matrices of the host that are streamed through a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._check import as_shards
from .._types import BoolArray, RowShards
from ..errors import InvalidInput
from .arrays import DeviceRows, device_rows, library_of
from .blocks import Blocks
from .library import Library
from .memory import named_memory
from .metric_rows import MetricRows
from .nearest import CACHE_BYTES, PANEL_ROWS, NearestSearch

CHUNK_BYTES = 512 << 20  # rows of the host are brought to the device in pieces of this size
TOO_FAR = "squared distances between the rows exceed the range of float64. Divide the rows by a power of ten."


class NearestRequest:
    """Checked at the door: X and Q are both in device memory, or both are rows of the host.

    Q None: the rows of X themselves, each of which is no answer to itself
    """

    def __init__(self, Q: Any, X: Any, library: Library, device: int) -> None:
        self.library, self.device = library, device
        self.from_host = library_of(X, "X") is None
        self.same = Q is None
        self.rows: DeviceRows | RowShards
        self.queries: DeviceRows | RowShards
        if self.from_host:
            if Q is not None and library_of(Q, "Q") is not None:
                raise InvalidInput("Q is in device memory, X is not. Move one of them.")
            self.rows = as_shards(X, "X")
            self.queries = self.rows if Q is None else as_shards(Q, "Q")
        else:
            self.rows = device_rows(X, "X", library)
            self.queries = self.rows if Q is None else device_rows(Q, "Q", library, like=self.rows)

    @property
    def n_rows(self) -> int:
        return _size(self.rows)[0]

    @property
    def n_dims(self) -> int:
        return _size(self.rows)[1]

    @property
    def n_queries(self) -> int:
        return _size(self.queries)[0]

    def kept(self, mask: BoolArray) -> NearestRequest:
        """The same about the rows that a mask leaves, for a request without Q."""
        there = np.flatnonzero(mask).astype(np.int64)
        if isinstance(self.rows, RowShards):
            return NearestRequest(None, self.rows.take(there), self.library, self.device)
        with self.library.guard(self.device):
            return NearestRequest(
                None, self.rows.array[self.library.from_host(there, self.device)], self.library, self.device
            )

    def needed_bytes(self, n_nearest: int) -> int:
        """Beyond arrays that are on the device: prepared rows, a tile of products, candidates, answers, pieces."""
        width = 12 * self.n_dims
        panel = min(PANEL_ROWS, self.n_queries) * (width + 32 * 20 * (1 + n_nearest // 24))
        prepared = min(CACHE_BYTES, self.n_rows * width)
        tile = int(self.library.card(self.device)["l2_bytes"])
        pieces = 0 if isinstance(self.rows, DeviceRows) else 6 * min(CHUNK_BYTES, self.n_rows * self.n_dims * 8)
        return panel + prepared + tile + 16 * self.n_queries * n_nearest + pieces

    def find(self, n_nearest: int, cosine: bool, mask: BoolArray | None) -> tuple[Any, Any]:
        """indices int64 and distances float64 in the metric's unit, (n_queries, n_nearest): on the device when the
        matrices are, else on the host. Raises the core's NonFiniteRows, ZeroRows and the same of queries."""
        library = self.library
        cure = "Free some of it, or ask for fewer queries at once."
        needed = self.needed_bytes(n_nearest)
        with library.guard(self.device), named_memory(library, self.device, "nearest", needed, cure):
            searches: dict[int, NearestSearch] = {}
            parts: list[tuple[Any, Any]] = []
            for first, queries in self._pieces(self.queries):
                checked = MetricRows(queries, cosine, queries=not self.same)
                best: tuple[Any, Any] | None = None
                for start, rows in self._pieces(self.rows):
                    search = searches.get(start) or self._search(rows, start, n_nearest, cosine, mask)
                    if search is None:
                        continue
                    if isinstance(self.rows, DeviceRows):
                        searches[start] = search
                    own = None
                    if self.same:
                        own = np.arange(first - start, first - start + queries.n_rows, dtype=np.int64)
                    found, dist2 = search.find(checked, own)
                    best = self._merged(best, (found + start, dist2), n_nearest)
                assert best is not None  # the door has seen to n_nearest rows
                if bool((best[1] == np.inf).any()):
                    raise InvalidInput(TOO_FAR)
                best = best[0], best[1] * 0.5 if cosine else best[1]
                parts.append((library.to_host(best[0]), library.to_host(best[1])) if self.from_host else best)
        if not self.from_host:
            return parts[0]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _search(
        self, rows: DeviceRows, start: int, n_nearest: int, cosine: bool, mask: BoolArray | None
    ) -> NearestSearch | None:
        used = None if mask is None else mask[start : start + rows.n_rows]
        n_used = rows.n_rows if used is None else int(np.count_nonzero(used))
        if n_used == 0:
            return None
        most = min(n_nearest, n_used - 1 if self.same and n_used == self.n_rows else n_used)
        half = _dtype(self.queries) in ("float16", "bfloat16") and not cosine
        return NearestSearch(MetricRows(rows, cosine, used), most, exact_queries=half)

    def _merged(self, best: tuple[Any, Any] | None, found: tuple[Any, Any], n_nearest: int) -> tuple[Any, Any]:
        """The nearest of two answers; rows of `best` are lower than all those found, so that it has the ties."""
        if best is None:
            return found
        indices, dist2 = (self.library.joined(a, b) for a, b in zip(best, found, strict=True))
        order = self.library.stable_order(dist2)[:, :n_nearest]
        return self.library.taken(indices, order), self.library.taken(dist2, order)

    def _pieces(self, matrix: DeviceRows | RowShards) -> Iterator[tuple[int, DeviceRows]]:
        """(first row, rows on the device). Pieces of the host are copied while the one before is worked on."""
        if isinstance(matrix, DeviceRows):
            yield 0, matrix
            return
        blocks = Blocks(list(matrix), self.library, self.device)
        step = max(1, CHUNK_BYTES // (8 * blocks.n_dims))
        for first, pieces in blocks.panels(step):
            for offset, rows in pieces:
                yield first + offset, rows


def _dtype(matrix: DeviceRows | RowShards) -> str:
    return str(matrix.dtype)


def _size(matrix: DeviceRows | RowShards) -> tuple[int, int]:
    return matrix.shape if isinstance(matrix, RowShards) else (matrix.n_rows, matrix.n_dims)
