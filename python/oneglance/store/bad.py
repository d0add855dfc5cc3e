"""Rows that cannot be used: their reasons, their list on disk, and the point at which a run gives up."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import BadData
from .files import write_atomic
from .items import Items


def join_reasons(parts: Iterable[Mapping[int, str]]) -> dict[int, str]:
    """row -> the different reasons of several backbones, joined by "; ", in row order."""
    reasons: dict[int, list[str]] = {}
    for part in parts:
        for row, reason in part.items():
            if reason not in reasons.setdefault(row, []):
                reasons[row].append(reason)
    return {row: "; ".join(reasons[row]) for row in sorted(reasons)}


def allowed_bad(n_items: int, max_bad_fraction: float) -> int:
    """How many items may be bad; one good item must be left."""
    return min(math.floor(max_bad_fraction * n_items), n_items - 1)


def write_list(path: Path, items: Items, reasons: Mapping[int, str]) -> None:
    """row_id,item_id,source,reason of every bad row as CSV; no file where there is none."""
    if not reasons:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row_id", "item_id", "source", "reason"])
    for row in sorted(reasons):
        writer.writerow([row, items.ids[row], items.sources[row], reasons[row]])
    write_atomic(path, [text.getvalue().encode()])


def too_many(path: Path, items: Items, reasons: Mapping[int, str], max_bad_fraction: float) -> BadData:
    """The error to raise, with the list at `path`."""
    write_list(path, items, reasons)
    first = "".join(f"\n  {items.sources[row]}: {why}" for row, why in list(reasons.items())[:5])
    return BadData(
        f"{len(reasons)} of {len(items)} items cannot be used, at most {allowed_bad(len(items), max_bad_fraction)} "
        f"are allowed (max_bad_fraction={max_bad_fraction:g}). The first ones:{first}\n"
        f"Full list so far: {path}. Raise max_bad_fraction= / --max-bad-fraction and run again (finished shards are "
        "kept); or mend or remove these items and begin anew with fresh=True / --fresh, as the source is then another."
    )
