"""Chosen rows and the distances to them in device memory: what farthest points and draws share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._types import BoolArray, Float64Array, IntArray
from ..errors import InvalidInput
from .arrays import DeviceRows

# Places of `control`, and states of rows: csrc/cuda/cover_arrays.h.
CENTERS, PICKED, STOPPED, PEEKED, POOL, ROWS_READ = range(6)
_ROUND, _N_CONTROL = 9, 10
_FIRST_ROUND = 3
_LARGEST = 2.0**40  # elements within 1 / this .. this: float32 squares neither overflow nor vanish

LESS = "Free some of it, or pass the rows as an array of the CPU: picks by distance read them there."
TOO_FAR = "squared distances between the rows exceed the range of float64. Divide the rows by a power of ten."

Answer = tuple[Any, Any, Any, Any, Any, Any, float, float]
"""items, rows, distances, nearest, row_distance, row_nearest, radius, readings: as the compiled core gives them."""


@dataclass(frozen=True, eq=False)
class CoverRequest:
    """What is asked for, checked: see search/cover.py. arithmetic: "float32", or "float64" for the bits of the CPU;
    float64 rows, and rows that float32 cannot square, take float64 in any case."""

    rows: DeviceRows
    offsets: IntArray | None
    n_picks: int
    cosine: bool
    mask: BoolArray | None
    already: IntArray
    start: IntArray
    arithmetic: str = "float32"

    def needed_bytes(self) -> int:
        """Beyond the rows: distances, nearest centres, states, a pool, centres."""
        return 64 * self.rows.n_rows + 32 * self.n_picks

    @property
    def n_items(self) -> int:
        return self.rows.n_rows if self.offsets is None else int(self.offsets.size - 1)

    def counts(self) -> IntArray:
        """Rows per item."""
        return np.ones(self.n_items, dtype=np.int64) if self.offsets is None else np.diff(self.offsets)

    def rows_of(self, items: IntArray) -> IntArray:
        """Rows of these items, item after item."""
        if self.offsets is None:
            return items
        parts = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in items.tolist()]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts]).astype(np.int64)


class CoverState:
    """The state on the device, with `already` and `start` chosen. Use it inside the library's guard.

    Memory beside the rows: about 40 bytes per row. Raises the core's NonFiniteRows and ZeroRows.
    """

    def __init__(self, request: CoverRequest) -> None:
        self.request, self.rows, self.library = request, request.rows, request.rows.library
        self.kernels, self.device = self.library.kernels, request.rows.device
        counts = request.counts()
        self.open_items: BoolArray = (
            np.ones(request.n_items, dtype=np.bool_) if request.mask is None else request.mask.copy()
        )
        self.has_rows: BoolArray = counts > 0
        largest = np.sort(counts)[::-1][: request.n_picks].sum() + counts[request.already].sum()
        n, k = self.rows.n_rows, request.n_picks
        self.offsets = None if request.offsets is None else self.put(request.offsets)
        self.scale = self.empty(n, "float64") if request.cosine else None
        self.dist2, self.nearest, self.seen = self.empty(n, "float64"), self.empty(n, "int64"), self.empty(n, "int64")
        self.state = self.empty(n, "int32")
        self.centers = self.empty(max(1, min(n, int(largest))), "int64")
        self.control = self.library.zeros((2, _N_CONTROL), "int64", self.device)
        self.picks = {name: self.empty(k, "int64") for name in ("item", "row", "nearest")}
        self.pick_dist2 = self.empty(k, "float64")
        self.wide = True
        self.n_centers, self.n_decided = 0, (0, 0)
        self.items: list[int] = []
        mask = None if request.mask is None else self.put(request.mask.astype(np.uint8))
        self.kernels.cover_open(self.arrays(), self.address(mask), self.stream)
        self.choose(request.already)
        self.pick(request.start)
        self.wide = self._measure() or request.arithmetic == "float64" or self.rows.dtype == "float64"

    @property
    def stream(self) -> int:
        return self.library.stream(self.device)

    def empty(self, shape: Any, dtype: str) -> Any:
        return self.library.empty(shape, dtype, self.device)

    def put(self, array: npt.NDArray[Any]) -> Any:
        return self.library.from_host(array, self.device)

    def address(self, array: Any) -> int:
        return 0 if array is None else self.library.address(array)

    def arrays(self) -> Any:
        """For the kernels; `wide` and the places of arrays are those of now."""
        at = self.address
        return self.kernels.CoverArrays(
            *self.rows.args,
            scale=at(self.scale),
            offsets=at(self.offsets),
            n_items=self.request.n_items,
            n_picks=self.request.n_picks,
            dist2=at(self.dist2),
            nearest=at(self.nearest),
            seen=at(self.seen),
            state=at(self.state),
            centers=at(self.centers),
            wide=self.wide,
            control=at(self.control),
            pick_item=at(self.picks["item"]),
            pick_row=at(self.picks["row"]),
            pick_nearest=at(self.picks["nearest"]),
            pick_dist2=at(self.pick_dist2),
        )

    def choose(self, items: IntArray) -> None:
        """Their rows become centres, and they are open no more."""
        rows = self.request.rows_of(items)
        self.open_items[items] = False
        if rows.size:
            there = self.put(rows)
            self.kernels.cover_choose(self.arrays(), self.address(there), rows.size, self.n_centers, self.stream)
        self.n_centers += rows.size

    def pick(self, items: IntArray) -> None:
        """Answers that no distance decided."""
        self.choose(items)
        self.items += items.tolist()

    def begin(self) -> None:
        """All rows up to date with the centres so far; from here on the device counts picks and centres."""
        control = np.zeros((2, _N_CONTROL), dtype=np.int64)
        control[:, CENTERS], control[:, PICKED], control[:, _ROUND] = self.n_centers, len(self.items), _FIRST_ROUND
        self.control = self.put(control)
        self.kernels.cover_refresh(self.arrays(), self.stream)

    def read(self) -> IntArray:
        """The first copy of `control`; waits for the device."""
        control: IntArray = self.library.to_host(self.control)[0]
        return control

    def end(self) -> None:
        """Takes the picks that the device made."""
        control, first = self.read(), len(self.items)
        made = self.library.to_host(self.picks["item"])[first : int(control[PICKED])]
        self.open_items[made] = False
        self.items += made.tolist()
        self.n_centers = int(control[CENTERS])
        self.n_decided = (first, first + made.size)

    def _measure(self) -> bool:
        """Scales of rows; whether float32 could overflow or lose what it squares."""
        library = self.library
        status = library.zeros(self.rows.n_rows, "uint8", self.device)
        found = self.put(np.array([0, -1, 0, 0], dtype=np.int32))
        self.kernels.cover_measure(
            *self.rows.args,
            self.address(self.state),
            self.address(self.scale),
            self.address(status),
            self.address(found),
            self.stream,
        )
        numbers = library.to_host(found)
        for number, kind in ((1, _core.NonFiniteRows), (2, _core.ZeroRows)):
            if numbers[1 + number]:
                bad = np.flatnonzero(library.to_host(status) == number)
                raise kind(bad.size, bad[:8].tolist())
        largest, least = numbers[:2].view(np.float32).tolist()
        if largest == 0:
            return False
        return not (largest <= _LARGEST and (least if self.request.cosine else largest) >= 1 / _LARGEST)

    def answer(self, assign: bool, radius: float) -> Answer:
        """As the core's, the arrays on the device; radius in the metric's unit, computed here with assign."""
        n, (first, last) = len(self.items), self.n_decided
        rows, nearest = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        distances: Float64Array = np.full(n, np.inf)
        decided = slice(first, last)
        to_host, unit = self.library.to_host, 0.5 if self.request.cosine else 1.0
        rows[decided] = to_host(self.picks["row"])[decided]
        distances[decided] = to_host(self.pick_dist2)[decided]
        by = to_host(self.picks["nearest"])[decided]
        offsets = self.request.offsets
        nearest[decided] = by if offsets is None else np.searchsorted(offsets, by, side="right") - 1
        if not np.isfinite(distances[decided]).all():
            raise InvalidInput(TOO_FAR)
        distances[decided] *= unit
        row_distance = row_nearest = None
        if assign:
            control = self.library.to_host(self.control)
            control[:, CENTERS] = self.n_centers  # with the last ones, that no distance decided
            self.control = self.put(control)
            self.kernels.cover_refresh(self.arrays(), self.stream)
            row_distance, row_nearest = self.empty(self.rows.n_rows, "float64"), self.empty(self.rows.n_rows, "int64")
            self.kernels.cover_assignment(
                self.arrays(), unit, self.address(row_distance), self.address(row_nearest), self.stream
            )
            radius = unit * self.largest()
        items = np.array(self.items, dtype=np.int64)
        picks = (self.put(items), self.put(rows), self.put(distances), self.put(nearest))
        return (*picks, row_distance, row_nearest, float(radius), float(self.read()[ROWS_READ]) / self.rows.n_rows)

    def largest(self) -> float:
        """dist2 of the open row that is farthest; 0 without open rows."""
        found = self.library.zeros(1, "float64", self.device)
        self.kernels.cover_largest(self.arrays(), self.address(found), self.stream)
        return float(self.library.to_host(found)[0])
