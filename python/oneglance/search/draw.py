"""Draws in proportion to a power of the distance: k-means++ seeding (gamma 1) and FreeSel (cosine, gamma 2)."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._check import positive_number, seed_int
from .._rows import named_rows
from ..cuda import draw as on_cards
from .cover import Cover, checked, cure


class WeightedDraw(Cover):
    """Cover whose picks were drawn."""

    __slots__ = ()


def weighted_draw(
    X: Any,
    k: int,
    *,
    gamma: float = 1.0,
    metric: str = "sqeuclidean",
    offsets: Any = None,
    mask: Any = None,
    already: Any = None,
    start: Any = None,
    assign: bool = False,
    seed: int = 0,
    device: str | None = None,
) -> WeightedDraw:
    """k items, one after the other: a row is drawn with probability D^gamma / sum D^gamma, its item is the pick.

    D is the row's distance to its nearest chosen row, in the metric's own unit, at the time of the draw.

    gamma  > 0. sqeuclidean with 1: k-means++. cosine with 2: FreeSel's "prob". Large: nearly the farthest row
    seed   0 .. 2**63 - 1

    X, k, metric, offsets, mask, already, start, assign and device as in `farthest_points`. Without already and start
    the first item is drawn uniformly among those that have rows. When only duplicates of chosen rows are left, items
    are drawn uniformly; those without rows only when no other is left.
    The distribution is exact: proposals come from older distances, which are bounds, and are accepted with
    probability (D / old D)^gamma. The same seed gives the same picks for any threads, panels or shards, and
    on a CUDA device up to the rounding of its float32 distances.
    Cost about 2 n k d flops in far fewer than k readings; memory O(n).
    Source: Arthur and Vassilvitskii 2007 (gamma 1); Xie et al., arXiv 2309.17342 (gamma 2). Raises InvalidInput.
    """
    gamma, seed = positive_number(gamma, "gamma"), seed_int(seed)
    door = checked(X, k, metric, offsets, mask, already, start, device)
    with named_rows("X", cure=cure(door)):
        items, rows, distances, nearest, row_distance, row_nearest, radius, readings = (
            door.on_device(door.place, on_cards.weighted_draw, gamma, seed, assign)
            if door.place is not None
            else _core.weighted_draw(
                door.shards(),
                door.offsets,
                door.n_picks,
                door.cosine,
                gamma,
                door.mask,
                door.already,
                door.start,
                seed,
                assign,
            )
        )
    return WeightedDraw(items, distances, nearest, rows, row_distance, row_nearest, radius, readings)
