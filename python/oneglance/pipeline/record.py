"""What is known of a step that has run: one file per step, written last, so that half a step looks like none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..store.files import digest, file_digest, json_bytes, make_folder, write_atomic

STEPS = "steps"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a step hands back.

    summary   for gates, report and later steps: JSON
    files     its outputs, relative to the run's folder; a folder stands for all files in it
    digest    of what later steps read; None: of the files' contents
    shipped   bytes that leave the run for others (see ledger.py)
    waiting   why the step is not done yet, "" where it is; advice: what the person has to do then
    """

    summary: dict[str, Any]
    files: tuple[str, ...] = ()
    digest: str | None = None
    shipped: int = 0
    waiting: str = ""
    advice: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """A finished step. parts: what its result depends on, by name; outputs: file -> [bytes, hash]."""

    step: str
    key: str
    parts: Mapping[str, Any]
    outputs: Mapping[str, tuple[int, str]]
    digest: str
    summary: Mapping[str, Any]
    forced: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        return sum(size for size, _ in self.outputs.values())


def record_path(folder: Path, step: str) -> Path:
    return folder / STEPS / f"{step}.json"


def begun_path(folder: Path, step: str) -> Path:
    return folder / STEPS / f"{step}.begun.json"


def read_record(folder: Path, step: str) -> Record | None:
    """None where there is none, or none that can be read: the step runs again."""
    try:
        found = json.loads(record_path(folder, step).read_text(encoding="utf-8"))
        outputs = {name: (int(size), str(mark)) for name, (size, mark) in found["outputs"].items()}
        return Record(step, found["key"], found["parts"], outputs, found["digest"], found["summary"], found["forced"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(folder: Path, record: Record) -> None:
    """Whole or not at all. Raises StoreError."""
    write_atomic(record_path(folder, record.step), [json_bytes(asdict(record))])
    begun_path(folder, record.step).unlink(missing_ok=True)


def begin(folder: Path, step: str, parts: Mapping[str, Any]) -> None:
    """From here on the step's outputs may be half new: its record goes, what it was begun with stays."""
    make_folder(folder / STEPS)
    write_atomic(begun_path(folder, step), [json_bytes(dict(parts))])
    record_path(folder, step).unlink(missing_ok=True)


def read_begun(folder: Path, step: str) -> dict[str, Any] | None:
    """What an unfinished run of the step was begun with."""
    try:
        found = json.loads(begun_path(folder, step).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def finished(folder: Path, step: str, key: str, parts: Mapping[str, Any], outcome: Outcome) -> Record:
    """The record of a step that has just run: sizes and hashes of its files."""
    outputs: dict[str, tuple[int, str]] = {}
    for name in outcome.files:
        place = folder / name
        inside = sorted(one for one in place.rglob("*") if one.is_file()) if place.is_dir() else [place]
        for one in inside:
            if not one.name.startswith("."):
                outputs[one.relative_to(folder).as_posix()] = (one.stat().st_size, file_digest(one))
    mark = outcome.digest or digest(repr(sorted((name, mark) for name, (_, mark) in outputs.items())).encode())
    return Record(step, key, dict(parts), outputs, mark, outcome.summary)


def damaged(folder: Path, record: Record, *, verify: bool = False) -> str:
    """The first output that is missing or of another size (verify: content) than recorded; "" for none."""
    for name, (size, mark) in record.outputs.items():
        try:
            there = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if there != size or (verify and file_digest(folder / name) != mark):
            return f"{name} was changed"
    return ""
