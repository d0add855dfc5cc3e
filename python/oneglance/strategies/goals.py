"""What a selection should heed besides its strategy: groups, a topic, priorities, prices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import positive_number
from .._types import BoolArray, Float64Array, IntArray
from ..errors import InvalidInput
from .columns import numbers
from .pool import Pool
from .relevance import check_relevance
from .request import Request

_HUGE = 1e290
WITH_PRIORITY = ("lewis", "random", "kernel", "auto")


@dataclass(frozen=True, eq=False)
class Goals:
    """The arguments of these names, see `select`."""

    groups: Any = None
    per_group: int = 1
    relevant_to: Any = None
    relevance: float = 0.05
    priority: Any = None
    priority_weight: float = 0.5
    costs: Any = None

    def check(self, strategy: str, pool: Pool) -> None:
        """What can be told wrong before any column is read. Raises InvalidInput."""
        check_relevance(self.relevance)
        weight = positive_number(self.priority_weight, "priority_weight", zero_ok=True)
        if weight > 1:
            raise InvalidInput(f"priority_weight must be at most 1 (the priority alone), got {weight:g}.")
        if self.priority is not None and strategy == "auto" and not pool.features:
            raise InvalidInput(
                f'strategy "auto" is FreeSel for {pool.where}, which holds patterns only, and has no place for a '
                "priority. Leave it out, or give one row of features per item."
            )
        if self.priority is not None and strategy not in WITH_PRIORITY:
            takers = ", ".join(f'"{name}"' for name in WITH_PRIORITY)
            raise InvalidInput(
                f'strategy "{strategy}" has no place for a priority: it is taken by {takers}. Choose one of them, or '
                "leave priority out."
            )


def blended(pool: Pool, goals: Goals, candidates: BoolArray) -> tuple[Float64Array, Float64Array] | None:
    """The priority as given, and blended in: (1 - a) + a u_i / mean(u) with a = priority_weight; mean 1 over the
    candidates, 1 for items without a number that are none. None without priority. Raises InvalidInput."""
    if goals.priority is None:
        return None
    told_of = given = numbers(pool, goals.priority, "priority", candidates, above_zero=False)
    here = given[candidates]
    if here.size and here.max() > _HUGE:  # so that their sum stays finite
        given, here = given / here.max(), here / here.max()
    mean = float(here.mean()) if here.size else 1.0
    if mean == 0:
        raise InvalidInput("priority is 0 for every item that may be picked: it tells nothing. Leave it out.")
    a = float(goals.priority_weight)
    blend = (1.0 - a) + a * (given / mean)
    return told_of, np.where(np.isfinite(blend), blend, 1.0)


def prices(pool: Pool, goals: Goals, candidates: BoolArray) -> Float64Array | None:
    """(n_items,) what each costs, 1 for items without a price that are no candidates; None without costs."""
    if goals.costs is None:
        return None
    given = numbers(pool, goals.costs, "costs", candidates, above_zero=True)
    return np.where(np.isfinite(given) & (given > 0), given, 1.0)


def check_room(request: Request) -> None:
    """Raises InvalidInput where groups have too little room for the counts of the parts."""
    claims, wanted = request.claims(), sum(part.count for part in request.parts)
    if claims is None or request.groups is None or request.costs is not None or claims.possible == wanted:
        return
    where = " under these strata" if request.parts[0].name else ""
    raise InvalidInput(
        f"budget is {wanted}, but with per_group={request.groups.limit} only {claims.possible} picks are "
        f"possible{where}. Ask for at most {claims.possible}, or raise per_group."
    )


def told(request: Request, picked: IntArray, goals: Goals, money: float | None) -> dict[str, Any]:
    """What a certificate says of groups, costs (with the money in all) and priority."""
    entries: dict[str, Any] = {}
    if request.groups is not None:
        taken = request.groups.sizes(picked)
        entries["groups"] = {
            "per_group": request.groups.limit,
            "n_groups": int(np.count_nonzero(request.groups.sizes(np.flatnonzero(request.candidates)))),
            "n_groups_picked": int(np.count_nonzero(taken)),
        }
    if request.costs is not None:
        spent = math.fsum(request.costs[picked])
        entries["costs"] = {"budget": money, "spent": spent}
    if request.priority is not None:
        entries["priority"] = {
            "weight": float(goals.priority_weight),
            "mean_of_picks": float(request.priority[picked].mean()),
        }
    return entries
