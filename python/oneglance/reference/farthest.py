"""Farthest-first traversal by definition: one pass over the rows per pick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._types import BoolArray, FloatArray, IntArray
from .cover import Cover, new_cover


def farthest(
    x: FloatArray,
    n_picks: int,
    metric: str = "sqeuclidean",
    *,
    offsets: IntArray | None = None,
    mask: BoolArray | None = None,
    already: Sequence[int] = (),
    start: Sequence[int] = (),
) -> Cover:
    """Again and again the item of the row that is farthest from all chosen rows, ties to the lower row.

    Without a chosen row, and when nothing is left but duplicates of chosen rows: the lowest item that has rows,
    then the lowest of those without.
    """
    cover = new_cover(x, metric, offsets, mask, already, start)
    while len(cover.items) < n_picks:
        rows = cover.open_rows()
        d = cover.row_distance[rows]
        if rows.size and np.isfinite(d).all() and d.max() > 0:
            row = int(rows[np.argmax(d)])
            cover.pick(int(cover.owner[row]), row)
        else:
            cover.pick(int(cover.owner[rows[0]] if rows.size else cover.open_items()[0]))
    return cover
