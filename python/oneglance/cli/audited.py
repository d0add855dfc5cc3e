"""What an earlier audit says to leave out, for verbs that pick items."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..auditing.result import FILES
from ..errors import InvalidInput
from ..features.listfile import read_list
from ..strategies.candidates import available
from .output import counted, note
from .pool_text import Opened


def without_audited(found: Opened, folder: Path) -> Opened:
    """The same pool less what the audit in `folder` marked to drop: unusable items, and all but one of each group of
    duplicates. Says on stderr how many for what. Raises InvalidInput."""
    table, told = folder / FILES[0], folder / FILES[2]
    if not table.is_file() or not told.is_file():
        raise InvalidInput(
            f"--audit {folder} holds no finished audit ({FILES[0]} and {FILES[2]}). Make one with `oneglance audit`."
        )
    document = json.loads(told.read_text(encoding="utf-8"))
    if document.get("request", {}).get("input_hash") != found.source.content_hash:
        note(f"--audit: {folder} is of {document.get('where')}, another input than this one; items go by their ids")
    columns = {name: values.to_pylist() for name, values in read_list(table).items()}
    chosen = [i for i, drop in enumerate(columns["drop"]) if drop and columns["pool"][i] == "pool"]
    key = "row_id" if found.pool.ids is None else "item_id"
    items: dict[Any, str] = {}
    for i in chosen:
        items.setdefault(columns[key][i], f"{columns['check'][i]} ({columns['about'][i]})")
    rows = found.pool.positions(list(items), "--audit")
    both = np.union1d(rows, found.pool.positions(found.unwanted, "--exclude")).astype(np.int64)
    left, counts = available(found.pool, found.labelled, both)
    why = ", ".join(f"{count:,} {check}" for check, count in Counter(items.values()).items())
    note(f"--audit: {counted(rows.size, 'item')} left out" + (f": {why}" if why else ""))
    return replace(found, unwanted=both, left=left, counts=counts)
