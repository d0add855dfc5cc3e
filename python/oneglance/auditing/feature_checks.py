"""Findings about the features of one backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, IntArray, RowShards
from ..strategies.pairs import fixed_sample
from .clusters import cluster_rows
from .findings import Finding, counted, finding, of_groups
from .imbalance import association, evenness, surely_uneven
from .missing import constant_columns, read_rows
from .near import cosines, equal_rows, near_each_other, near_rows
from .repeats import exact_duplicates, near_duplicates
from .row_checks import SURE, check_reading, cut_off
from .spectrum import SAMPLE, spectrum

UNEVEN, TOGETHER, COLLAPSED = 5.0, 0.3, 0.1
_FEW = 20
_NO_KINDS = "not tested: it takes two clusters, and 2 .. 200 values with two items each on average"


@dataclass(frozen=True)
class Wanted:
    """What check_features is to do: near (least cosine of near duplicates), clusters (None: chosen), seed."""

    near: float
    clusters: int | None
    seed: int
    note: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, eq=False)
class Checked:
    """usable  (n,) bool: rows that can be used       likes  (n,) int64: the first row that repeats link a row to, exact
    ones only where so many are near that the backbone tells them apart badly"""

    findings: list[Finding]
    metrics: dict[str, Any]
    usable: BoolArray
    likes: IntArray


def check_features(
    name: str, rows: RowShards, valid: BoolArray, columns: Mapping[str, npt.NDArray[Any]], wanted: Wanted
) -> Checked:
    """A few readings of the rows beside the k-means."""
    wanted.note(f"features of {name}: {len(rows):,} x {rows.shape[1]} ...")
    reading = read_rows(rows, valid)
    usable = reading.usable & valid
    findings, missing = check_reading(name, rows, reading, valid, wanted.seed)
    there = np.flatnonzero(usable).astype(np.int64)
    metrics: dict[str, Any] = {
        "n_rows": int(valid.sum()),
        "n_dims": rows.shape[1],
        "n_unusable": int(np.count_nonzero(valid & ~usable)),
        "constant_columns": int(constant_columns(reading).size),
        "missing": missing,
    }
    if there.size < _FEW:
        metrics["note"] = f"{there.size} usable rows: fewer than {_FEW} say nothing about the pool"
        return Checked(findings, metrics, usable, np.arange(len(rows), dtype=np.int64))
    repeated, equal, likes = _duplicates(name, rows, usable, metrics, wanted)
    findings += cut_off(name, rows, reading, valid, equal != np.arange(len(rows)))
    findings += repeated
    findings += _kinds(name, rows, usable, columns, metrics, wanted)
    found = spectrum(rows.take(there[fixed_sample(there, SAMPLE)]))
    metrics["spectrum"] = asdict(found)
    if found.spread < COLLAPSED:
        findings.append(
            finding(
                "collapsed",
                "error",
                name,
                f"Features of {name} point nearly all the same way.",
                value=found.spread,
                threshold=COLLAPSED,
                measure="spread of directions, 1 on the whole sphere",
                advice="Check the backbone's weights and preprocessing, or subtract the mean.",
            )
        )
    return Checked(findings, metrics, usable, likes)


def _duplicates(
    name: str, rows: RowShards, usable: BoolArray, metrics: dict[str, Any], wanted: Wanted
) -> tuple[list[Finding], IntArray, IntArray]:
    """Findings, (n,) the first equal row of each, and (n,) the first one that repeats link it to."""
    there = np.flatnonzero(usable).astype(np.int64)
    equal = equal_rows(rows, usable)
    found = []
    same, groups, extra = of_groups(equal, there)
    metrics["exact_duplicates"] = int(extra.sum())
    if same.size:
        what = f"{counted(same.size, 'row')} in {counted(np.unique(groups).size, 'group')} of {name} are identical."
        measure = "share of rows that repeat another"
        found.append(exact_duplicates(name, what, measure, same, groups, extra, there.size, values=1.0))
    alone = usable & (equal == np.arange(len(rows)))
    near = near_rows(rows, alone, wanted.near, seed=wanted.seed, note=wanted.note)
    close, groups, extra = of_groups(near.groups, np.flatnonzero(alone).astype(np.int64))
    metrics["near_duplicates"] = {
        "cosine": wanted.near,
        "n_extra": int(extra.sum()),
        "n_groups": int(np.unique(groups).size),
        "largest_group": int(np.unique(groups, return_counts=True)[1].max()) if groups.size else 0,
        "n_cells": near.n_cells,
        "exact": near.exact,
        "pairs_checked": near.near_checked,
        "pairs_found": near.near_found,
    }
    if close.size:
        values = np.ones(close.size)
        values[extra] = cosines(rows, close[extra], groups[extra])
        n_groups = np.unique(groups).size
        found.append(
            near_duplicates(
                name,
                f"{counted(close.size, 'row')} of {name} in {counted(n_groups, 'group')} of cosine {wanted.near:g} and "
                "more.",
                f"share of rows with an earlier one of their group (cosine {wanted.near:g})",
                close,
                groups,
                float(extra.sum() / there.size),
                values >= wanted.near,
                lambda one, other: near_each_other(rows, one, other, wanted.near),
                cure="Look at a few groups: films, bursts, crops? Keep one of each (--audit does; of a chain as many "
                "as it takes), or raise --near.",
                doubt=f"So many that {name} may tell these pictures apart badly: look at a few groups, and raise "
                "--near.",
                values=values,
            )
        )
    trusted = all(one.near is not None for one in found if one.check == "near duplicates")
    return found, equal, near.groups[equal] if trusted else equal


def _kinds(
    name: str,
    rows: RowShards,
    usable: BoolArray,
    columns: Mapping[str, npt.NDArray[Any]],
    metrics: dict[str, Any],
    wanted: Wanted,
) -> list[Finding]:
    """How even the clusters are, and what they go together with."""
    kinds = cluster_rows(rows, usable, wanted.clusters, wanted.seed)
    even = evenness(kinds.counts)
    metrics["clusters"] = {
        "counts": np.sort(kinds.counts)[::-1].tolist(),
        "silhouettes": {str(k): value for k, value in kinds.silhouettes.items()},
        **even,
    }
    found = []
    ratio = surely_uneven(kinds.counts)
    if ratio >= UNEVEN:
        small = int(np.where(kinds.counts > 0, kinds.counts, kinds.counts.max() + 1).argmin())
        found.append(
            finding(
                "imbalance",
                "warning",
                name,
                f"Of {kinds.counts.size} clusters of {name} the largest has {int(kinds.counts.max()):,} items, the "
                f"smallest {int(kinds.counts[small]):,}; all count as {even['effective_clusters']:.1f} even ones.",
                value=ratio,
                threshold=UNEVEN,
                measure="largest over smallest cluster, less chance",
                advice="Random picks will miss the small kinds: use a strategy of coverage, or --strata.",
                rows=np.flatnonzero(kinds.labels == small),
            )
        )
    metrics["associations"] = {}
    there = np.flatnonzero(usable)
    for column, values in columns.items():
        together = association(kinds.labels[there], values[there].tolist(), wanted.seed)
        if together is None:
            n_values = len({str(value) for value in values[there].tolist() if value is not None})
            if n_values:
                metrics["associations"][column] = _NO_KINDS
            if n_values > 1:
                wanted.note(f"column {column} and clusters of {name}: {_NO_KINDS}")
            continue
        metrics["associations"][column] = asdict(together)
        if column != "label" and together.cramers_v >= TOGETHER and together.p <= SURE:
            found.append(
                finding(
                    "goes with a column",
                    "warning",
                    name,
                    f"Clusters of {name} go together with the column {column}.",
                    value=together.cramers_v,
                    threshold=TOGETHER,
                    measure=f"Cramer's V (p {together.p:.2g}, {together.n_values} values)",
                    advice="A backbone that sees the source may learn it: spread labels over it with --strata, and "
                    "split by it with --groups.",
                )
            )
    return found
