"""What strategies of coverage share: each part's own search, the order of the picks, and their weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._rng import Purpose, uniforms
from .._types import IntArray
from ..errors import InvalidInput
from .explain import explain
from .groups import Claims, PartClaims
from .request import Part, Picks, Request
from .rounds import Chosen, Task, in_rounds
from .space import Space, usable

__all__ = ["Chosen", "Task", "coverage"]

_GATHER_SHARE = 4  # a part smaller than this fraction of the pool is copied out instead of read through a mask


def coverage(
    request: Request,
    space: Space,
    start: IntArray,
    search: Callable[[Task], Chosen],
    scores: str,
    *,
    by_cost: bool = False,
    **more: Any,
) -> Picks:
    """Picks of every part by `search`, parts interleaved, with weights and explanation.

    start    items to begin with
    scores   "distances", or "weights": what a pick's score is
    by_cost  the search heeds Task.money; others are asked for other counts until the money pays, see rounds.py
    more     further entries of the certificate

    Groups and money hold for any search: rounds.py. Weights and explanation are those of the final picks.
    """
    _check_start(request, start)
    claims = request.claims()
    answers, ranks = [], []
    with usable(space, request.pool):
        for number, part in enumerate(request.parts):
            found = _of_part(request, space, part, number, start, search, claims, by_cost)
            answers.append(found)
            ranks.append((np.arange(found.items.size) + 0.5) / found.items.size)
        order = np.argsort(np.concatenate(ranks), kind="stable")
        items = np.concatenate([found.items for found in answers])[order]
        why = explain(
            space,
            items,
            request.candidates,
            request.pool.valid,
            request.labelled,
            request.note,
            distances=np.concatenate([found.distances for found in answers])[order],
            nearest_pick=np.concatenate([found.nearest for found in answers])[order],
            curve=request.explain is not False,
        )
    reasons = [text for found in answers for text in found.reasons]
    certificate: dict[str, Any] = {
        "backbone": space.backbone,
        "metric": space.metric,
        "d": space.rows.shape[1],
        "n_patterns": None if space.offsets is None else len(space.rows),
        "readings": float(sum(found.readings for found in answers)),
        **more,
        "coverage": why.summary(),
    }
    if space.note:
        certificate["note"] = space.note
        request.note(space.note)
    return Picks(
        items,
        why.n_represented,
        np.full(items.size, np.nan),
        why.distances if scores == "distances" else why.n_represented,
        [reasons[i] for i in order],
        certificate,
        in_order=True,
        explanation=why,
    )


def _check_start(request: Request, start: IntArray) -> None:
    outside = start[~request.candidates[start]]
    if outside.size:
        raise InvalidInput(
            f"start holds item {outside[0]}, which is no candidate: it is labelled, excluded, invalid, in a full "
            "group, off topic or a near-duplicate. Leave it out."
        )
    for part in request.parts:
        here = int(np.isin(start, part.rows).sum())
        if here > part.count:
            where = f" from stratum {part.name!r}" if part.name else ""
            raise InvalidInput(f"start holds {here} items{where}, the budget there is {part.count}. Give fewer.")
        if part.money is not None and request.costs is not None:
            price = math.fsum(request.costs[start[np.isin(start, part.rows)]])
            if price > part.money:
                raise InvalidInput(f"start costs {price:g}, the budget is {part.money:g}. Give fewer or cheaper items.")
    if not np.isin(start, np.concatenate([part.rows for part in request.parts])).all():
        raise InvalidInput("start holds an item of a stratum that gets no pick. Leave it out.")


def _of_part(
    request: Request,
    space: Space,
    part: Part,
    number: int,
    start: IntArray,
    search: Callable[[Task], Chosen],
    claims: Claims | None,
    by_cost: bool,
) -> Chosen:
    """The search's answer in positions of the pool."""
    mine = start[np.isin(start, part.rows)]
    seed = request.seed if len(request.parts) == 1 else _seed_of_part(request.seed, number)
    members = np.union1d(part.rows, part.labelled)
    limits, promise = (request.priority, request.costs), request.nested
    if len(request.parts) == 1 or members.size * _GATHER_SHARE > request.pool.n_items:
        mask = np.zeros(request.pool.n_items, dtype=np.bool_)
        mask[part.rows] = True
        members = np.arange(request.pool.n_items, dtype=np.int64)
        task = Task(
            space, None if mask.all() else mask, part.labelled, mine, part.count, seed, *limits, part.money, promise
        )
    else:
        mask = np.isin(members, part.rows)
        labelled, first = np.searchsorted(members, part.labelled), np.searchsorted(members, mine)
        priority, costs = (None if values is None else values[members] for values in limits)
        task = Task(space.part(members), mask, labelled, first, part.count, seed, priority, costs, part.money, promise)
    found = in_rounds(task, search, None if claims is None else PartClaims(claims, number, members), by_cost)
    back = np.where(found.nearest >= 0, members[found.nearest], -1)
    return Chosen(members[found.items], found.distances, back, found.reasons, found.readings)


def _seed_of_part(seed: int, number: int) -> int:
    """Parts draw independently of each other."""
    return int(uniforms(seed, Purpose.COVER, np.array([number]), draw=2**31)[0] * 2**53)
