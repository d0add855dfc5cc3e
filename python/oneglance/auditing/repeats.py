"""Findings of items that repeat others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import BoolArray, IntArray
from .findings import Finding, Near, finding

MANY = 0.1
"""Share of near duplicates beyond which the threshold is more likely wrong than the pool: none is left out then."""


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
    alike: BoolArray,
    near: Near,
    *,
    cure: str,
    doubt: str,
    **more: Any,
) -> Finding:
    """The finding of chains of items that are near each other; which of them stay, standins.settled says.

    share        of the items that can be used that are linked to an earlier one; beyond MANY nothing is left out
    alike        (m,) bool: near the first of its group, as that one is itself
    cure, doubt  advice for a few, and for so many
    """
    few = share <= MANY
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
        drop=few & alike & (rows != groups),
        kept=np.where(alike, groups, rows) if few else None,
        near=near if few else None,
        **more,
    )
