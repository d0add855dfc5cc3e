"""The door of leverage and Lewis: a caller's matrix, mask, scale and ridge as passes on a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import as_mask, as_shards
from .._types import Float64Array
from .arrays import DeviceRows, device_rows, library_of
from .blocks import Block, Blocks
from .library import Library
from .memory import named_memory
from .nearest import PANEL_ROWS
from .passes import PANEL_BYTES, Passes

_STREAM = 'Leave X in host memory and pass device="cuda": it is then streamed, and the device holds two panels of it.'
_FREE = "Free some of it."
PIECE_BYTES = 64 << 20  # of the host that are copied at once


def on_host(value: Any, library: Library) -> Any:
    """Small arrays (masks, weights) that the caller may give on the device as well."""
    return library.to_host(library.own(value)) if library.owns(value) else value


class DeviceMatrix:
    """One matrix as `passes` on a device, with ridge rows below it.

    `answer` cuts a (n + ridge rows,) device array to the caller's rows, in the caller's kind of array.
    """

    def __init__(self, X: Any, name: str, library: Library, device: int, mask: Any, ridge_row_scale: float) -> None:
        self.library, self.device = library, device
        self.from_host = library_of(X, name) is None
        blocks: list[Block] = []
        if self.from_host:
            blocks += as_shards(X, name).shards
        else:
            blocks.append(device_rows(X, name, library))
        whole = Blocks(blocks, library, device)
        self.n_rows, self.n_dims = whole.n_rows, whole.n_dims
        used = as_mask(on_host(mask, library), "mask", self.n_rows)
        if ridge_row_scale > 0:
            wide: npt.DTypeLike = np.float64 if whole.has_float64 else np.float32
            blocks.append((np.eye(self.n_dims) * ridge_row_scale).astype(wide))
            whole = Blocks(blocks, library, device)
            used = None if used is None else np.concatenate([used, np.ones(self.n_dims, dtype=np.bool_)])
        self._blocks, self._mask = whole, used
        self._scale: Float64Array | None = None

    def scale_rows(self, scale: Float64Array) -> None:
        """Each row times its number (n,); ridge rows stay."""
        self._scale = np.concatenate([scale, np.ones(self._blocks.n_rows - self.n_rows)])

    def needed_bytes(self) -> int:
        """Panels, staging, (d, d) matrices of the iteration, and answers."""
        panel = min(max(PANEL_BYTES, 256 * 8 * self.n_dims), 8 * self._blocks.n_rows * self.n_dims)
        return (5 if self.from_host else 3) * panel + 40 * 8 * self.n_dims**2 + 24 * self._blocks.n_rows

    @contextmanager
    def passes(self, what: str) -> Iterator[Passes]:
        """Inside the device is current, and its lack of memory is said in bytes."""
        cure = _FREE if self.from_host else f"{_FREE} {_STREAM}"
        with (
            self.library.guard(self.device),
            named_memory(self.library, self.device, what, self.needed_bytes(), cure),
        ):
            yield Passes(self._blocks, self._mask, self._scale)

    def answer(self, array: Any) -> Any:
        mine = array[: self.n_rows]
        return self.library.to_host(mine) if self.from_host else mine


class DeviceCopy:
    """A matrix whose rows must all be on the device: the caller's, or a copy of rows of the host."""

    def __init__(self, X: Any, library: Library, device: int) -> None:
        self.library = library
        self.from_host = library_of(X, "X") is None
        if not self.from_host:
            self.rows = device_rows(X, "X", library)
            return
        shards = as_shards(X, "X")
        n, d = shards.shape
        cure = "Use fewer rows, or leave device out: the CPU reads them where they lie."
        row_bytes = d * shards.dtype.itemsize
        step = max(1, PIECE_BYTES // row_bytes)
        needed = n * row_bytes + min(n * row_bytes, PIECE_BYTES)
        with named_memory(library, device, "the copy of X", needed, cure):
            array = library.empty((n, d), str(shards.dtype), device)
            first = 0
            for shard in shards:
                for start in range(0, len(shard), step):  # each piece is there twice for a moment
                    piece = shard[start : start + step]
                    array[first : first + len(piece)] = library.from_host(piece, device)
                    first += len(piece)
        self.rows = device_rows(array, "X", library)

    def taken(self, positions: Any) -> DeviceRows:
        """A copy of some rows, by int64 positions on the device."""
        return device_rows(self.rows.array[positions], "X", self.library)

    def memory(self, what: str, n_clusters: int) -> AbstractContextManager[None]:
        """Inside, the lack of memory is said in bytes: labels, distances, their order, panels and centres."""
        n, d = self.rows.n_rows, self.rows.n_dims
        cache = int(self.library.card(self.rows.device)["l2_bytes"])
        needed = 64 * n + 12 * d * min(PANEL_ROWS, n) + (12 + 40) * d * n_clusters + cache
        return named_memory(self.library, self.rows.device, what, needed, _FREE)

    def answer(self, array: Any) -> Any:
        return self.library.to_host(array) if self.from_host else array
