"""Strategy "freesel": draws by the patterns that are still far from everything chosen (Xie et al., NeurIPS 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import is_cosine, positive_number
from .._rng import Purpose, uniforms
from ..errors import InvalidInput
from ..search import farthest_points, weighted_draw
from .coverage import Chosen, Task, coverage
from .farthest import from_cover
from .request import Picks, Request
from .space import pattern_space

RULES = ("prob", "fds")


def freesel(
    request: Request, *, rule: str = "prob", gamma: float = 2.0, metric: str = "cosine", start: Any = None
) -> Picks:
    """FreeSel: a pattern is chosen, and its item joins with all its patterns.

    rule    "prob" draws a pattern with probability D^gamma / sum D^gamma, D its distance to the nearest pattern of a
            chosen item; "fds" takes the pattern with the largest D (the earlier GEAL)
    gamma   > 0, of "prob"; the paper's cosine with 2. Larger is nearer to "fds"
    metric  "cosine" or "sqeuclidean"
    start   items to begin with, in this order (ids or positions); they count. Default: the labelled items, else
            one random item

    Works on the patterns of one backbone (embed with patterns=True / --patterns, or arrays as Patterns or
    (n, m, d)). A backbone without patterns takes part with its global features, one pattern per item; a note says
    so. Items without any pattern come last. Labelled items count as chosen; each stratum is covered on its own.
    weights are the numbers of candidates nearest to each pick; inclusion_prob is NaN: later draws depend on earlier
    ones. scores are the distances when chosen. Cost: oneglance.weighted_draw over all patterns, and for the
    explanation one product of all patterns with all picked ones, which usually is the larger part.
    Source: arXiv 2309.17342 and its released code.
    """
    if rule not in RULES:
        raise InvalidInput(f"rule must be one of {list(RULES)}, got {rule!r}.")
    power = positive_number(gamma, "gamma")
    is_cosine(metric)
    space = pattern_space(request.pool, metric, "freesel")
    kind = "global features" if space.offsets is None else f"{len(space.rows)} patterns"
    request.note(f"FreeSel ({rule}) over {kind} of {space.backbone} ({metric}) ...")
    first = request.pool.ordered_positions(start, "start")

    def search(task: Task) -> Chosen:
        rows, given = task.space.rows, task.start
        if rule == "fds" and not given.size and not task.labelled.size:
            given = _random_item(task)
        asked: dict[str, Any] = {
            "metric": metric,
            "offsets": task.space.offsets,
            "mask": task.mask,
            "already": task.labelled,
            "start": given,
        }
        if rule == "prob":
            found = weighted_draw(rows, task.count, gamma=power, seed=task.seed, **asked)
            return from_cover(found, task, "drawn: a pattern at distance {:.3g} from all before")
        return from_cover(
            farthest_points(rows, task.count, **asked), task, "farthest pattern: distance {:.3g} from all before"
        )

    return coverage(request, space, first, search, "distances")


def _random_item(task: Task) -> Any:
    """One candidate that has patterns, all alike; none if no candidate has."""
    free = task.free
    if task.space.offsets is not None:
        free &= np.diff(task.space.offsets) > 0
    items = np.flatnonzero(free).astype(np.int64)
    return items[np.argsort(uniforms(task.seed, Purpose.COVER, items), kind="stable")[:1]]
