"""May this folder be written? Refuses, before any work, what holds another run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from .._run_head import differences, run_head
from ..errors import InvalidInput
from ..store.files import json_bytes
from ..strategies.run_files import RUN_FILE, SELECTED, write_run

__all__ = ["RUN_FILE", "check_folder", "check_writable", "run_head", "write_run"]


def check_writable(out: Path, folder: Path) -> None:
    """Raises InvalidInput, before any work, if nothing can be written below `folder`, where --out `out` goes."""
    parent = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=parent).close()  # permissions alone do not tell of read-only disks
    except OSError as error:
        raise InvalidInput(
            f"--out {out}: cannot write in {parent} ({error.strerror}). Choose another folder."
        ) from None


def check_folder(folder: Path, head: dict[str, Any], overwrite: bool, files: tuple[str, ...] = SELECTED) -> None:
    """Raises InvalidInput, before any work, if the folder cannot be used, or holds another run or any of `files`
    without one."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"--out {folder} is a file, a folder is needed. Choose another name.")
    check_writable(folder, folder)
    if overwrite or not folder.exists():
        return
    try:
        there = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        strange = [name for name in files if (folder / name).exists()]
        if strange:
            raise InvalidInput(
                f"--out {folder} holds {strange[0]} without {RUN_FILE}: it may be somebody else's. "
                "Choose another folder, or add --overwrite."
            ) from None
        return
    except (OSError, ValueError):
        there = None
    differs = differences(there, json.loads(json_bytes(head)), RUN_FILE)
    if differs:
        raise InvalidInput(
            f"--out {folder} holds another run (different: {', '.join(differs)}). "
            "Choose another folder, or add --overwrite."
        )
