"""Farthest-first traversal (greedy k-center), exactly, many picks per reading of the rows."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._rows import named_rows
from ..cuda import farthest as on_cards
from .cover import Cover, checked, cure


class Farthest(Cover):
    """Cover whose picks were the farthest row each; radii[i] is then the covering radius of the picks before i."""

    __slots__ = ()


def farthest_points(
    X: Any,
    k: int,
    *,
    metric: str = "sqeuclidean",
    offsets: Any = None,
    mask: Any = None,
    already: Any = None,
    start: Any = None,
    assign: bool = False,
    device: str | None = None,
) -> Farthest:
    """k items, each the farthest from all items chosen before: its farthest row decides.

    X        (n, d) float16/32/64: NumPy array or memory map, RowShards, torch tensor, CuPy array
    k        items wanted, those of start included
    metric   "sqeuclidean" (distances are squared) or "cosine" (1 - cos)
    offsets  int64 (n_items + 1,): item i owns the rows offsets[i] .. offsets[i + 1] - 1, perhaps none. Default:
             each row is an item
    mask     (n_items,) bool: items with False are never picked, and their rows need not be covered
    already  items that count as chosen and are not in the answer (labelled before); mask may leave them out
    start    items that count as chosen and are the first answers, in this order
    assign   also tell every row's nearest chosen row at the end, for at least one more reading
    device   X may be a CUDA array (torch, CuPy): then the work is done and answered there. "cuda", "cuda:1": rows of
             the host are copied to that device, which must hold them. Default: where X is

    Without already and start the lowest item that has rows comes first. Ties go to the lower row. When only
    duplicates of chosen rows are left, items follow by number, those without rows last. The covering radius (as
    a Euclidean distance, the root of sqeuclidean) is at most twice that of the best k items.
    Picks are those of one float64 pass per pick (see `nearest` for the arithmetic), whatever the threads,
    panels, shards or instruction set. On a CUDA device distances are float32 sums for rows narrower than float64, so
    that nearly equal distances may fall otherwise. Cost about 2 n k d flops in far fewer than k readings; memory O(n).
    Source: Gonzalez 1985. Raises InvalidInput.
    """
    door = checked(X, k, metric, offsets, mask, already, start, device)
    with named_rows("X", cure=cure(door)):
        items, rows, distances, nearest, row_distance, row_nearest, radius, readings = (
            door.on_device(door.place, on_cards.farthest_points, assign)
            if door.place is not None
            else _core.farthest(
                door.shards(), door.offsets, door.n_picks, door.cosine, door.mask, door.already, door.start, assign
            )
        )
    return Farthest(items, distances, nearest, rows, row_distance, row_nearest, radius, readings)
