"""Draws in proportion to distance^gamma by definition. It defines the distribution, not the random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray, IntArray
from .cover import Cover, new_cover


def next_item_law(cover: Cover, gamma: float) -> Float64Array:
    """Probability of every item to be the next pick, (n_items,).

    A row of an open item is drawn in proportion to distance^gamma, and its item is the pick. Without a chosen
    row, and when all these distances are 0: every open item alike, those without rows only when no other is left.
    """
    law: Float64Array = np.zeros(cover.candidates.size)
    rows = cover.open_rows()
    d = cover.row_distance[rows]
    if rows.size and np.isfinite(d).all() and d.max() > 0:
        np.add.at(law, cover.owner[rows], (d / d.max()) ** gamma)
    else:
        law[np.unique(cover.owner[rows]) if rows.size else cover.open_items()] = 1.0
    law /= law.sum()
    return law


def weighted_draw(
    x: FloatArray,
    n_picks: int,
    rng: np.random.Generator,
    *,
    gamma: float = 1.0,
    metric: str = "sqeuclidean",
    offsets: IntArray | None = None,
    mask: BoolArray | None = None,
    already: Sequence[int] = (),
    start: Sequence[int] = (),
) -> list[int]:
    """The picks, start included, each drawn by next_item_law."""
    cover = new_cover(x, metric, offsets, mask, already, start)
    while len(cover.items) < n_picks:
        cover.pick(int(rng.choice(cover.candidates.size, p=next_item_law(cover, gamma))))
    return cover.items
