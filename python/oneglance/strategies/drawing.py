"""Draws of the strategies that know inclusion probabilities: plain, with room per group, or with prices."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray
from ..errors import InvalidInput
from .request import Part, Request
from .sampling import SAMPLERS, Sample, capped, equal, priced


def drawn(
    request: Request,
    importance: Float64Array | None,
    *,
    sampler: str = "bernoulli",
    points: FloatArray | None = None,
) -> list[Sample]:
    """A sample of every part, in positions of the pool.

    importance  (n_items,) >= 0, or None: all alike. Request.priority multiplies it
    sampler     one of SAMPLERS; neither groups nor costs but with "bernoulli"
    points      (n_items, k), where items lie; for "pivotal"

    Items of importance 0 are never drawn. Raises InvalidInput where a part has too few others.
    """
    if sampler != "bernoulli" and (request.groups is not None or request.costs is not None):
        limit = "at most so many of a group" if request.groups is not None else "a budget of money"
        why = (
            f"spreads the picks over the features, and has no rule for {limit}."
            if sampler == "pivotal"
            else f"draws until it has seen enough items, so the probability of one under {limit} is not known."
        )
        raise InvalidInput(f'sampler="{sampler}" {why} Use sampler="bernoulli".')
    if request.groups is not None and request.costs is not None:
        raise InvalidInput(
            "groups and costs together leave no draw with exact inclusion probabilities. Use one of them, or a "
            'strategy of coverage, like "kernel".'
        )
    claims = request.claims()
    if claims is not None and claims.any_shared:
        raise InvalidInput(
            "groups with items in several strata leave no draw with exact inclusion probabilities. Use groups that lie "
            'within strata, or a strategy of coverage, like "kernel".'
        )
    alike = importance is None
    if request.priority is not None:
        importance = request.priority if importance is None else importance * request.priority
    for part in request.parts:
        if importance is not None:
            _enough(importance[part.rows], part, request, alike)
    return [_of_part(request, part, stream, importance, sampler, points) for stream, part in enumerate(request.parts)]


def _of_part(
    request: Request,
    part: Part,
    stream: int,
    importance: Float64Array | None,
    sampler: str,
    points: FloatArray | None,
) -> Sample:
    seed, rows = request.seed, part.rows
    if importance is None and request.groups is None and request.costs is None:
        return equal(rows, part.count, seed=seed)
    p = np.ones(rows.size) if importance is None else importance[rows]
    if request.costs is not None and part.money is not None:
        sample = priced(p, request.costs[rows], part.money, seed=seed, stream=stream)
    elif request.groups is not None:
        sample = capped(p, part.count, request.groups.of[rows], request.groups.room, seed=seed, stream=stream)
    else:
        where = {} if points is None else {"points": points[rows]}
        sample = SAMPLERS[sampler](p, part.count, seed=seed, stream=stream, **where)
    return Sample(rows[sample.indices], sample.inclusion_prob, sample.weights, sample.counts, sample.n_draws)


def _enough(p: Float64Array, part: Part, request: Request, alike: bool) -> None:
    """Raises InvalidInput where too few items can be drawn; alike: items differ in priority alone."""
    n_positive = int(np.count_nonzero(p))
    least = 1 if request.costs is not None else part.count
    if least > n_positive:
        where = f" of stratum {part.name!r}" if part.name else ""
        what, others, cure = "a Lewis weight", "are rows of zeros", 'use strategy="random"'
        if request.priority is not None:
            what, others = "an importance (priority included)", "are rows of zeros, or of no priority"
        if alike:
            what, others, cure = "a priority", "have none", "use a priority_weight below 1"
        raise InvalidInput(
            f"budget is {part.count}, but only {n_positive} of the {part.rows.size} available items{where} have "
            f"{what} above 0 (the others {others}). Ask for at most {n_positive}, exclude the others, or {cure}."
        )
