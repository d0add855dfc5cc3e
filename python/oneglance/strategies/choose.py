"""The one door to every strategy."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._check import positive_number, seed_int
from ..cuda.arrays import checked_device, computing_on
from ..errors import InvalidInput
from .budget import parse_budget, parse_money
from .candidates import check_dedup, gone, narrowed, usable_labelled
from .explain import explain as explained
from .goals import Goals, blended, check_room, prices, told
from .groups import read_groups
from .parts import divided, divided_money, read_strata, warn_of_strata_without_picks
from .pool import Pool, as_pool
from .registry import STRATEGIES, resolve
from .request import Picks, Request
from .result import Selection
from .space import feature_space, usable
from .unusable import UnusableRows


def select(
    store_or_arrays: Any,
    budget: int | float | str,
    strategy: str = "lewis",
    *,
    seed: int = 0,
    labelled: Any = None,
    exclude: Any = None,
    strata: Any = None,
    quotas: Mapping[str, int] | None = None,
    groups: Any = None,
    per_group: int = 1,
    priority: Any = None,
    priority_weight: float = 0.5,
    costs: Any = None,
    relevant_to: Any = None,
    relevance: float = 0.05,
    backbones: Sequence[str] | None = None,
    dedup: float | None = None,
    explain: bool | None = None,
    progress: bool | Callable[[str], None] | None = None,
    device: str = "cpu",
    **params: Any,
) -> Selection:
    """Chooses which items of a pool to label: exactly `budget` distinct ones, or what a budget of money pays.

    store_or_arrays  FeatureStore or its path; or one (n, d) array, or a list or dict of arrays with the same
                     n (one per backbone): NumPy, memory map, RowShards, CPU torch tensor. For "freesel" also
                     Patterns, or one array (n, m, d) of m patterns per item
    budget           a count, or a percentage of the available items as a string: "2%". With costs= money
    strategy         "lewis" (by Lewis weights, made for several backbones at once; parameters p, tol,
                     max_passes, ridge, combine, sampler), "freesel" (by patterns; rule, gamma, metric, start),
                     "farthest" (greedy k-center; metric, start), "kmeans" (nearest to cluster centres; metric,
                     clusters, max_iter), the rest of the family of coverage ("typiclust", ...: see the modules of
                     oneglance.strategies) or "random" (the baseline, no parameters). All but lewis and random
                     work with one backbone; name it with backbones=
    seed             0 .. 2**63 - 1; the same seed on the same build gives the same bytes
    labelled         items that have a label already: never picked. "lewis" computes its weights without them;
                     strategies of coverage count them as chosen
    exclude          items not to be picked for any other reason. Both: item ids (str), positions (int), or a
                     boolean mask; repeats and overlap are fine
    strata           (n,) stratum per item, or the name of a column of the store ("stratum", "label", ...).
                     The budget is divided in proportion to the available items of each stratum (largest
                     remainder), at least one each while the budget allows; each stratum is then sampled on
                     its own. Items without a stratum (None, NaN, "") form the stratum "(none)"
    quotas           {stratum: count}: fixed counts; the others share what is left
    groups           (n,) group (scene, patient) per item, or a column's name: at most per_group picks each, labelled
                     items included; an item without a group is one of its own. lewis and random keep exact
                     inclusion probabilities; for strategies of coverage see rounds.py. Works with strata=
    priority         (n,) numbers >= 0 (an uncertainty, say), or a column's name. An item counts
                     (1 - a) + a u / mean(u) times, a = priority_weight in [0, 1]: lewis and random draw it in that
                     proportion, weights undo it; kernel covers it so much more. No other strategy takes it
    costs            (n,) prices > 0, or a column's name. The budget is then money in their unit: a number, or a share
                     of what all available items cost, "5%". Picks never cost more; as many as it pays. lewis and
                     random draw in proportion to importance / sqrt(price), with exact inclusion probabilities, which
                     leaves up to the price of the dearest item unspent. kernel is greedy by gain per price; the other
                     strategies are asked for the largest number that it pays
    relevant_to      a query set: only items as close to it as its members are to each other are candidates. Ids,
                     positions or a mask of items of the pool; or features, as store_or_arrays has them (a store: all
                     its valid items). Loses about the share `relevance` of on-topic items at most (a conformal test,
                     needs 1 / relevance - 1 queries); certificate["relevance"] lists what is dropped
    backbones        names of the backbones to use, all by default
    dedup            drop near-duplicates first (SemDeDup): candidates whose cosine distance to a labelled item, or to
                     a candidate kept before in a lower row, is below this; 0.05 is a start. Searched inside clusters
                     of about 1000 items under one backbone. They are no candidates then: percentages, strata,
                     weights and coverage leave them out. certificate["dedup"] lists each with the item it is close to
    explain          who represents whom (Selection.represented_by, certificate["coverage"]). Default: for
                     strategies of coverage; False leaves out their curve of radii. True explains lewis and random
                     too, by sqeuclidean distances under one backbone
    progress         called with one-line notes on what is being computed; True prints them on stderr
    device           "cuda", "cuda:1": Lewis weights, nearest rows and k-means are computed there, the features streamed
                     through it; the rest on the CPU. "auto": where a card can be used. Picks are those of the CPU up
                     to near-ties; certificate["device"] says it
    params           the strategy's own parameters, see the function of its name: oneglance.strategies.lewis.lewis,
                     .freesel.freesel and so on

    Invalid items of a store are never picked; the certificate counts them. So are rows that prove not to be
    finite when they are read (a warning names them; "random" reads none). Strata that get no pick because the
    budget is too small are warned of: weights then speak for the other strata only. Returns a Selection, most
    important first. Raises InvalidInput (a message per mistake, with its cure) and StoreError.
    Memory O(n) beyond the features, which are read in panels and need not fit.
    """
    seed = seed_int(seed)
    run, resolved = resolve(strategy, params)
    goals = Goals(groups, per_group, relevant_to, relevance, priority, priority_weight, costs)
    if explain not in (None, True, False):
        raise InvalidInput(f"explain must be True, False or None, got {explain!r}.")
    eps = None if dedup is None else positive_number(dedup, "dedup")
    asked = _Asked(budget, strategy, seed, labelled, exclude, strata, quotas, explain, noter(progress), eps, goals)
    where = checked_device(device)
    pool = as_pool(store_or_arrays, backbones)
    goals.check(strategy, pool)
    _check_explained(pool, strategy, explain)
    with computing_on(where):
        selection = None
        while selection is None:  # once more per reader that asks more of rows than the one before
            try:
                selection = _select(pool, asked, run, resolved)
            except UnusableRows as found:
                if not pool.valid[found.rows].any():
                    raise
                warnings.warn(str(found), UserWarning, stacklevel=2)
                valid = pool.valid.copy()
                valid[found.rows] = False
                pool = replace(pool, valid=valid)
    if where == "cpu":
        return selection
    return replace(selection, certificate={**selection.certificate, "device": where})


def check_select(
    pool: Pool,
    budget: int | float | str,
    strategy: str,
    params: Mapping[str, Any],
    goals: Goals,
    *,
    labelled: Any = None,
    exclude: Any = None,
    strata: Any = None,
    quotas: Mapping[str, int] | None = None,
    dedup: float | None = None,
    explain: bool | None = None,
) -> None:
    """For plans: raises InvalidInput where `select` would, as far as can be told without reading features."""
    resolve(strategy, params)
    goals.check(strategy, pool)
    _check_explained(pool, strategy, explain)
    if dedup is not None:
        positive_number(dedup, "dedup")
        check_dedup(pool)
    names = read_strata(pool, strata)
    groups = read_groups(pool, goals.groups, goals.per_group, pool.positions(labelled, "labelled"))
    if goals.relevant_to is not None or dedup is not None:
        return  # who is a candidate is not known
    candidates, counts, _ = narrowed(pool, labelled, exclude, groups, goals, None, 0, noter(None))
    blended(pool, goals, candidates)
    done = usable_labelled(pool, labelled)
    if goals.costs is None:
        parts = divided(candidates, names, parse_budget(budget, counts["n_candidates"], gone(counts)), quotas, done)
        some = tuple(part for part in parts if part.count)
        check_room(Request(pool, candidates, some, done, 0, noter(None), groups=groups))


def _check_explained(pool: Pool, strategy: str, explain: bool | None) -> None:
    if explain and strategy in ("lewis", "random"):
        feature_space(pool, "sqeuclidean", strategy)


def noter(progress: Any) -> Callable[[str], None]:
    if progress is None or progress is False:
        return lambda text: None
    if progress is True:
        return lambda text: print(text, file=sys.stderr, flush=True)
    if not callable(progress):
        raise InvalidInput(f"progress must be True, False or a callable, got {progress!r}.")
    note: Callable[[str], None] = progress
    return note


@dataclass(frozen=True, eq=False)
class _Asked:
    """The arguments of `select` that go with any pool."""

    budget: int | float | str
    strategy: str
    seed: int
    labelled: Any
    exclude: Any
    strata: Any
    quotas: Mapping[str, int] | None
    explain: bool | None
    note: Callable[[str], None]
    eps: float | None
    goals: Goals


def _select(pool: Pool, asked: _Asked, run: Callable[..., Picks], resolved: dict[str, Any]) -> Selection:
    already, done = pool.positions(asked.labelled, "labelled"), usable_labelled(pool, asked.labelled)
    names, groups = (
        read_strata(pool, asked.strata),
        read_groups(pool, asked.goals.groups, asked.goals.per_group, already),
    )
    candidates, counts, listed = narrowed(
        pool, asked.labelled, asked.exclude, groups, asked.goals, asked.eps, asked.seed, asked.note
    )
    costs, money = prices(pool, asked.goals, candidates), None
    if costs is None:
        parts = divided(
            candidates, names, parse_budget(asked.budget, counts["n_candidates"], gone(counts)), asked.quotas, done
        )
    else:
        money = parse_money(asked.budget, costs[candidates], gone(counts))
        parts = divided_money(candidates, names, money, costs, asked.quotas, done)
    warn_of_strata_without_picks(parts, asked.quotas or {})
    priority = blended(pool, asked.goals, candidates)
    request = Request(
        pool,
        candidates,
        tuple(part for part in parts if part.count),
        done,
        asked.seed,
        asked.note,
        asked.explain,
        None if priority is None else priority[1],
        costs,
        groups,
        STRATEGIES[asked.strategy].nested,
    )
    check_room(request)
    picks = run(request, **resolved)
    order = np.arange(picks.indices.size)
    if not picks.in_order:  # certain picks first, then the larger score, then the lower row
        order = np.lexsort((picks.indices, -picks.scores, picks.inclusion_prob < 1.0))
    indices = picks.indices[order]
    certificate: dict[str, Any] = {**picks.certificate, **counts, **listed}
    why = picks.explanation
    if why is None and asked.explain:
        space = feature_space(pool, "sqeuclidean", asked.strategy)
        with usable(space, pool):
            why = explained(space, indices, candidates, pool.valid, done, asked.note)
        certificate["coverage"] = {"backbone": space.backbone, "metric": space.metric, **why.summary()}
    if names is not None:
        picked = Counter(names[indices].tolist())
        certificate["strata"] = {
            part.name: {"available": int(part.rows.size), "picked": picked[part.name]} for part in parts
        }
    certificate |= told(request, indices, asked.goals, money)
    return Selection(
        indices=indices,
        ids=indices.copy() if pool.ids is None else pool.ids[indices],
        weights=picks.weights[order],
        inclusion_prob=picks.inclusion_prob[order],
        scores=picks.scores[order],
        rank=np.arange(1, indices.size + 1, dtype=np.int64),
        reason=np.array([picks.reasons[i] for i in order], dtype=object),
        nearest_selected=None if why is None else why.nearest,
        strategy=asked.strategy,
        params=resolved,
        seed=asked.seed,
        certificate=certificate,
        sources=None if pool.sources is None else pool.sources[indices],
        strata=None if names is None else names[indices],
        distances=None if why is None else why.distances,
        represented_by=None if why is None else why.represented_by,
        represented_distance=None if why is None else why.represented_distance,
        item_ids=None if why is None else pool.ids,
        groups=None if groups is None else groups.names[indices],
        costs=None if costs is None else costs[indices],
        priority=None if priority is None else priority[0][indices],
    )
