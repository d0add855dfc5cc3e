"""Readings of the rows: products with a factor, squared norms, reweighting and Gram sums, panel by panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._types import BoolArray, Float64Array, IntArray
from .arithmetic import Arithmetic
from .arrays import DeviceRows
from .blocks import Blocks
from .library import Library

# A panel should stay in the second level cache while it is multiplied, reweighted and multiplied again. Part of the
# answer's rounding, so it depends on nothing but the rank.
PANEL_BYTES = 32 << 20
_ITEM_BYTES = {"float32": 4, "float64": 8}


class Passes:
    """Rows of one matrix and how they are read.

    mask       (n,) bool on the host, or None
    row_scale  (n,) float64 on the host: each row is multiplied by it; or None

    `select` chooses columns; every `read` is one reading of all rows. The answer does not depend on how the rows are
    cut into blocks, nor on where these lie.
    """

    def __init__(self, blocks: Blocks, mask: BoolArray | None, row_scale: Float64Array | None = None) -> None:
        self.blocks = blocks
        self.library: Library = blocks.library
        self.device = blocks.device
        self.n_rows, self.n_dims = blocks.n_rows, blocks.n_dims
        self.has_float64 = blocks.has_float64
        self.mask, self.row_scale = mask, row_scale
        self._mask = None if mask is None else self.to_device(mask.view(np.uint8))
        self._row_scale = None if row_scale is None else self.to_device(row_scale)
        self._n_bad = self.library.zeros(1, "int64", self.device)
        self._columns: Any = None
        self._column_scale: Any = None
        self._buffers: dict[tuple[str, str], Any] = {}
        self.columns = np.arange(self.n_dims, dtype=np.int32)
        self.column_scale = np.ones(self.n_dims)
        self.n_passes = 0

    def to_device(self, array: npt.NDArray[Any]) -> Any:
        return self.library.from_host(array, self.device)

    @property
    def rank(self) -> int:
        return self.columns.size

    def select(self, columns: npt.NDArray[np.int32], column_scale: Float64Array) -> None:
        """Later readings use these columns, in this order, each times its power of two."""
        self.columns, self.column_scale = columns, column_scale
        whole = np.array_equal(columns, np.arange(self.n_dims))
        self._columns = None if whole else self.to_device(columns)
        self._column_scale = None if (column_scale == 1.0).all() else self.to_device(column_scale)
        self._buffers.clear()

    @property
    def exact_in_tf32(self) -> bool:
        """Whether the numbers of the rows have 11 significant bits as they are."""
        return self.blocks.half and self.row_scale is None

    def _buffer(self, purpose: str, rows: int, dtype: str) -> Any:
        key = (purpose, dtype)
        if key not in self._buffers or self._buffers[key].shape[0] < rows:
            self._buffers[key] = self.library.empty((rows, self.rank), dtype, self.device)
        return self._buffers[key]

    def panel_rows(self, dtype: str) -> int:
        """Rows of a panel: a multiple of 256."""
        return max(256, PANEL_BYTES // (_ITEM_BYTES[dtype] * self.rank) // 256 * 256)

    def read(
        self, how: Arithmetic, *, inverse: Any = None, gram_power: float | None = None, tau: Any = None
    ) -> Any | None:
        """One reading of the rows a_i: b_i = a_i U, tau_i = |b_i|^2, and sum_i tau_i^gram_power b_i b_i'.

        inverse     (r, r) float64 upper U on the device; None: b_i = a_i
        gram_power  None: no sum is formed
        tau         (n,) float64 on the device, written: tau
        Returns the sum, float64 (r, r) with both triangles, or None. Cost n r^2 multiply-adds per product, of which
        "3xtf32" takes two or three. Raises NonFiniteRows of the core.
        """
        library, rank = self.library, self.rank
        step = min(self.panel_rows(how.dtype), self.n_rows)
        panel = self._buffer("panel", step, how.dtype)
        split_rows = how.split and not self.exact_in_tf32
        rest: Any = self._buffer("rest", step, "float32") if how.split else None
        image = panel if inverse is None else self._buffer("image", step, how.dtype)
        factors = None if inverse is None else self._factors(inverse, how)
        total = partial = None
        if gram_power is not None:
            total = library.zeros((rank, rank), "float64", self.device)
            partial = library.empty((rank, rank), how.dtype, self.device)
        for first, pieces in self.blocks.panels(step):
            n = min(step, self.n_rows - first)
            for offset, rows in pieces:
                self._load(rows, first + offset, panel[offset:], rest[offset:] if split_rows else None, how)
            x, b = panel[:n], image[:n]
            if factors is not None:
                high, low = factors
                library.product(x, high, b, tf32=how.tf32)
                if low is not None:
                    library.product(x, low, b, tf32=True, add=True)
                if split_rows:
                    library.product(rest[:n], high, b, tf32=True, add=True)
            if factors is not None or tau is not None or gram_power:
                self._reweight(b, first, n, gram_power, tau, rest, how)
            if total is not None:
                self._add_gram(
                    b,
                    rest[:n] if split_rows or (rest is not None and factors is not None) else None,
                    total,
                    partial,
                    how,
                )
        self.n_passes += 1
        self._require_finite()
        return total

    def _factors(self, inverse: Any, how: Arithmetic) -> tuple[Any, Any]:
        """U as operands: one, or two parts of 11 bits."""
        library = self.library
        if not how.tf32:
            return (inverse if how.dtype == "float64" else library.astype(inverse, "float32")), None
        inverse = library.contiguous(inverse)
        high = library.empty(inverse.shape, "float32", self.device)
        low = library.empty(inverse.shape, "float32", self.device) if how.split else None
        library.kernels.split_tf32(
            library.address(inverse),
            self.rank * self.rank,
            library.address(high),
            0 if low is None else library.address(low),
            library.stream(self.device),
        )
        return high, low

    def as_operand(self, inverse: Any, how: Arithmetic) -> Any:
        """The float64 matrix that a pass in this arithmetic multiplies by when given `inverse`."""
        high, low = self._factors(inverse, how)
        wide = self.library.astype(high, "float64")
        return wide if low is None else wide + self.library.astype(low, "float64")

    def _load(self, rows: DeviceRows, first: int, panel: Any, rest: Any, how: Arithmetic) -> None:
        library = self.library
        library.kernels.load_panel(
            *rows.args,
            self._at(self._columns, 0),
            self._at(self._column_scale, 0),
            self._at(self._row_scale, 8 * first),
            self._at(self._mask, first),
            self.rank,
            how.panel,
            library.address(panel),
            0 if rest is None else library.address(rest),
            library.address(self._n_bad),
            library.stream(self.device),
        )

    def _reweight(
        self, b: Any, first: int, n: int, gram_power: float | None, tau: Any, rest: Any, how: Arithmetic
    ) -> None:
        library = self.library
        library.kernels.reweight_panel(
            library.address(b),
            n,
            self.rank,
            how.panel,
            gram_power or 0.0,
            gram_power is not None,
            self._at(tau, 8 * first),
            self._at(rest, 0),
            library.stream(self.device),
        )

    def _add_gram(self, b: Any, rest: Any, total: Any, partial: Any, how: Arithmetic) -> None:
        library = self.library
        library.product(b.T, b, partial, tf32=how.tf32)
        total += partial
        if rest is not None:
            library.product(b.T, rest, partial, tf32=True)
            total += partial
            total += partial.T

    def _at(self, array: Any, n_bytes: int) -> int:
        return 0 if array is None else self.library.address(array) + n_bytes

    def _require_finite(self) -> None:
        n_bad = self.library.host_int(self._n_bad)
        if n_bad:
            raise _core.NonFiniteRows(n_bad, self._first_bad_rows())

    def _first_bad_rows(self, most: int = 8) -> Sequence[int]:
        found: list[int] = []
        for first, bad in self.blocks.bad_rows():
            rows: IntArray = np.flatnonzero(bad) + first
            found += [int(row) for row in rows if self.mask is None or self.mask[row]]
            if len(found) >= most:
                break
        return found[:most]
