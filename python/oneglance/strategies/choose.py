"""The one door to every strategy."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import positive_number, seed_int
from .._types import BoolArray, IntArray
from ..errors import InvalidInput
from .budget import allocate, parse_budget
from .dedup import near_duplicates
from .explain import explain as explained
from .pool import Pool, as_pool
from .registry import resolve
from .request import Part, Picks, Request
from .result import Selection
from .space import feature_space, usable
from .unusable import UnusableRows

NO_STRATUM = "(none)"


def select(
    store_or_arrays: Any,
    budget: int | str,
    strategy: str = "lewis",
    *,
    seed: int = 0,
    labelled: Any = None,
    exclude: Any = None,
    strata: Any = None,
    quotas: Mapping[str, int] | None = None,
    groups: Any = None,
    backbones: Sequence[str] | None = None,
    dedup: float | None = None,
    explain: bool | None = None,
    progress: bool | Callable[[str], None] | None = None,
    **params: Any,
) -> Selection:
    """Chooses which items of a pool to label: exactly `budget` distinct ones.

    store_or_arrays  FeatureStore or its path; or one (n, d) array, or a list or dict of arrays with the same
                     n (one per backbone): NumPy, memory map, RowShards, CPU torch tensor. For "freesel" also
                     Patterns, or one array (n, m, d) of m patterns per item
    budget           a count, or a percentage of the available items as a string: "2%"
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
                     its own. Items without a stratum form the stratum "(none)"
    quotas           {stratum: count}: fixed counts; the others share what is left
    groups           not supported: a limit of picks per group would make inclusion probabilities and weights wrong.
                     Use strata=
    backbones        names of the backbones to use, all by default
    dedup            drop near-duplicates first (SemDeDup): candidates whose cosine distance to a labelled item, or to
                     a candidate kept before in a lower row, is below this; 0.05 is a start. Searched inside clusters
                     of about 1000 items under one backbone. They are no candidates then: percentages, strata,
                     weights and coverage leave them out. certificate["dedup"] lists each with the item it is close to
    explain          who represents whom (Selection.represented_by, certificate["coverage"]). Default: for
                     strategies of coverage; False leaves out their curve of radii. True explains lewis and random
                     too, by sqeuclidean distances under one backbone
    progress         called with one-line notes on what is being computed; True prints them on stderr
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
    if groups is not None:
        raise InvalidInput(
            f'groups is not supported by strategy "{strategy}": a limit per group would make its inclusion '
            "probabilities and weights wrong. To spread the picks use strata=."
        )
    if explain not in (None, True, False):
        raise InvalidInput(f"explain must be True, False or None, got {explain!r}.")
    eps = None if dedup is None else positive_number(dedup, "dedup")
    pool = as_pool(store_or_arrays, backbones)

    def once(pool: Pool) -> Selection:
        request = (pool, budget, strategy, seed, labelled, exclude, strata, quotas, explain, noter(progress), eps)
        return _select(*request, run, resolved)

    try:
        return once(pool)
    except UnusableRows as found:
        warnings.warn(str(found), UserWarning, stacklevel=2)
        valid = pool.valid.copy()
        valid[found.rows] = False
        return once(replace(pool, valid=valid))


def noter(progress: Any) -> Callable[[str], None]:
    if progress is None or progress is False:
        return lambda text: None
    if progress is True:
        return lambda text: print(text, file=sys.stderr, flush=True)
    if not callable(progress):
        raise InvalidInput(f"progress must be True, False or a callable, got {progress!r}.")
    note: Callable[[str], None] = progress
    return note


def _select(
    pool: Pool,
    budget: int | str,
    strategy: str,
    seed: int,
    labelled: Any,
    exclude: Any,
    strata: Any,
    quotas: Mapping[str, int] | None,
    explain: bool | None,
    note: Callable[[str], None],
    eps: float | None,
    run: Callable[..., Picks],
    resolved: dict[str, Any],
) -> Selection:
    candidates, counts = available(pool, labelled, exclude)
    listed: dict[str, Any] = {}
    if eps is not None:
        candidates, listed = _without_duplicates(pool, candidates, _usable(pool, labelled), eps, seed, note)
        counts = {**counts, "n_near_duplicates": listed["n_dropped"]}
        counts["n_candidates"] -= listed["n_dropped"]
    n_picks = parse_budget(budget, counts["n_candidates"], gone(counts))
    names = _strata(pool, strata)
    done = _usable(pool, labelled)
    parts = _parts(candidates, names, n_picks, quotas, done)
    _warn_of_strata_without_picks(parts, quotas or {})
    asked = Request(pool, candidates, tuple(part for part in parts if part.count), seed, note, explain)
    picks = run(asked, **resolved)
    order = np.arange(picks.indices.size)
    if not picks.in_order:  # certain picks first, then the larger score, then the lower row
        order = np.lexsort((picks.indices, -picks.scores, picks.inclusion_prob < 1.0))
    indices = picks.indices[order]
    certificate: dict[str, Any] = {**picks.certificate, **counts}
    if listed:
        certificate["dedup"] = listed
    why = picks.explanation
    if why is None and explain:
        space = feature_space(pool, "sqeuclidean", strategy)
        with usable(space, pool):
            why = explained(space, indices, candidates, pool.valid, done, note)
        certificate["coverage"] = {"backbone": space.backbone, "metric": space.metric, **why.summary()}
    if names is not None:
        certificate["strata"] = {part.name: {"available": int(part.rows.size), "picked": part.count} for part in parts}
    return Selection(
        indices=indices,
        ids=indices.copy() if pool.ids is None else pool.ids[indices],
        weights=picks.weights[order],
        inclusion_prob=picks.inclusion_prob[order],
        scores=picks.scores[order],
        rank=np.arange(1, indices.size + 1, dtype=np.int64),
        reason=np.array([picks.reasons[i] for i in order], dtype=object),
        nearest_selected=None if why is None else why.nearest,
        strategy=strategy,
        params=resolved,
        seed=seed,
        certificate=certificate,
        sources=None if pool.sources is None else pool.sources[indices],
        strata=None if names is None else names[indices],
        distances=None if why is None else why.distances,
        represented_by=None if why is None else why.represented_by,
        represented_distance=None if why is None else why.represented_distance,
        item_ids=None if why is None else pool.ids,
    )


