"""Pictures that repeat others: the same pixels, or perceptual hashes of few different bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import BoolArray, IntArray
from .findings import Finding, counted, of_groups
from .links import Groups, bit_count, hamming_links
from .picture_pass import PictureTable
from .picture_scores import SCORED_SIDE
from .repeats import exact_duplicates, near_duplicates

FLAT = 0.3
"""A tenth of the entropy in bits below which a picture carries little information, and its hash is noise."""

_LINES = 8
"""Of a picture that is scored at fewer lines or columns most of the 64 coefficients of its hash are noise."""


def repeated_pictures(table: PictureTable, hamming: int, metrics: dict[str, Any]) -> list[Finding]:
    """Findings of at least one readable picture; adds how many there are to the metrics."""
    there = np.flatnonzero(table.good)
    exact = _first_equal(table, there)
    rows, groups, extra = of_groups(exact, there)
    metrics["exact_duplicates"] = int(extra.sum())
    found = []
    if rows.size:
        what = f"{counted(rows.size, 'picture')} in {counted(np.unique(groups).size, 'group')} have the same pixels."
        measure = "share of pictures that repeat another"
        found.append(exact_duplicates("pictures", what, measure, rows, groups, extra, there.size))
    likeness = near_pictures(table, comparable(table) & (exact == np.arange(len(table))), hamming)
    rows, groups, extra = of_groups(likeness, there)
    metrics["near_duplicates"] = int(extra.sum())
    if rows.size:
        hashes = table.hashes
        n_groups = np.unique(groups).size
        found.append(
            near_duplicates(
                "pictures",
                f"{counted(rows.size, 'picture')} in {counted(n_groups, 'group')} look alike (perceptual hash).",
                f"share of pictures linked to an earlier one by {hamming} of 64 bits",
                rows,
                groups,
                float(extra.sum() / there.size),
                bit_count(hashes[rows] ^ hashes[groups]) <= hamming,
                lambda one, other: bit_count(hashes[one][:, None] ^ hashes[other]) <= hamming,
                cure="Look at a few groups; keep one of each (--audit does; of a chain as many as it takes), or lower "
                "--hamming.",
                doubt="So many that the hash may tell these pictures apart badly (one camera, one texture): look at a "
                "few groups, and lower --hamming.",
            )
        )
    return found


def _first_equal(table: PictureTable, there: IntArray) -> IntArray:
    """(n,) the first picture with the same pixels."""
    lowest = np.arange(len(table), dtype=np.int64)
    first: dict[bytes, int] = {}
    for row in there.tolist():
        lowest[row] = first.setdefault(table.digests[row].tobytes(), row)
    return lowest


def comparable(table: PictureTable) -> BoolArray:
    """Pictures with enough information for a perceptual hash: of flat ones it is noise, and of very narrow ones, whose
    shorter side is averaged by what the longer one needs."""
    box = -(-np.maximum(table.width, table.height) // SCORED_SIDE)
    lines = -(-np.minimum(table.width, table.height) // np.maximum(box, 1))
    with np.errstate(invalid="ignore"):
        return np.asarray(table.good & (0.1 * table.entropy >= FLAT) & (lines >= _LINES))


def near_pictures(table: PictureTable, used: BoolArray, hamming: int) -> IntArray:
    """(n,) the lowest used picture that chains of perceptual hashes link to."""
    there = np.flatnonzero(used)
    groups = Groups(len(table))
    for one, other in hamming_links(table.hashes[there], hamming):
        groups.link(there[one], there[other])
    return groups.lowest()
