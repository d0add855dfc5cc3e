"""A selection as a folder: what was picked, who represents whom, and run.json, which says how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..store.files import file_digest, json_bytes, make_folder, write_atomic
from .result import Selection, write_table

RUN_FILE = "run.json"
SELECTED = ("selected.parquet", "selected.csv")
_REPRESENTED = "represented.parquet"


def write_run(folder: Path, head: dict[str, Any], selection: Selection) -> dict[str, Any]:
    """Writes the files, each whole or not at all, run.json last; returns run.json's content."""
    make_folder(folder)
    (folder / RUN_FILE).unlink(missing_ok=True)  # a run.json always describes the files beside it
    paths = [selection.to_parquet(folder / SELECTED[0]), selection.to_csv(folder / SELECTED[1])]
    if selection.represented_by is None:
        (folder / _REPRESENTED).unlink(missing_ok=True)  # of the run that this one replaces
    else:
        paths.append(write_table(selection.represented_table(), folder / _REPRESENTED))
    document = {
        **head,
        "n_picked": len(selection),
        "n_certain": selection.n_certain,
        "certificate": selection.certificate,
        "files": {path.name: {"blake2b": file_digest(path)} for path in paths},
    }
    write_atomic(folder / RUN_FILE, [json_bytes(document)])
    return document
