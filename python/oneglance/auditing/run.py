"""audit(): what is wrong with a pool, before anybody labels it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._check import positive_int, positive_number, seed_int
from .._types import BoolArray, IntArray
from ..errors import InvalidInput
from ..features.pictures import MAX_PIXELS
from ..features.progress import Callback
from .against import check_widths, compare_features, leaked_pictures, unusable_rows
from .clusters import SAMPLE
from .feature_checks import Wanted, check_features
from .findings import SEVERITIES, Finding, counted, finding
from .known import judge, known_columns, known_labels
from .missing import read_rows
from .opening import Material, common_backbones, open_material
from .picture_checks import check_pictures
from .picture_file import PictureFile
from .picture_pass import PictureTable, read_pictures
from .result import Audit
from .standins import settled

NEAR, HAMMING, PERMUTATIONS, SAMPLE_ROWS = 0.95, 4, 500, 2000
SEEN = (".pictures.npz", ".against.npz")
"""Files of a checkpoint."""

LEAST_PERMUTATIONS = 199
"""With fewer the kernel test alone could never raise the alarm."""


def audit(
    source: Any,
    *,
    pictures: Any = None,
    against: Any = None,
    against_pictures: Any = None,
    labels: Any = None,
    columns: Mapping[str, Any] | None = None,
    backbones: Sequence[str] | None = None,
    near: float = NEAR,
    hamming: int = HAMMING,
    clusters: int | None = None,
    permutations: int = PERMUTATIONS,
    sample_rows: int = SAMPLE_ROWS,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    progress: bool | Callable[[str], None] | None = None,
    picture_progress: Callback | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Audit:
    """Looks for what is wrong with a pool of pictures, features, or both: needs no labels and changes nothing.

    source       pictures as og.embed takes them (folder, list file, paths, PIL images, uint8 arrays), or a feature
                 store or its path, or arrays by backbone
    pictures     the pictures of a source of features (ids as in the store, or in the same order)
    against      a second pool of the same kind, such as a test set or last month's: leakage and shift.
                 against_pictures: its pictures
    labels       for the suitability of backbones: one per item (None, NaN, "" and -1 for none), {item id or position:
                 class}, or the name of a column of the store
    columns      what else is known of the items (site, camera, day), by name, one entry per item, None, NaN or "" for
                 unknown: do clusters go with it? A store's own columns and the folders of its sources count as well
    near         least cosine of near duplicates            hamming   most different bits, of 64, of look-alikes
    clusters     how many for imbalance, 1 .. 1000; None: as many kinds as the silhouette finds, 2 .. 50
    permutations of the kernel test                         sample_rows  most rows of each pool in the tests of shift
    workers      decoding processes; None: one per core, 0: none
    progress     called with one-line notes; True prints them on stderr.  picture_progress  gets Progress objects
    checkpoint   folder for what was seen of picture files: the same call goes on from there after a kill; it is left

    Pictures: each is decoded once; unreadable files, exposure, blur, size, mode, grey, pixels that repeat, look-alikes.
    Features of every backbone: NaN and how it is missing, infinity, zeros, constant and saturated columns, norms,
    repeats, near duplicates, evenness of clusters, clusters that go together with a column (stratum, group, folder),
    rank and collapse; with labels LogME, purity of neighbours and a probe. Against a second pool: leakage, kernel and
    classifier tests and Frechet distance, each beside what two halves of the first pool give.
    Same arguments, same build: same findings. Memory: O(n + d^2 + sample). Raises InvalidInput, StoreError.
    """
    began_s = time.perf_counter()
    say = _speaker(progress)
    near = positive_number(near, "near")
    if near >= 1:
        raise InvalidInput(f"near is a cosine below 1, got {near:g}. Rows that are equal are always found.")
    if isinstance(hamming, bool) or not isinstance(hamming, (int, np.integer)) or not 0 <= hamming <= 16:
        raise InvalidInput(f"hamming must be an integer in 0..16 (of 64 bits), got {hamming!r}.")
    if positive_int(permutations, "permutations") < LEAST_PERMUTATIONS:
        raise InvalidInput(
            f"permutations must be at least {LEAST_PERMUTATIONS}, for p values of 0.01 and less after doubling "
            f"(two tests), got {permutations}."
        )
    if positive_int(sample_rows, "sample_rows") < 100:
        raise InvalidInput(f"sample_rows must be at least 100, got {sample_rows}.")
    if clusters is not None and positive_int(clusters, "clusters") > SAMPLE:
        raise InvalidInput(
            f"clusters must be at most {SAMPLE}, the rows of the sample that finds them, got {clusters}."
        )
    wanted = Wanted(near, clusters, seed_int(seed), say)
    mine = open_material(source, pictures, backbones, "source", max_pixels)
    theirs = None if against is None else open_material(against, against_pictures, backbones, "against", max_pixels)
    if theirs is not None:
        _check_alike(mine, theirs)
    if mine.pool is None and (labels is not None or columns):
        given = "labels" if labels is not None else "columns"
        raise InvalidInput(f"{given} are held against features, and source holds pictures only. Embed them first.")
    known = {**mine.columns, **known_columns(columns or {}, mine.n_items)}
    classes = None if labels is None or mine.pool is None else known_labels(mine.pool, labels)
    findings: list[Finding] = _invalid(mine)
    metrics: dict[str, Any] = {}
    tables = [
        None
        if one is None or one.pictures is None
        else read_pictures(
            one.pictures,
            workers=workers,
            callback=picture_progress,
            kept=None if checkpoint is None else PictureFile(Path(checkpoint) / name, one.pictures),
        )
        for one, name in zip((mine, theirs), SEEN, strict=True)
    ]
    if tables[0] is not None:
        found, metrics["pictures"] = check_pictures(tables[0], int(hamming))
        findings += [_renumbered(one, mine.rows, None) for one in found]
    usable: dict[str, BoolArray] = {}
    likes: dict[str, IntArray] = {}
    if mine.pool is not None:
        metrics["features"] = {}
        for name, rows in mine.pool.features.items():
            checked = check_features(name, rows, mine.pool.valid, known, wanted)
            findings += checked.findings
            metrics["features"][name] = checked.metrics
            usable[name], likes[name] = checked.usable, checked.likes
        if classes is not None:
            judge(mine.pool, usable, likes, *classes, metrics, wanted)
    findings = settled(findings, mine.n_items)
    if theirs is not None:
        found, metrics["against"] = _compare(mine, theirs, tables, usable, int(hamming), wanted, sample_rows,
                                             permutations)  # fmt: skip
        findings += found
    findings.sort(key=lambda one: SEVERITIES.index(one.severity))
    read = [table for table in tables if table is not None]
    seconds = {
        "decoding": sum(table.decode_s for table in read),
        "scoring": sum(table.score_s for table in read),
        "all": time.perf_counter() - began_s,
    }
    return Audit(
        tuple(findings),
        metrics,
        mine.n_items,
        0 if theirs is None else theirs.n_items,
        mine.ids,
        None if theirs is None else theirs.ids,
        mine.where,
        seconds,
    )


def _speaker(progress: bool | Callable[[str], None] | None) -> Callable[[str], None]:
    if callable(progress):
        return progress
    return (lambda text: print(text, file=sys.stderr)) if progress else (lambda _: None)


def _check_alike(mine: Material, theirs: Material) -> None:
    """Something of both can be compared, and what can has the same width. Raises InvalidInput."""
    common = common_backbones(mine, theirs)
    if mine.pool is not None and theirs.pool is not None:
        for name, other in common.items():
            check_widths(name, mine.pool.features[name].shape[1], theirs.pool.features[other].shape[1])
    if not common and (mine.pictures is None or theirs.pictures is None):
        told = [
            f"{one.where} has " + ("pictures" if one.pool is None else f"features of {list(one.pool.features)}")
            for one in (mine, theirs)
        ]
        raise InvalidInput(
            f"against cannot be compared: {' and '.join(told)}. Both need pictures, or a backbone of the same name."
        )


def _invalid(one: Material, *, outside: bool = False) -> list[Finding]:
    """Items that the store lists as invalid; outside: that of the second pool."""
    rows = np.flatnonzero(~one.pool.valid) if one.pool is not None else np.empty(0, dtype=np.int64)
    if not rows.size:
        return []
    return [
        finding(
            "invalid",
            "error",
            "the store",
            f"{counted(rows.size, 'item')}{' of the second pool' * outside} could not be embedded.",
            value=rows.size / one.n_items,
            threshold=0,
            measure="share of items",
            advice="Nothing is compared with them; the detail says why."
            if outside
            else "select leaves them out; the detail says why.",
            rows=rows,
            details=[one.reasons.get(int(row), "") for row in rows],
            drop=not outside,
            outside=outside,
        )
    ]


def _renumbered(one: Finding, rows: IntArray, others: IntArray | None) -> Finding:
    """Positions of pictures as positions of items; groups too."""
    where = one.rows.copy()
    where[~one.outside] = rows[one.rows[~one.outside]]
    if others is not None:
        where[one.outside] = others[one.rows[one.outside]]
    groups, kept = (np.where(of >= 0, rows[np.maximum(of, 0)], -1) for of in (one.groups, one.kept))
    return replace(one, rows=where, groups=groups, kept=kept)


def _compare(
    mine: Material,
    theirs: Material,
    tables: list[PictureTable | None],
    usable: dict[str, BoolArray],
    hamming: int,
    wanted: Wanted,
    sample_rows: int,
    permutations: int,
) -> tuple[list[Finding], dict[str, Any]]:
    findings: list[Finding] = _invalid(theirs, outside=True)
    metrics: dict[str, Any] = {}
    if tables[0] is not None and tables[1] is not None:
        found, metrics["pictures"] = leaked_pictures(tables[0], tables[1], hamming)
        findings += [_renumbered(one, mine.rows, theirs.rows) for one in found]
    if mine.pool is not None and theirs.pool is not None:
        common = common_backbones(mine, theirs)
        for name, rows in mine.pool.features.items():
            if name not in common:
                metrics[name] = {"note": "the second pool has no features of it"}
                continue
            other = theirs.pool.features[common[name]]
            other_usable = read_rows(other, theirs.pool.valid).usable & theirs.pool.valid
            lost = np.flatnonzero(theirs.pool.valid & ~other_usable)
            findings += unusable_rows(common[name], lost, len(other))
            found, metrics[name] = compare_features(
                name, rows, usable[name], other, other_usable,
                wanted=wanted, sample_rows=sample_rows, permutations=permutations,
            )  # fmt: skip
            metrics[name]["n_unusable"] = int(lost.size)
            findings += found
    return findings, metrics
