"""Findings about two pools: items that are in both, and how far the second is drawn otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import BoolArray, IntArray, RowShards
from ..errors import InvalidInput
from ..strategies.pairs import fixed_sample
from .feature_checks import Wanted
from .findings import Finding, counted, finding
from .links import bit_count
from .near import equal_rows, nearest_in
from .picture_checks import unreadable
from .picture_pass import PictureTable
from .picture_repeats import comparable, near_pictures
from .shift import LEAST_ROWS, shift

SHIFTED = 0.01
_SHOWN = 100
_LEAK = "Drop them from one side: a test that holds them measures memory."
_LIKE = "Look at a few pairs. The same things? Drop them from one side: a test that holds them measures memory."
_SAME = 1 - 1e-6
_EQUAL = 1e-3  # of the pool's spread: farther apart are rows that are more than rounding
_FOR_SPREAD, _PANEL = 1000, 8192


def _leaks(
    about: str,
    what: str,
    measure: str,
    pairs: list[tuple[int, int]],
    n: int,
    values: Any = None,
    *,
    surely: bool = True,
) -> Finding:
    """pairs: (position in the pool, position in the other) of what is in both; n: items of the other."""
    mine, theirs = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    both = np.concatenate([mine, theirs])
    return finding(
        "leakage" if surely else "likely leakage",
        "error" if surely else "warning",
        about,
        f"{counted(len(set(theirs.tolist())), 'item')} of the second pool {what} of the first.",
        value=len(set(theirs.tolist())) / max(1, n),
        threshold=0,
        measure=measure,
        advice=_LEAK if surely else _LIKE,
        rows=both,
        values=None if values is None else np.concatenate([values, values]),
        groups=np.concatenate([mine, mine]),
        outside=np.repeat([False, True], len(pairs)),
    )


def leaked_pictures(one: PictureTable, other: PictureTable, hamming: int) -> tuple[list[Finding], dict[str, Any]]:
    """Pictures of the other that have the same pixels as one of the first, or look like one: each with the nearest."""
    first: dict[bytes, int] = {}
    for row in np.flatnonzero(one.good).tolist():
        first.setdefault(one.digests[row].tobytes(), row)
    there = np.flatnonzero(other.good).tolist()
    same = {row: first[key] for row in there if (key := other.digests[row].tobytes()) in first}
    n_one = len(one)
    both = PictureTable(
        **{
            name: np.concatenate([getattr(one, name), getattr(other, name)])
            for name in one.__dataclass_fields__
            if not name.endswith("_s")
        },
        decode_s=0.0,
        score_s=0.0,
    )
    groups = near_pictures(both, comparable(both), hamming)
    linked = [row for row in there if row not in same and groups[n_one + row] < n_one]
    order = np.argsort(groups[:n_one], kind="stable")
    ends = np.searchsorted(groups[order], [groups[n_one + row] + side for row in linked for side in (0, 1)])
    alike = {}
    for row, (low, high) in zip(linked, ends.reshape(-1, 2).tolist(), strict=True):
        members = order[low:high]  # of the first, linked by chains: only the nearest says whether it is alike itself
        bits = bit_count(one.hashes[members] ^ other.hashes[row])
        if bits.min() <= hamming:
            alike[row] = int(members[bits.argmin()])
    findings = unreadable(other, outside=True)
    for found, what, measure, surely in (
        (same, "have the pixels of one", "share of the second pool with the pixels of a picture of the first", True),
        (alike, "look like one", f"share of the second pool within {hamming} of 64 bits of the first", False),
    ):
        if found:
            pairs = [(mine, theirs) for theirs, mine in found.items()]
            findings.append(_leaks("pictures", what, measure, pairs, len(there), surely=surely))
    unread = len(other) - len(there)
    return findings, {"same_pixels": len(same), "look_alike": len(alike), "n_unreadable": unread}


def unusable_rows(name: str, rows: IntArray, n: int) -> list[Finding]:
    """The finding of rows of the second pool, of n, that nothing can be compared with, if any."""
    if not rows.size:
        return []
    return [
        finding(
            "unusable",
            "error",
            name,
            f"{counted(rows.size, 'row')} of the second pool under {name} with NaN, infinity or zeros only.",
            value=rows.size / n,
            threshold=0,
            measure="share of rows of the second pool",
            advice="Embed these items again: nothing is compared with them.",
            rows=rows,
            outside=True,
        )
    ]


def check_widths(name: str, here: int, there: int) -> None:
    """Raises InvalidInput where a backbone has more features in one pool than in the other."""
    if here != there:
        raise InvalidInput(
            f'against: backbone "{name}" has {there} columns there and {here} here. Embed both pools with the same '
            "backbone."
        )


def compare_features(
    name: str,
    rows: RowShards,
    usable: BoolArray,
    other: RowShards,
    other_usable: BoolArray,
    *,
    wanted: Wanted,
    sample_rows: int,
    permutations: int,
) -> tuple[list[Finding], dict[str, Any]]:
    """Leakage and shift under one backbone, of one width.

    The tests of shift take rows as drawn one by one, so that of equal rows only one counts, in either pool.
    """
    findings, metrics = _leaked_rows(name, rows, usable, other, other_usable, wanted)
    there, there_other = _drawn_one_by_one(rows, usable, other, other_usable)
    if min(there.size // 2, there_other.size) < LEAST_ROWS:
        metrics["shift"] = (
            f"not tested: it takes {2 * LEAST_ROWS} usable rows here and {LEAST_ROWS} there, no two equal"
        )
        return findings, metrics
    wanted.note(f"shift under {name} ...")
    found = shift(rows, there, other, there_other, sample_rows=sample_rows, permutations=permutations, seed=wanted.seed)
    metrics["shift"] = found.as_dict()
    if found.p <= SHIFTED:
        order = np.argsort(-found.c2st.odds_y, kind="stable")[:_SHOWN]
        findings.append(
            finding(
                "shift",
                "warning",
                name,
                f"The second pool is drawn otherwise than the first under {name}: a linear classifier tells "
                f"{found.c2st.accuracy:.0%} of unseen rows apart (two halves of the first: "
                f"{found.half_c2st.accuracy:.0%}); Frechet distance {found.frechet:.3g} "
                f"(halves: {found.half_frechet:.3g}).",
                value=found.p,
                threshold=SHIFTED,
                measure="p value of the kernel and the classifier test, Bonferroni",
                advice="Labels of the first pool may not carry over: label some of the second, starting with those "
                "listed, which differ most.",
                rows=found.positions[order],
                values=found.c2st.odds_y[order],
                outside=True,
            )
        )
    return findings, metrics


def _drawn_one_by_one(
    rows: RowShards, usable: BoolArray, other: RowShards, other_usable: BoolArray
) -> tuple[IntArray, IntArray]:
    """Usable rows of both pools, of equal ones the first.

    Where there are equal ones, of as many rows drawn from each pool: among the distinct rows of a larger pool rare ones
    are more common, so that pools that are drawn alike would differ.
    """
    firsts = equal_rows(rows, usable), equal_rows(other, other_usable)
    there = [np.flatnonzero(mask).astype(np.int64) for mask in (usable, other_usable)]
    if any((first[part] != part).any() for first, part in zip(firsts, there, strict=True)):
        least = min(part.size for part in there)
        there = [part[fixed_sample(part, least)] for part in there]
    one, two = (np.unique(first[part]) for first, part in zip(firsts, there, strict=True))
    return one, two


def _leaked_rows(
    name: str, rows: RowShards, usable: BoolArray, other: RowShards, other_usable: BoolArray, wanted: Wanted
) -> tuple[list[Finding], dict[str, Any]]:
    if not usable.any() or not other_usable.any():
        return [], {"near": 0, "cosine": wanted.near}
    found, cosine = nearest_in(rows, usable, other, other_usable)
    if rows.dtype == other.dtype:  # of rows in one direction the nearest need not be the equal one
        both = RowShards((*rows.shards, *other.shards))
        first = equal_rows(both, np.concatenate([usable, other_usable]))[len(rows) :]
        found = np.where(other_usable & (first < len(rows)), first, found)
    equal = np.zeros(len(other), dtype=np.bool_)
    alike = np.flatnonzero(cosine >= _SAME)
    equal[alike] = _equal(rows, np.flatnonzero(usable), found[alike], other, alike)
    metrics = {
        "near": int(np.count_nonzero(cosine >= wanted.near)),
        "identical": int(np.count_nonzero(equal)),
        "cosine": wanted.near,
        "largest_cosine": float(np.nanmax(cosine)),
    }
    findings = []
    near = (cosine >= wanted.near) & ~equal
    for mask, surely, what, measure in (
        (equal, True, f"have the features of one under {name}", "equal to one of the first but for rounding"),
        (near, False, f"are of cosine {wanted.near:g} and more under {name} with one", f"of cosine {wanted.near:g}"),
    ):
        theirs = np.flatnonzero(mask)
        if theirs.size:
            pairs = list(zip(found[theirs].tolist(), theirs.tolist(), strict=True))
            measure = f"share of the second pool with an item {measure}"
            n = int(np.count_nonzero(other_usable))
            findings.append(_leaks(name, what, measure, pairs, n, cosine[theirs], surely=surely))
    return findings, metrics


def _equal(rows: RowShards, there: IntArray, mine: IntArray, other: RowShards, theirs: IntArray) -> BoolArray:
    """Which pairs are one row but for rounding: by how far rows of the pool lie apart, not by the cosine alone, which
    is near 1 for strangers too in few dimensions or around a large mean."""
    sample = rows.take(there[fixed_sample(there, _FOR_SPREAD)]).astype(np.float64)
    spread = float(np.sqrt(np.square(sample - sample.mean(axis=0)).sum(axis=1).mean()))
    rounding = 4 * max(float(np.finfo(part.dtype).eps) for part in (rows, other))
    same = np.zeros(mine.size, dtype=np.bool_)
    for start in range(0, mine.size, _PANEL):
        part = slice(start, start + _PANEL)
        one, two = rows.take(mine[part]).astype(np.float64), other.take(theirs[part]).astype(np.float64)
        reach = _EQUAL * spread + rounding * np.linalg.norm(one, axis=1)
        same[part] = np.linalg.norm(one - two, axis=1) <= reach
    return same
