"""Findings about single rows and columns of features, from one reading of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from .._types import BoolArray, IntArray, RowShards
from ..strategies.pairs import fixed_sample
from .clusters import cluster_rows
from .findings import Finding, counted, finding
from .imbalance import association
from .missing import (
    HUGE,
    OUTLYING,
    TINY,
    RowReading,
    common_patterns,
    constant_columns,
    norm_outliers,
    read_rows,
    saturated_columns,
)

SURE = 1e-3
_FEW = 20
_MISSING = (0.005, 0.995)


def check_reading(
    name: str, rows: RowShards, reading: RowReading, valid: BoolArray, seed: int
) -> tuple[list[Finding], dict[str, Any]]:
    """Findings, and the figures of what is missing."""
    findings = _broken(name, reading, valid) + _norms(name, reading)
    if valid.sum() > 1:
        findings += _columns(
            "constant columns",
            name,
            constant_columns(reading),
            "never change",
            "They carry nothing: harmless, or a damaged backbone if there are many.",
            rows.shape[1],
        )
    figures = _missing_figures(reading, rows.shape[1])
    if reading.nan.any():
        findings += _missing_by_cluster(name, rows, reading, valid, figures, seed)
    return findings, figures


def _broken(name: str, reading: RowReading, valid: BoolArray) -> list[Finding]:
    kinds = (
        ("missing values", "NaN", reading.nan > 0),
        ("infinite values", f"infinite values, or beyond {HUGE:g}", (reading.inf > 0) & (reading.nan == 0)),
        ("zeros only", f"zeros only, or below {TINY:g}", reading.zero),
    )
    return [
        finding(
            check,
            "error",
            name,
            f"{counted(rows.size, 'row')} of {name} with {what}.",
            value=rows.size / max(1, int(valid.sum())),
            threshold=0,
            measure="share of rows",
            advice="Embed these items again, or leave them out (--audit does).",
            rows=rows,
            values=(reading.nan + reading.inf)[rows],
            drop=True,
        )
        for check, what, mask in kinds
        if (rows := np.flatnonzero(mask)).size
    ]


def cut_off(name: str, rows: RowShards, reading: RowReading, valid: BoolArray, repeats: BoolArray) -> list[Finding]:
    """The finding of columns whose values were cut off, if any: of rows that are equal only the first counts."""
    columns = saturated_columns(reading, int(valid.sum()))
    if columns.size and repeats.any():
        distinct = valid & ~repeats
        columns = saturated_columns(read_rows(rows, distinct), int(distinct.sum()))
    return _columns(
        "saturated columns",
        name,
        columns,
        "stop at one largest or least value",
        "Values were cut off (dtype, clipping): compute them in a wider range.",
        rows.shape[1],
    )


def _columns(check: str, name: str, columns: IntArray, what: str, advice: str, n_dims: int) -> list[Finding]:
    if not columns.size:
        return []
    shown = ", ".join(map(str, columns[:5])) + (f" and {columns.size - 5} more" if columns.size > 5 else "")
    return [
        finding(
            check,
            "note",
            name,
            f"{counted(columns.size, 'feature')} of {name} {what}: {shown}.",
            value=columns.size / n_dims,
            threshold=0,
            measure="share of features",
            advice=advice,
        )
    ]


def _norms(name: str, reading: RowReading) -> list[Finding]:
    rows, middle, reach = norm_outliers(np.where(reading.zero, np.nan, reading.norms))
    if not rows.size or np.count_nonzero(reading.usable) < _FEW:  # of a few rows the deviation is chance
        return []
    away = np.abs(reading.norms[rows] - middle)
    return [
        finding(
            "norm outliers",
            "warning",
            name,
            f"{counted(rows.size, 'row')} of {name} far longer or shorter than others.",
            value=float(away.max() / reach * OUTLYING),
            threshold=OUTLYING,
            measure="distance from the median norm, in 1.4826 median deviations",
            advice="Look at them: broken pictures, another kind, or a tail that is real.",
            rows=rows,
            values=reading.norms[rows],
        )
    ]


def _missing_figures(reading: RowReading, n_dims: int) -> dict[str, Any]:
    rate = reading.column_nan / max(1, reading.nan.size)
    return {
        "n_rows": int(np.count_nonzero(reading.nan)),
        "n_columns": int(np.count_nonzero(reading.column_nan)),
        "worst_row": float(reading.nan.max() / n_dims),
        "worst_column": float(rate.max()),
        "patterns": common_patterns(reading, n_dims),
    }


def _missing_by_cluster(
    name: str, rows: RowShards, reading: RowReading, valid: BoolArray, figures: dict[str, Any], seed: int
) -> list[Finding]:
    """Are rows with NaN of a special kind? Clusters of the columns that are never NaN, against having a NaN."""
    whole = np.flatnonzero(reading.column_nan == 0)
    share = float((reading.nan[valid] > 0).mean())
    if whole.size < 2 or not _MISSING[0] < share < _MISSING[1]:
        figures["by_cluster"] = "not tested: too few columns without NaN, or too few rows with or without"
        return []
    there = np.flatnonzero(valid & (reading.inf == 0))
    some = there[fixed_sample(there, 5000)]
    block = np.ascontiguousarray(rows.take(some)[:, whole])
    some, block = some[block.any(axis=1)], block[block.any(axis=1)]
    found = None
    if some.size >= _FEW:
        labels = cluster_rows(RowShards((block,)), np.ones(some.size, dtype=np.bool_), 8, seed).labels
        found = association(labels, ["missing" if count else "whole" for count in reading.nan[some]], seed)
    if found is None:
        figures["by_cluster"] = "not tested: too few rows, or all of one kind"
        return []
    figures["by_cluster"] = asdict(found)
    if found.p > SURE:
        return []
    return [
        finding(
            "missing not by chance",
            "warning",
            name,
            f"Rows of {name} with NaN are of special kinds: leaving them out biases the pool.",
            value=found.p,
            threshold=SURE,
            measure="p value, cluster against missing",
            advice="Find out what these items have in common before you drop them.",
        )
    ]
