"""Finished parts of a long step, one small file each, so that a killed step goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..store.files import json_bytes, make_folder, write_atomic


class Cells:
    """Answers by name, in a folder of their own for every key. Raises StoreError where it cannot write."""

    def __init__(self, folder: Path, key: str) -> None:
        self._all = folder
        self.folder = folder / key[:16]

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """The answer of this name (JSON): from its file, else computed and kept."""
        path = self.folder / f"{name}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = compute()
        make_folder(self.folder)
        write_atomic(path, [json_bytes(found)])
        return found

    def get_with(self, name: str, compute: Callable[[], Any], load: Callable[[Any], Any]) -> tuple[Any, Any]:
        """The answer, and what load(answer) reads of files beside it; where these are gone or damaged both are made
        anew."""
        found = self.get(name, compute)
        try:
            return found, load(found)
        except StoreError:
            (self.folder / f"{name}.json").unlink(missing_ok=True)
        found = self.get(name, compute)
        return found, load(found)

    def forget(self, *, own: bool) -> None:
        """Removes those of other keys; own: of this key as well."""
        for other in self._all.glob("*"):
            if other.is_dir() and (own or other != self.folder):
                shutil.rmtree(other, ignore_errors=True)
