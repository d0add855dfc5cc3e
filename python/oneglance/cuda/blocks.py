"""Rows in consecutive blocks, in device memory or on the host, read panel by panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray
from .arrays import DeviceRows
from .library import Library
from .norms import row_norms2
from .staging import Staging

Block = DeviceRows | FloatArray


class Blocks:
    """One (n, d) matrix as blocks: DeviceRows, or arrays of the host, which are copied to the device when read."""

    def __init__(self, blocks: Sequence[Block], library: Library, device: int) -> None:
        self.blocks = list(blocks)
        self.library, self.device = library, device
        sizes = [block.n_rows if isinstance(block, DeviceRows) else block.shape[0] for block in self.blocks]
        self.starts = np.cumsum([0, *sizes])
        self.n_rows = int(self.starts[-1])
        first = self.blocks[0]
        self.n_dims = first.n_dims if isinstance(first, DeviceRows) else first.shape[1]
        names = {block.dtype if isinstance(block, DeviceRows) else str(block.dtype) for block in self.blocks}
        self.has_float64 = "float64" in names
        self.half = names <= {"float16", "bfloat16"}

    def panels(self, step: int) -> Iterator[tuple[int, list[tuple[int, DeviceRows]]]]:
        """(first row, [(offset within the panel, rows)]) of panels of `step` rows. Rows of the host are copied while
        the panel before is worked on."""
        staging = Staging(self.library, self.device)
        plan = list(self._pieces(step))
        try:
            for index, (first, pieces) in enumerate(plan):
                if index == 0:
                    staging.send(0, self._host_parts(pieces))
                if index + 1 < len(plan):
                    staging.send(index + 1, self._host_parts(plan[index + 1][1]))
                arrived = iter(staging.take(index))
                ready = []
                for offset, block, start, stop in pieces:
                    rows = self.blocks[block]
                    ready.append((offset, rows.part(start, stop) if isinstance(rows, DeviceRows) else next(arrived)))
                yield first, ready
                staging.done(index)
        finally:
            staging.close()

    def _pieces(self, step: int) -> Iterator[tuple[int, list[tuple[int, int, int, int]]]]:
        """(first row of the panel, [(offset, block, start, stop within the block)])."""
        for first in range(0, self.n_rows, step):
            last = min(first + step, self.n_rows)
            block = int(np.searchsorted(self.starts, first, side="right")) - 1
            pieces, row = [], first
            while row < last:
                start = int(self.starts[block])
                stop = min(last, int(self.starts[block + 1]))
                if stop > row:
                    pieces.append((row - first, block, row - start, stop - start))
                row, block = stop, block + 1
            yield first, pieces

    def _host_parts(self, pieces: list[tuple[int, int, int, int]]) -> list[FloatArray]:
        parts = []
        for _, block, start, stop in pieces:
            rows = self.blocks[block]
            if not isinstance(rows, DeviceRows):
                parts.append(rows[start:stop])
        return parts

    def sample(self, most: int) -> tuple[Float64Array, list[int]]:
        """About `most` rows evenly spaced, float64 on the host, and which they are."""
        stride = max(1, self.n_rows // most)
        taken, which = [], list(range(0, self.n_rows, stride))
        for index, block in enumerate(self.blocks):
            start, stop = int(self.starts[index]), int(self.starts[index + 1])
            offset = -start % stride
            if offset >= stop - start:
                continue
            if isinstance(block, DeviceRows):
                part = block.library.astype(block.array[offset::stride], "float64")
                taken.append(block.library.to_host(part))
            else:
                taken.append(np.asarray(block[offset::stride], dtype=np.float64))
        return np.concatenate(taken), which

    def bad_rows(self) -> Iterator[tuple[int, BoolArray]]:
        """(first row, NaN or infinity in the row) of every block."""
        for index, block in enumerate(self.blocks):
            if isinstance(block, DeviceRows):
                bad = np.isnan(block.library.to_host(row_norms2(block)[0]))
            else:
                bad = ~np.isfinite(block).all(axis=1)
            yield int(self.starts[index]), bad
