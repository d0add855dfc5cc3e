"""Which item of a group of duplicates stays, so that each one left out has one that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._types import BoolArray, IntArray
from .findings import Finding, finding

MANY = 0.1
"""Share of near duplicates beyond which the threshold is more likely wrong than the pool: none is left out then."""


def standing(rows: IntArray, groups: IntArray, near: Callable[[IntArray, IntArray], BoolArray]) -> IntArray:
    """(m,) for every row the first one of its group that stays and is near it: itself where it stays.

    rows, groups   (m,), by group, ascending in each; a group's number is its lowest row (findings.of_groups)
    near           whether one[i] and other[i] are near each other

    The ends of a chain need not be alike: a row that is near no row that stays, stays itself. Cost: for each group
    its members times those that stay.
    """
    found = groups.copy()
    unlike = ~near(rows, groups)
    for group in np.unique(groups[unlike]).tolist():
        left = np.arange(*np.searchsorted(groups, [group, group + 1]))
        left = left[unlike[left]]
        while left.size:
            first = rows[left[0]]
            alike = near(rows[left], np.full(left.size, first))
            alike[0] = True
            found[left[alike]] = first
            left = left[~alike]
    return found


def exact_duplicates(
    about: str, what: str, measure: str, rows: IntArray, groups: IntArray, extra: BoolArray, n: int, **more: Any
) -> Finding:
    """The finding of groups of equal items, of n that can be used; extra: all but the first of each group."""
    return finding(
        "exact duplicates",
        "warning",
        about,
        what,
        value=extra.sum() / n,
        threshold=0,
        measure=measure,
        advice="Keep one of each group (--audit does); put groups on one side of a split.",
        rows=rows,
        groups=groups,
        drop=extra,
        kept=groups,
        **more,
    )


def near_duplicates(
    about: str,
    what: str,
    measure: str,
    rows: IntArray,
    groups: IntArray,
    share: float,
    near: Callable[[IntArray, IntArray], BoolArray],
    *,
    cure: str,
    doubt: str,
    **more: Any,
) -> Finding:
    """The finding of chains of items that are near each other (see `standing`).

    share        of the items that can be used that are linked to an earlier one; beyond MANY nothing is left out
    cure, doubt  advice for a few, and for so many
    """
    few = share <= MANY
    kept = standing(rows, groups, near) if few else None
    return finding(
        "near duplicates",
        "warning",
        about,
        what,
        value=share,
        threshold=0,
        measure=measure,
        advice=cure if few else f"{doubt} --audit leaves none of them out.",
        rows=rows,
        groups=groups,
        drop=False if kept is None else kept != rows,
        kept=kept,
        **more,
    )


def settled(findings: Sequence[Finding], n_items: int) -> list[Finding]:
    """The findings with `drop` and `kept` such that an item is left out as a repeat only where one that it repeats
    stays: what cannot be used, under any check, stands for nothing. Of two the first in the pool stays."""
    stays = np.ones(n_items, dtype=np.bool_)
    for one in findings:
        stays[one.rows[one.drop & (one.kept < 0) & ~one.outside]] = False
    exact: dict[int, list[tuple[int, int]]] = {}  # item -> (finding, group)
    lower: dict[int, list[int]] = {}  # item -> earlier ones that it is near
    edges: dict[int, list[tuple[int, int]]] = {}  # finding -> (later, earlier)
    for number, one in enumerate(findings):
        if (one.kept < 0).all():
            continue
        triples = zip(one.rows.tolist(), one.groups.tolist(), one.kept.tolist(), strict=True)
        if one.check == "exact duplicates":
            for row, group, _ in triples:
                exact.setdefault(row, []).append((number, group))
        else:
            edges[number] = [(max(row, kept), min(row, kept)) for row, _, kept in triples if row != kept]
            for later, earlier in edges[number]:
                lower.setdefault(later, []).append(earlier)
    first: dict[tuple[int, int], int] = {}  # (finding, group) -> its member that stays
    for item in sorted({*exact, *lower}):
        keys = exact.get(item, [])
        if any(key in first for key in keys) or any(stays[earlier] for earlier in lower.get(item, [])):
            stays[item] = False
        elif stays[item]:
            first.update(dict.fromkeys(keys, item))
    out = []
    for number, one in enumerate(findings):
        if number in edges:
            gone = {later: earlier for later, earlier in edges[number] if stays[earlier]}
            kept = [gone.get(row, row) for row in one.rows.tolist()]
        elif (one.kept >= 0).any():
            pairs = zip(one.rows.tolist(), one.groups.tolist(), strict=True)
            kept = [first.get((number, group), row) for row, group in pairs]
        else:
            out.append(one)
            continue
        stand = np.array(kept, dtype=np.int64)
        out.append(replace(one, kept=stand, drop=one.rows != stand))
    return out
