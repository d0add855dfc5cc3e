"""What audit() returns, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .._types import BoolArray, IntArray
from ..errors import MissingDependency
from ..store.files import json_bytes, make_folder, plain, write_atomic
from ..strategies.result import write_table
from .findings import SEVERITIES, Finding
from .report import report_lines

FILES = ("findings.parquet", "audit.md", "audit.json")


@dataclass(frozen=True, eq=False)
class Audit:
    """What is wrong with a pool.

    findings   worst first: errors, warnings, notes; a clean pool has none
    metrics    all figures: "pictures", "features" (by backbone), "against" (by backbone and "pictures"), "caution"
    n_items, n_against   items of the pool, of the second one (0 without)
    ids, against_ids     (n,) str objects, None where items have positions only
    where      what was audited
    seconds    spent in "decoding", "scoring" (both over all workers) and "all"; in no file: they differ every time
    """

    findings: tuple[Finding, ...]
    metrics: Mapping[str, Any]
    n_items: int
    n_against: int
    ids: npt.NDArray[np.object_] | None
    against_ids: npt.NDArray[np.object_] | None
    where: str
    seconds: Mapping[str, float] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{n} {severity}{'s' * (n != 1)}"
            for severity in SEVERITIES
            if (n := sum(found.severity == severity for found in self.findings))
        )
        return f"Audit({self.where}, {self.n_items:,} items: {counts or 'nothing found'})"

    def find(self, check: str, about: str | None = None) -> Finding | None:
        """The first finding of this check (about this backbone or "pictures"); None where there is none."""
        return next((one for one in self.findings if one.check == check and about in (None, one.about)), None)

    def dropped(self) -> dict[str, IntArray]:
        """Positions to leave out of a selection by the check that says so, each item under its first check: what
        cannot be used, and duplicates of what stays: all but the first of every group, of a chain of near ones those
        that are near one that stays."""
        left: BoolArray = np.ones(self.n_items, dtype=np.bool_)
        out: dict[str, IntArray] = {}
        for found in self.findings:
            rows = np.unique(found.rows[found.drop & ~found.outside])
            rows = rows[left[rows]]
            if rows.size:
                left[rows] = False
                name = f"{found.check} ({found.about})"
                out[name] = np.concatenate([out[name], rows]) if name in out else rows
        return out

    def exclude(self) -> npt.NDArray[Any]:
        """Ids (positions where there are none) of all items to leave out: og.select(..., exclude=audit.exclude())."""
        rows = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *self.dropped().values()]))
        return rows if self.ids is None else self.ids[rows]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the items' names, for JSON: numbers that do not exist are None."""
        return {
            "where": self.where,
            "ids": self.ids is not None,
            "n_items": self.n_items,
            "n_against": self.n_against,
            "findings": [
                {
                    "check": one.check,
                    "severity": one.severity,
                    "about": one.about,
                    "what": one.what,
                    "value": plain(one.value),
                    "threshold": plain(one.threshold),
                    "measure": one.measure,
                    "advice": one.advice,
                    "n_items": one.n_items,
                    "n_drop": int(np.count_nonzero(one.drop)),
                }
                for one in self.findings
            ],
            "leave_out": {name: int(rows.size) for name, rows in self.dropped().items()},
            "metrics": plain(self.metrics),
        }

    def to_table(self) -> pa.Table:
        """A pyarrow Table, one row per finding and item: finding (its number), check, severity, about, pool ("pool" or
        "against"), row_id, item_id (str), value, group, drop, detail, kept_id (str: the item that stays for one that is
        left out as a repeat)."""
        columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        for number, one in enumerate(self.findings):
            m = one.n_items
            for name, value in (("finding", number), ("check", one.check), ("severity", one.severity)):
                columns[name] += [value] * m
            columns["about"] += [one.about] * m
            columns["pool"] += ["against" if outside else "pool" for outside in one.outside]
            columns["row_id"] += one.rows.tolist()
            columns["item_id"] += [self._name(*pair) for pair in zip(one.rows.tolist(), one.outside, strict=True)]
            columns["value"] += [plain(value) for value in one.values]
            columns["group"] += [None if group < 0 else group for group in one.groups.tolist()]
            columns["drop"] += one.drop.tolist()
            columns["detail"] += list(one.details)
            stand = zip(one.drop.tolist(), one.kept.tolist(), strict=True)
            columns["kept_id"] += [self._name(kept, False) if drop and kept >= 0 else None for drop, kept in stand]
        return pa.table(columns, schema=_SCHEMA)

    def _name(self, row: int, outside: bool) -> str:
        ids = self.against_ids if outside else self.ids
        return str(row) if ids is None else str(ids[row])

    def to_parquet(self, path: str | PathLike[str]) -> Path:
        """Writes to_table() as Parquet, whole or not at all. Raises StoreError."""
        return write_table(self.to_table(), path)

    def to_pandas(self) -> Any:
        """to_table() as a pandas DataFrame. Raises MissingDependency without pandas."""
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise MissingDependency("to_pandas needs pandas: pip install pandas. to_table() works without.") from None
        return self.to_table().to_pandas()

    def to_markdown(self) -> str:
        """The findings and figures as a section of a report."""
        return "\n".join(report_lines(self.as_dict())) + "\n"

    def save(self, folder: str | PathLike[str], head: Mapping[str, Any] | None = None) -> Path:
        """Writes findings.parquet, audit.md and, last, audit.json (after `head`) into the folder. Raises StoreError."""
        target = Path(folder)
        make_folder(target)
        (target / FILES[2]).unlink(missing_ok=True)  # an audit.json always describes the files beside it
        self.to_parquet(target / FILES[0])
        write_atomic(target / FILES[1], [self.to_markdown().encode()])
        write_atomic(target / FILES[2], [json_bytes({**(head or {}), **self.as_dict()})])
        return target


_SCHEMA = pa.schema(
    [
        ("finding", pa.int64()),
        *((name, pa.string()) for name in ("check", "severity", "about", "pool")),
        ("row_id", pa.int64()),
        ("item_id", pa.string()),
        ("value", pa.float64()),
        ("group", pa.int64()),
        ("drop", pa.bool_()),
        ("detail", pa.string()),
        ("kept_id", pa.string()),
    ]
)
