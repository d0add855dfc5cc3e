"""Which item of a group of duplicates stays, so that each one left out has one that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .._types import BoolArray, IntArray
from .findings import Finding

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
