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

_NEEDED = ("check", "about", "pool", "row_id", "item_id", "drop", "kept_id")


def without_audited(found: Opened, folder: Path) -> Opened:
    """The same pool less what the audit in `folder` marked to drop: unusable items, and those that repeat an item that
    stays; also that one where a repeat of it is labelled already. An item whose stand-in is not in this pool stays.
    Says on stderr how many for what. Raises InvalidInput."""
    document, columns = _read(folder)
    pool = found.pool
    inside = [i for i, side in enumerate(columns["pool"]) if side == "pool"]
    names, rows = ({i: columns[name][i] for i in inside} for name in ("item_id", "row_id"))
    chosen = [i for i in inside if columns["drop"][i]]
    by_position = pool.ids is None or not document["ids"]
    if document.get("request", {}).get("input_hash") != found.source.content_hash:
        where, how = document.get("where"), "positions" if by_position else "ids"
        if chosen and by_position and document.get("n_items") != pool.n_items:
            raise InvalidInput(
                f"--audit {folder} is of {where} with {document.get('n_items')} items, this input has {pool.n_items}, "
                "and without ids in both nobody knows which is which. Audit this input, or name ids with --id-column."
            )
        note(f"--audit: {folder} is of {where}, another input than this one; items go by their {how}")
    key = rows if by_position else names
    of_name = {names[i]: key[i] for i in inside}
    here = set(range(pool.n_items) if by_position or pool.ids is None else pool.ids.tolist())
    done = pool.positions(found.labelled, "--labelled")
    labelled = set(done.tolist() if by_position or pool.ids is None else pool.ids[done].tolist())
    items: dict[Any, str] = {}
    for i in chosen:
        stand = of_name.get(columns["kept_id"][i])
        if stand is None or stand in here:
            items.setdefault(key[i], f"{columns['check'][i]} ({columns['about'][i]})")
        if stand in here and stand not in labelled and key[i] in labelled:
            items.setdefault(stand, "repeats of labelled items")
    if (absent := [item for item in items if item not in here]) and len(absent) < len(items):
        note(f"--audit: {counted(len(absent), 'further item')} of its list not in this input")
        items = {item: why for item, why in items.items() if item in here}
    left_out = pool.positions(list(items), "--audit")
    both = np.union1d(left_out, pool.positions(found.unwanted, "--exclude")).astype(np.int64)
    left, counts = available(pool, found.labelled, both)
    why = ", ".join(f"{count:,} {check}" for check, count in Counter(items.values()).items())
    note(f"--audit: {counted(left_out.size, 'item')} left out" + (f": {why}" if why else ""))
    return replace(found, unwanted=both, left=left, counts=counts)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """audit.json and the columns of findings.parquet. Raises InvalidInput."""
    table, told = folder / FILES[0], folder / FILES[2]
    if not table.is_file() or not told.is_file():
        raise InvalidInput(
            f"--audit {folder} holds no finished audit ({FILES[0]} and {FILES[2]}). Make one with `oneglance audit`."
        )
    try:
        document = json.loads(told.read_text(encoding="utf-8"))
    except ValueError:
        document = None
    columns = {name: values.to_pylist() for name, values in read_list(table).items()}
    lacking = [name for name in _NEEDED if name not in columns]
    if not isinstance(document, dict) or "ids" not in document or lacking:
        what = f"{FILES[0]} without {', '.join(lacking)}" if lacking else f"a damaged or older {FILES[2]}"
        raise InvalidInput(f"--audit {folder} holds {what}. Make it again with `oneglance audit ... --overwrite`.")
    return document, columns
