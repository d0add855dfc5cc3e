"""The store's folder as a whole: whose it is, emptying it, and taking up what an earlier run left."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, StoreError
from .files import TMP_SUFFIX, explain_os_error, human_bytes
from .lock import LOCK_NAME
from .manifest import (
    BAD_ITEMS,
    FEATURES,
    ITEMS,
    MANIFEST,
    PATTERNS,
    UNFINISHED,
    SourceInfo,
    new_plan,
    read_manifest,
    refuse_other_source,
)

_OURS = (MANIFEST, UNFINISHED, ITEMS, BAD_ITEMS, FEATURES, PATTERNS)


def refuse_foreign_folder(path: Path) -> None:
    """StoreError unless `path` is absent, empty, or a store (finished or not)."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"out: {path} is a file, a folder is needed. Choose another name.")
    if not path.is_dir():
        return
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise StoreError(f"out: {path} cannot be listed ({error.strerror}). Choose another folder.") from error
    known = {*_OURS, LOCK_NAME, *(name + TMP_SUFFIX for name in _OURS)}
    if names and not names & {MANIFEST, UNFINISHED} and names - known:
        raise StoreError(
            f"out: {path} is not empty and not a oneglance store (it holds {sorted(names)[0]!r}). "
            "Choose a new or empty folder."
        )


def clear_store(path: Path) -> None:
    """Removes a store's own files and nothing else. The manifest goes first: half a store must not look whole."""
    try:
        for name in (MANIFEST, UNFINISHED, ITEMS, BAD_ITEMS):
            (path / name).unlink(missing_ok=True)
        for name in (FEATURES, PATTERNS):
            if (path / name).is_dir():
                shutil.rmtree(path / name)
    except OSError as error:
        raise explain_os_error(error, path, 0) from error


def remove_leftovers(path: Path) -> None:
    """Temporary files of a killed run; only under the lock."""
    inside = (path.glob(f"{name}/*/*{TMP_SUFFIX}") for name in (FEATURES, PATTERNS))
    for leftover in [*path.glob(f"*{TMP_SUFFIX}"), *chain.from_iterable(inside)]:
        try:
            leftover.unlink(missing_ok=True)
        except OSError as error:
            raise explain_os_error(error, leftover, 0) from error


def take_up_plan(
    path: Path, source: SourceInfo, n_items: int, shard_rows: int | None, default_shard_rows: int
) -> tuple[dict[str, Any], list[str], list[str]]:
    """The plan to go on with, and the names of the backbones whose features, and whose patterns, are already whole.

    Raises StoreError if the folder was begun with another source or another shard_rows.
    """
    manifest, unfinished = read_manifest(path / MANIFEST), read_manifest(path / UNFINISHED)
    before = manifest or unfinished
    if before is None:
        return new_plan(source, n_items, shard_rows or default_shard_rows), [], []
    refuse_other_source(before, source, n_items, path)
    if shard_rows is not None and shard_rows != before["shard_rows"]:
        raise StoreError(
            f"{path} was begun with shard_rows={before['shard_rows']}, this run asks for {shard_rows}. Leave "
            "shard_rows out, choose a new folder with out= / --out, or overwrite with fresh=True / --fresh."
        )
    plan = new_plan(source, n_items, before["shard_rows"])
    plan["source"] = before["source"]  # the first run's words for the same source
    for older in (manifest, unfinished):
        for name, entry in (older or {"backbones": {}})["backbones"].items():
            taken = plan["backbones"].setdefault(name, _without_shards(entry))
            if "patterns" in entry:  # a run that was to add them, and was killed
                taken.setdefault("patterns", _without_shards(entry["patterns"]))
    whole = manifest["backbones"] if manifest else {}
    return plan, list(whole), [name for name, entry in whole.items() if "patterns" in entry]


def _without_shards(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_shards(value) if key == "patterns" else value for key, value in entry.items() if key != "shards"
    }


def check_space(path: Path, needed: int) -> None:
    """StoreError if the disk of `path` has fewer bytes free than needed."""
    free = shutil.disk_usage(path).free
    if needed > free:
        raise StoreError(
            f"disk too small for {path}: {needed} bytes ({human_bytes(needed)}) are still needed, "
            f"{human_bytes(free)} are free. Free some space, or choose another folder with out= / --out."
        )


def check_shard_rows(shard_rows: int | None) -> None:
    """InvalidInput unless None or an integer >= 1."""
    if shard_rows is not None and (isinstance(shard_rows, bool) or not isinstance(shard_rows, int) or shard_rows < 1):
        raise InvalidInput(f"shard_rows must be an integer >= 1 or None, got {shard_rows!r}.")
