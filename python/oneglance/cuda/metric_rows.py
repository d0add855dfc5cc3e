"""Rows with a metric in device memory: checked, with the factor of each row, and their frame for float32."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._types import BoolArray, Float64Array
from .arrays import DeviceRows

_ROUNDOFF = 2.0**-24
_LARGEST_NORM = 1e17
_MASKED = -1  # csrc/cuda/cover_arrays.h


class MetricRows:
    """`scale` (n,) float64 on the device: 1 / |row| for cosine, None for sqeuclidean. Used inside the library's guard.

    queries  the rows were asked for: what is wrong with them is said of the queries
    Reads every row that the mask keeps once. Raises the core's NonFiniteRows and ZeroRows, or those of queries.
    """

    def __init__(self, rows: DeviceRows, cosine: bool, mask: BoolArray | None = None, *, queries: bool = False) -> None:
        self.rows, self.cosine, self.library, self.device = rows, cosine, rows.library, rows.device
        self.mask = mask
        self.device_mask = None if mask is None else self._put(mask.view(np.uint8))
        library = self.library
        self.scale = library.empty(rows.n_rows, "float64", self.device) if cosine else None
        state = None if mask is None else self._put(np.where(mask, 0, _MASKED).astype(np.int32))
        status = library.zeros(rows.n_rows, "uint8", self.device)
        found = self._put(np.array([0, -1, 0, 0], dtype=np.int32))
        library.kernels.cover_measure(
            *rows.args,
            self._at(state),
            self._at(self.scale),
            self._at(status),
            self._at(found),
            library.stream(self.device),
        )
        counts = library.to_host(found)[2:]
        kinds = (_core.NonFiniteQueries, _core.ZeroQueries) if queries else (_core.NonFiniteRows, _core.ZeroRows)
        for number, kind in enumerate(kinds, start=1):
            if counts[number - 1]:
                bad = np.flatnonzero(library.to_host(status) == number)
                raise kind(bad.size, bad[:8].tolist())

    def _put(self, array: Any) -> Any:
        return self.library.from_host(array, self.device)

    def _at(self, array: Any) -> int:
        return 0 if array is None else self.library.address(array)

    def part(self, first: int, last: int) -> Any:
        """ScaledRows of the kernels: rows first .. last - 1."""
        rows = self.rows.part(first, last)
        scale = 0 if self.scale is None else self._at(self.scale) + 8 * first
        mask = 0 if self.device_mask is None else self._at(self.device_mask) + first
        return self.library.kernels.ScaledRows(*rows.args, scale, mask)

    def chosen(self, positions: Any) -> MetricRows:
        """A copy of some rows (int64 positions on the device), which have been checked here."""
        copy = object.__new__(MetricRows)
        array = self.rows.array[positions]
        n, d = int(array.shape[0]), self.rows.n_dims
        copy.rows = DeviceRows(array, self.library, self.device, self.rows.type, n, d, d)
        copy.cosine, copy.library, copy.device = self.cosine, self.library, self.device
        copy.mask = copy.device_mask = None
        copy.scale = None if self.scale is None else self.scale[positions]
        return copy

    def sample(self, most: int = 1024) -> Float64Array:
        """About `most` evenly spaced rows that are used, scaled, float64 on the host."""
        step = max(1, self.rows.n_rows // most)
        library, used = self.library, slice(None) if self.mask is None else self.mask[::step]
        rows = library.to_host(library.astype(self.rows.array[::step], "float64"))[used]
        # The factor of a row that the mask leaves out was never written.
        return rows if self.scale is None else rows * library.to_host(self.scale[::step])[used, None]


@dataclass(frozen=True, slots=True)
class Frame:
    """csrc/algo/propose.h: rows times `power` less `shift` are rounded to float32, and the rounding is bounded."""

    power: float
    unit: float
    dot_error: float
    row_error: float
    shift: Any

    @property
    def power2(self) -> float:
        return self.power * self.power


def is_exact(rows: MetricRows) -> bool:
    """Whether the numbers, times a power of two, have 11 significant bits as they are."""
    return rows.rows.dtype in ("float16", "bfloat16") and rows.scale is None


def frame_of(rows: MetricRows, *, tf32_parts: int = 0, shifted: bool = True) -> Frame:
    """The frame that `rows` suggest, with bounds for products of so many parts.

    tf32_parts  0: float32 products. Else the numbers of a row and a query stand side by side in that many parts of 11
                bits. What is left out of their product is below 12 u (|x|^2 + |y|^2), and tensor cores, which do not
                round their sums, are given four times the bound of sums that are
    shifted     False keeps numbers exact that are, at the price of larger norms; see `shift_pays`
    """
    terms = max(1, tf32_parts) * rows.rows.n_dims * _ROUNDOFF
    dot_error = (4.0 if tf32_parts else 1.0) * 1.01 * terms / (1.0 - terms)
    sample = rows.sample()
    mean = _mean(sample)
    spreads = np.abs(sample - mean).max(axis=1, initial=0.0)
    spread = 0.0
    if spreads.size:
        spread = float(np.partition(spreads, spreads.size // 2)[spreads.size // 2])
        spread = spread or float(spreads.max()) or float(np.abs(mean).max())
    exponent = math.frexp(spread)[1] if spread > 0.0 and math.isfinite(spread) else 0
    power = math.ldexp(1.0, -min(max(exponent, -500), 500))
    with np.errstate(over="ignore"):
        shift = np.where(np.abs(mean * power) < _LARGEST_NORM, mean * power, 0.0).astype(np.float32)
    device_shift = rows.library.from_host(shift if shifted else np.zeros_like(shift), rows.device)
    row_error = (40.0 if tf32_parts > 1 else 16.0) * _ROUNDOFF
    return Frame(power, power if rows.cosine else 0.0, dot_error, row_error, device_shift)


def shift_pays(rows: MetricRows) -> bool:
    """Whether taking off the mean makes rows shorter by much, and so the bounds."""
    sample = rows.sample()
    centred = ((sample - _mean(sample)) ** 2).sum()
    return bool((sample**2).sum() > 8.0 * centred)


def _mean(sample: Float64Array) -> Float64Array:
    mean = np.zeros(sample.shape[1])
    for count, row in enumerate(sample, start=1):  # a running mean: sums of huge float64 rows would overflow
        mean += (row - mean) / count
    return mean
