"""Pictures that repeat others: the same pixels, or perceptual hashes of few different bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import BoolArray, IntArray
from .findings import Finding, counted, finding, of_groups
from .links import Groups, bit_count, hamming_links
from .picture_pass import PictureTable
from .repeats import MANY, standing

FLAT = 0.3
"""A tenth of the entropy in bits below which a picture carries little information, and its hash is noise."""


def repeated_pictures(table: PictureTable, hamming: int, metrics: dict[str, Any]) -> list[Finding]:
    """Findings of at least one readable picture; adds how many there are to the metrics."""
    there = np.flatnonzero(table.good)
    exact = _first_equal(table, there)
    rows, groups, extra = of_groups(exact, there)
    metrics["exact_duplicates"] = int(extra.sum())
    found = []
    if rows.size:
        found.append(
            finding(
                "exact duplicates",
                "warning",
                "pictures",
                f"{counted(rows.size, 'picture')} in {counted(np.unique(groups).size, 'group')} have the same pixels.",
                value=extra.sum() / there.size,
                threshold=0,
                measure="share of pictures that repeat another",
                advice="Keep one of each group (--audit does); put groups on one side of a split.",
                rows=rows,
                groups=groups,
                drop=extra,
                kept=groups,
            )
        )
    likeness = near_pictures(table, comparable(table) & (exact == np.arange(len(table))), hamming)
    rows, groups, extra = of_groups(likeness, there)
    metrics["near_duplicates"] = int(extra.sum())
    if rows.size:
        found.append(_look_alikes(table, rows, groups, float(extra.sum() / there.size), hamming))
    return found


def _look_alikes(table: PictureTable, rows: IntArray, groups: IntArray, share: float, hamming: int) -> Finding:
    hashes, kept = table.hashes, None
    advice = (
        "So many that the hash may tell these pictures apart badly (one camera, one texture): look at a few groups, "
        "and lower --hamming. --audit leaves none of them out."
    )
    if share <= MANY:
        kept = standing(rows, groups, lambda one, other: bit_count(hashes[one] ^ hashes[other]) <= hamming)
        advice = (
            "Look at a few groups; keep one of each (--audit does; of a chain as many as it takes), or lower --hamming."
        )
    return finding(
        "near duplicates",
        "warning",
        "pictures",
        f"{counted(rows.size, 'picture')} in {counted(np.unique(groups).size, 'group')} look alike (perceptual hash).",
        value=share,
        threshold=0,
        measure=f"share of pictures linked to an earlier one by {hamming} of 64 bits",
        advice=advice,
        rows=rows,
        groups=groups,
        drop=False if kept is None else kept != rows,
        kept=kept,
    )


def _first_equal(table: PictureTable, there: IntArray) -> IntArray:
    """(n,) the first picture with the same pixels."""
    lowest = np.arange(len(table), dtype=np.int64)
    first: dict[bytes, int] = {}
    for row in there.tolist():
        lowest[row] = first.setdefault(table.digests[row].tobytes(), row)
    return lowest


def comparable(table: PictureTable) -> BoolArray:
    """Pictures with enough information for a perceptual hash: of flat ones it is noise."""
    with np.errstate(invalid="ignore"):
        return np.asarray(table.good & (0.1 * table.entropy >= FLAT))


def near_pictures(table: PictureTable, used: BoolArray, hamming: int) -> IntArray:
    """(n,) the lowest used picture that chains of perceptual hashes link to."""
    there = np.flatnonzero(used)
    groups = Groups(len(table))
    for one, other in hamming_links(table.hashes[there], hamming):
        groups.link(there[one], there[other])
    return groups.lowest()
