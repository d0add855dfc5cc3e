"""What farthest points and weighted draws share: their result, and the checks at their door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import as_mask, as_positions, as_shards, is_cosine, positive_int
from .._types import BoolArray, Float64Array, IntArray, RowShards, as_offsets
from ..cuda import DeviceRows, Library, device_rows, library_of
from ..cuda.arrays import place_of
from ..cuda.cover import Answer, CoverRequest
from ..cuda.rows import DeviceCopy, on_host
from ..errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """Items in the order in which they were chosen, and how well they cover the rows.

    Without offsets an item is a row. Distances are in the metric's own unit (sqeuclidean: squared). Where X is in the
    memory of a device, the arrays here are too.

    indices           int64 (k,), distinct items; those of `start` come first
    radii             float64 (k,), distance of the deciding row to the earlier picks when the item was chosen;
                      inf where no distance decided (start, first pick, when only duplicates are left)
    nearest_selected  int64 (k,), item of the earlier pick at that distance, `already` included; -1 for none
    rows              int64 (k,), the row that decided; -1 where no distance did
    row_distance      float64 (n_rows,), every row to its nearest chosen row at the end; NaN for rows that mask
                      leaves out. None without assign=True
    row_nearest       int64 (n_rows,), that chosen row: itself for a chosen row, else the lowest on ties; -1 for
                      rows that mask leaves out. None without assign=True
    radius            covering radius of all picks: the largest distance of a row to its nearest chosen row; NaN
                      where it was not computed (weighted_draw without assign=True)
    readings          how many times the rows were read, in all
    """

    indices: IntArray
    radii: Float64Array
    nearest_selected: IntArray
    rows: IntArray
    row_distance: Float64Array | None
    row_nearest: IntArray | None
    radius: float
    readings: float


@dataclass(frozen=True, eq=False)
class Door:
    """Checked arguments, as the compiled core takes them."""

    rows: RowShards | DeviceRows
    offsets: IntArray | None
    n_picks: int
    cosine: bool
    mask: BoolArray | None
    already: IntArray
    start: IntArray

    place: tuple[Library, int] | None = None

    def request(self, rows: DeviceRows) -> CoverRequest:
        """For kernels of the device that the rows are on."""
        return CoverRequest(rows, self.offsets, self.n_picks, self.cosine, self.mask, self.already, self.start)

    def on_device(self, place: tuple[Library, int], search: Callable[..., Answer], *asked: Any) -> Answer:
        """search(request, *asked): on rows that are there, or on a copy of rows of the host; then answers come back."""
        library, device = place
        with library.guard(device):
            copy = DeviceCopy(self.rows if isinstance(self.rows, RowShards) else self.rows.array, library, device)
            *arrays, radius, readings = search(self.request(copy.rows), *asked)
            items, rows, distances, nearest, row_distance, row_nearest = (
                None if array is None else copy.answer(array) for array in arrays
            )
        return items, rows, distances, nearest, row_distance, row_nearest, radius, readings

    def shards(self) -> list[Any]:
        """The rows of the CPU."""
        return list(self.rows) if isinstance(self.rows, RowShards) else []


def checked(
    X: Any, k: Any, metric: Any, offsets: Any, mask: Any, already: Any, start: Any, device: str | None = None
) -> Door:
    """All that can be wrong with a request for items, found before any row is read. Raises InvalidInput."""
    n_picks, cosine = positive_int(k, "k"), is_cosine(metric)
    place, library = place_of(X, "X", device), library_of(X, "X")
    rows = as_shards(X, "X") if library is None else device_rows(X, "X", library)
    n_rows = len(rows) if isinstance(rows, RowShards) else rows.n_rows
    if library is not None:
        offsets, mask, already, start = (on_host(value, library) for value in (offsets, mask, already, start))
    ends = None if offsets is None else as_offsets(offsets, "offsets", n_rows)
    n_items = n_rows if ends is None else int(ends.size - 1)
    used = as_mask(mask, "mask", n_items)
    chosen, first = as_positions(already, "already", n_items), as_positions(start, "start", n_items)
    both = np.intersect1d(chosen, first)
    if both.size:
        raise InvalidInput(f"start and already both hold item {both[0]}. An item is either an answer or chosen before.")
    free = np.ones(n_items, dtype=np.bool_) if used is None else used.copy()
    barred = first[~free[first]]
    if barred.size:
        raise InvalidInput(f"start holds item {barred[0]}, which mask leaves out. Change one of them.")
    if first.size > n_picks:
        raise InvalidInput(f"start holds {first.size} items, k is {n_picks}. k counts the items of start too.")
    free[chosen] = False
    n_free = int(np.count_nonzero(free))
    if n_picks > n_free:
        kind = "rows" if ends is None else "items"
        why = [text for text, given in (("mask", used is not None), ("already", chosen.size > 0)) if given]
        left = f" outside {' and '.join(why)}" if why else ""
        raise InvalidInput(f"k is {n_picks}, but X has only {n_free} {kind}{left}. Ask for at most {n_free}.")
    return Door(rows, ends, n_picks, cosine, used, chosen, first, place)


def cure(door: Door) -> str | None:
    """What to do about bad rows where rows are not items; None for the usual advice."""
    return None if door.offsets is None else "Fix them, or leave their items out with mask=."
