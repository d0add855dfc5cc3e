"""Strategy "farthest": every next item is the one farthest from all chosen so far (greedy k-center, Core-Set)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import is_cosine
from .._types import Float64Array
from ..search import Cover, farthest_points
from .coverage import Chosen, Task, coverage
from .request import Picks, Request
from .space import feature_space


def farthest(request: Request, *, metric: str = "sqeuclidean", start: Any = None) -> Picks:
    """Farthest-first picks under the global features of one backbone.

    metric  "sqeuclidean" or "cosine"
    start   items to begin with, in this order (ids or positions); they count. Default: the labelled items, else
            the candidate in the lowest row

    Labelled items count as chosen. The largest distance that is left is at most twice the least possible one
    (as a Euclidean distance). Outliers are far from everything, so they come early: look at the first picks.
    Each stratum is covered on its own. No randomness: the seed changes nothing.
    weights are the numbers of candidates nearest to each pick; inclusion_prob is NaN, scores are the distances when
    chosen. Cost: oneglance.farthest_points, and one product of all rows with all picks for the explanation.
    """
    is_cosine(metric)
    space = feature_space(request.pool, metric, "farthest")
    request.note(f"farthest points of {space.backbone} ({metric}) ...")
    first = request.pool.ordered_positions(start, "start")
    return coverage(request, space, first, _search, "distances")


def _search(task: Task) -> Chosen:
    found = farthest_points(
        task.space.rows,
        task.count,
        metric=task.space.metric,
        offsets=task.space.offsets,
        mask=task.mask,
        already=task.labelled,
        start=task.start,
    )
    return from_cover(found, task, "farthest from all before: distance {:.3g}")


def from_cover(found: Cover, task: Task, text: str) -> Chosen:
    """A search's answer with its reasons."""
    told: Float64Array = np.where(found.rows >= 0, found.radii, np.nan)
    reasons = []
    for place, distance in enumerate(told):
        if not np.isnan(distance):
            reasons.append(text.format(distance))
        elif place < task.start.size:
            reasons.append("given as a start")
        elif place == 0 and task.labelled.size == 0:
            reasons.append("first of all")
        else:
            reasons.append("only duplicates of chosen items, or items without patterns, were left")
    return Chosen(found.indices, told, found.nearest_selected, reasons, found.readings)