def _without_duplicates(
    pool: Pool, candidates: BoolArray, labelled: IntArray, eps: float, seed: int, note: Callable[[str], None]
) -> tuple[BoolArray, dict[str, Any]]:
    """Candidates that are no near-duplicates, and the list of those that are."""
    if len(pool.features) != 1:
        have = f"the pool has {list(pool.features)}" if pool.features else f"{pool.where} holds patterns only"
        raise InvalidInput(f"dedup compares global features under one backbone, {have}. Name one with backbones=.")
    space = feature_space(pool, "cosine", "dedup")
    note(f"near-duplicates under {space.backbone} (cosine distance below {eps:g}) ...")
    if not candidates.any():
        return candidates, {"eps": eps, "n_dropped": 0, "clusters": 0, "items": [], "duplicate_of": []}
    with usable(space, pool):
        found = near_duplicates(space, candidates, labelled, eps, seed)
    kept = candidates.copy()
    kept[found.items] = False
    note(f"dropped {found.items.size} near-duplicates")
    names = np.arange(pool.n_items) if pool.ids is None else pool.ids
    return kept, {
        "eps": eps,
        "n_dropped": int(found.items.size),
        "clusters": found.clusters,
        "items": names[found.items].tolist(),
        "duplicate_of": names[found.of].tolist(),
    }


def _usable(pool: Pool, labelled: Any) -> IntArray:
    """Positions of labelled items whose features can be used."""
    already = pool.positions(labelled, "labelled")
    return already[pool.valid[already]]


def available(pool: Pool, labelled: Any, exclude: Any) -> tuple[BoolArray, dict[str, int]]:
    """(n_items,) bool, items that may be picked; and how many are left out for what. Raises InvalidInput."""
    already, unwanted = pool.positions(labelled, "labelled"), pool.positions(exclude, "exclude")
    candidates = pool.valid.copy()
    candidates[already] = False
    candidates[unwanted] = False
    return candidates, {
        "n_items": pool.n_items,
        "n_invalid": int(np.count_nonzero(~pool.valid)),
        "n_labelled": int(already.size),
        "n_excluded": int(unwanted.size),
        "n_candidates": int(np.count_nonzero(candidates)),
    }


def gone(counts: dict[str, int]) -> str:
    """The counts as a part of a sentence for parse_budget."""
    named = [
        ("n_labelled", "labelled"),
        ("n_excluded", "excluded"),
        ("n_invalid", "invalid"),
        ("n_near_duplicates", "near-duplicates"),
    ]
    reasons = [f"{counts[key]} {word}" for key, word in named if counts.get(key)]
    return f" ({counts['n_items']} in the pool, {', '.join(reasons)})" if reasons else ""


def _strata(pool: Pool, strata: Any) -> npt.NDArray[np.object_] | None:
    if strata is None:
        return None
    if isinstance(strata, str):
        if strata not in pool.columns:
            known = f"its columns are {list(pool.columns)}" if pool.columns else "it has no columns"
            raise InvalidInput(f"strata names the column {strata!r}, but {pool.where} has no such: {known}.")
        values = pool.columns[strata]
        if all(value is None for value in values.tolist()):
            raise InvalidInput(f"strata names the column {strata!r} of {pool.where}, which is empty. Use another.")
    else:
        values = np.asarray(strata)
    if values.shape != (pool.n_items,):
        raise InvalidInput(f"strata must hold one stratum per item, shape ({pool.n_items},), got shape {values.shape}.")
    missing = [value is None or value != value for value in values.tolist()]
    named = [NO_STRATUM if gone else str(value) for value, gone in zip(values.tolist(), missing, strict=True)]
    return np.array([*named, None], dtype=object)[:-1]


def _parts(
    candidates: BoolArray,
    names: npt.NDArray[np.object_] | None,
    n_picks: int,
    quotas: Mapping[str, int] | None,
    labelled: IntArray,
) -> tuple[Part, ...]:
    rows = np.flatnonzero(candidates).astype(np.int64)
    if names is None:
        if quotas:
            raise InvalidInput("quotas need strata=: say which stratum each item belongs to.")
        return (Part("", rows, n_picks, labelled),)
    members, inverse = np.unique(names[rows].astype(str), return_inverse=True)
    by_stratum = {str(name): rows[inverse == index] for index, name in enumerate(members)}
    counts = allocate(n_picks, {name: value.size for name, value in by_stratum.items()}, quotas)
    return tuple(
        Part(name, value, counts[name], labelled[names[labelled] == name]) for name, value in by_stratum.items()
    )


def _warn_of_strata_without_picks(parts: Sequence[Part], quotas: Mapping[str, int]) -> None:
    without = [part.name for part in parts if not part.count and part.name not in quotas]
    if without:
        shown = ", ".join(map(repr, without[:5])) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
        warnings.warn(
            f"{len(without)} of {len(parts)} strata get no pick, because the budget is too small: {shown}. The "
            "weights speak for the other strata only. Raise the budget, or use fewer strata.",
            UserWarning,
            stacklevel=5,
        )
