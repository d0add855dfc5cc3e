"""Hashes of what goes into a step: contents of files, remembered as long as size and time of change stay."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ..features.specs import parse_spec
from ..store.files import digest, file_digest, json_bytes, write_atomic

HASHES = "hashes.json"
_FRESH_NS = 2_000_000_000
"""A file changed so shortly before it was hashed may change again within the clock's tick: it is hashed anew."""


class Hashes:
    """blake2b of files. A file is read again only if its size or time of change differ from when it was hashed.

    changed  names of files that had another content when they were last hashed
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed: list[str] = []
        self._dirty = False
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        self._known: dict[str, list[Any]] = found if isinstance(found, dict) else {}

    def of(self, file: str | os.PathLike[str]) -> str | None:
        """Of a file's content; of a folder's files, names included; None where there is nothing."""
        path = Path(file)
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file())
            return digest(repr([(one.relative_to(path).as_posix(), self.of(one)) for one in inside]).encode())
        try:
            stat = path.stat()
        except OSError:
            return None
        name = os.path.abspath(path)
        known = self._known.get(name)
        if known and known[:2] == [stat.st_size, stat.st_mtime_ns] and stat.st_mtime_ns + _FRESH_NS < known[3]:
            return str(known[2])
        now = time.time_ns()
        try:
            found = file_digest(path)
        except OSError:
            return None  # as unreadable for the steps, which say so
        if known and known[2] != found:
            self.changed.append(name)
        self._known[name] = [stat.st_size, stat.st_mtime_ns, found, now]
        self._dirty = True
        return found

    def of_all(self, files: Iterable[str | os.PathLike[str]]) -> str:
        """Of several files' contents, in order."""
        return digest(repr([self.of(file) for file in files]).encode())

    def save(self) -> None:
        """Keeps them for the next run. Raises StoreError."""
        if self._dirty:
            write_atomic(self.path, [json_bytes(self._known)])
            self._dirty = False


def key_of(parts: dict[str, Any]) -> str:
    """Of all that decides a step's result."""
    return digest(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=list).encode())


def anchored(spec: str, base: Path) -> str:
    """A backbone string whose file or folder, if there is such below `base`, is named absolutely."""
    body, mark, options = spec.partition("?")
    kind, colon, rest = body.partition(":")
    model, equals, weights = rest.partition("=")
    if not colon and Path(base, body).is_dir():
        return f"{Path(base, body)}{mark}{options}"
    if kind in ("torchscript", "transformers", "pretrained"):
        rest = str(Path(base, rest)) if rest and Path(base, rest).exists() else rest
    elif equals and Path(base, weights).is_file():
        rest = f"{model}={Path(base, weights)}"
    parts = options.split("&")
    for number, part in enumerate(parts):
        given = part.removeprefix("weights=")
        if given != part and Path(base, unquote(given)).is_file():
            parts[number] = f"weights={quote(str(Path(base, unquote(given))))}"
    return f"{kind}{colon}{rest}{mark}{'&'.join(parts)}"


def backbone_mark(spec: str, base: Path, hashes: Hashes) -> list[str | None]:
    """What tells one backbone string from another: the text, and the hash of the file it names.

    Raises InvalidInput for a string that is none.
    """
    parsed = parse_spec(anchored(spec, base))
    place = parsed.weights if parsed.weights not in (None, "random") else parsed.model
    file = Path(place).expanduser() if place else None
    return [spec, hashes.of(file) if file is not None and file.exists() else None]
