"""Which items may be picked, and what became of the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .._types import BoolArray, IntArray
from ..errors import InvalidInput
from .dedup import near_duplicates
from .goals import Goals
from .groups import Groups
from .pool import Pool
from .relevance import off_topic, read_queries
from .space import feature_space, usable

_FEW = 1e-3  # a share of items on topic below which a topic filter is suspicious


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


def usable_labelled(pool: Pool, labelled: Any) -> IntArray:
    """Positions of labelled items whose features can be used."""
    already = pool.positions(labelled, "labelled")
    return already[pool.valid[already]]


def gone(counts: dict[str, int]) -> str:
    """The counts as a part of a sentence for parse_budget."""
    named = [
        ("n_labelled", "labelled"),
        ("n_excluded", "excluded"),
        ("n_invalid", "invalid"),
        ("n_in_full_groups", "in full groups"),
        ("n_off_topic", "off topic"),
        ("n_near_duplicates", "near-duplicates"),
    ]
    reasons = [f"{counts[key]} {word}" for key, word in named if counts.get(key)]
    return f" ({counts['n_items']} in the pool, {', '.join(reasons)})" if reasons else ""


def narrowed(
    pool: Pool,
    labelled: Any,
    exclude: Any,
    groups: Groups | None,
    goals: Goals,
    eps: float | None,
    seed: int,
    note: Callable[[str], None],
) -> tuple[BoolArray, dict[str, int], dict[str, Any]]:
    """Candidates, counts of what is left out, and what a certificate lists of it: available ones less those of groups
    that are full, then those off topic, then near-duplicates (dedup=eps)."""
    candidates, counts = available(pool, labelled, exclude)
    listed: dict[str, Any] = {}

    def keep(left: BoolArray, name: str) -> None:
        nonlocal candidates
        counts[name] = counts["n_candidates"] - int(np.count_nonzero(left))
        counts["n_candidates"] -= counts[name]
        candidates = left

    if groups is not None:
        keep(candidates & ~groups.full(), "n_in_full_groups")
    if goals.relevant_to is not None:
        left, listed["relevance"] = _on_topic(pool, candidates, goals, note)
        keep(left, "n_off_topic")
    if eps is not None:
        left, listed["dedup"] = _without_duplicates(pool, candidates, usable_labelled(pool, labelled), eps, seed, note)
        keep(left, "n_near_duplicates")
    return candidates, counts, listed


def _on_topic(
    pool: Pool, candidates: BoolArray, goals: Goals, note: Callable[[str], None]
) -> tuple[BoolArray, dict[str, Any]]:
    """Candidates that pass the test against the queries, and the list of those that do not."""
    share = float(goals.relevance)
    queries = read_queries(pool, goals.relevant_to, share)
    note(f"relevance to {queries.n} queries under {', '.join(pool.features)} ...")
    found = off_topic(pool, queries, candidates, share)
    kept = candidates.copy()
    kept[found.items] = False
    n_tested = int(np.count_nonzero(candidates)) - int(np.count_nonzero(candidates[queries.items]))
    note(f"dropped {found.items.size} of {n_tested} items as off topic")
    n_kept = n_tested - found.items.size
    if n_tested and not found.items.size:
        warnings.warn(
            "relevant_to drops nothing: every item is as close to the queries as they are to each other. The pool is "
            "on topic, or the queries are so diverse that they tell nothing.",
            UserWarning,
            stacklevel=5,
        )
    elif n_kept < _FEW * n_tested:
        warnings.warn(
            f"relevant_to drops {found.items.size} of {n_tested} items and keeps {n_kept}. Are the queries from the "
            "same source as the pool, and embedded alike?",
            UserWarning,
            stacklevel=5,
        )
    names = np.arange(pool.n_items) if pool.ids is None else pool.ids
    return kept, {
        "relevance": share,
        "n_queries": queries.n,
        "n_dropped": int(found.items.size),
        "items": names[found.items].tolist(),
        "p_values": found.p.tolist(),
    }


def check_dedup(pool: Pool) -> None:
    """Raises InvalidInput where near-duplicates cannot be told: under several backbones, or none."""
    if len(pool.features) != 1:
        have = f"the pool has {list(pool.features)}" if pool.features else f"{pool.where} holds patterns only"
        raise InvalidInput(f"dedup compares global features under one backbone, {have}. Name one with backbones=.")


def _without_duplicates(
    pool: Pool, candidates: BoolArray, labelled: IntArray, eps: float, seed: int, note: Callable[[str], None]
) -> tuple[BoolArray, dict[str, Any]]:
    """Candidates that are no near-duplicates, and the list of those that are."""
    check_dedup(pool)
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
