"""One cell of an evaluation (strategy, budget, seed, backbone), and the folder where finished cells are kept."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from .._run_head import differences
from .._types import BoolArray
from ..errors import InvalidInput, StoreError
from ..store.files import TMP_SUFFIX, digest, json_bytes, make_folder, write_atomic
from ..store.lock import LOCK_NAME, StoreLock, in_turn, take_lock

HEAD_FILE = "run.json"
CELLS = "cells"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What one selection was worth.

    scores    {head: (accuracy, mean over classes of the recall)} on the test rows
    hits      {head: bits of the test rows whose class was named right, numpy.packbits}
    coverage  (mean, largest) distance of the pool's rows to their nearest pick, rows at unit length per backbone
    n_classes classes among the picks
    picks     hash of the picked positions
    """

    scores: Mapping[str, tuple[float, float]]
    hits: Mapping[str, bytes]
    coverage: tuple[float, float]
    n_classes: int
    picks: str
    select_s: float

    def as_json(self) -> dict[str, Any]:
        return {
            "scores": {head: list(values) for head, values in self.scores.items()},
            "hits": {head: base64.b64encode(bits).decode() for head, bits in self.hits.items()},
            "coverage": list(self.coverage),
            "n_classes": self.n_classes,
            "picks": self.picks,
            "select_s": self.select_s,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Cell:
        return cls(
            {head: (float(a), float(b)) for head, (a, b) in value["scores"].items()},
            {head: base64.b64decode(bits) for head, bits in value["hits"].items()},
            (float(value["coverage"][0]), float(value["coverage"][1])),
            int(value["n_classes"]),
            str(value["picks"]),
            float(value["select_s"]),
        )

    def hits_of(self, head: str, n_test: int) -> BoolArray:
        """(n_test,) bool."""
        return np.unpackbits(np.frombuffer(self.hits[head], dtype=np.uint8), count=n_test).astype(np.bool_)


@dataclass(frozen=True, slots=True)
class Key:
    """Where a cell stands."""

    backbone: str
    strategy: str
    split: int
    seed: int
    budget: int

    @property
    def unit(self) -> tuple[str, str, int]:
        """What one process works on at a time."""
        return self.backbone, self.strategy, self.split


class Finished(Protocol):
    """What a cell store can keep."""

    def as_json(self) -> dict[str, Any]: ...


AnyCell = TypeVar("AnyCell", bound=Finished)


class CellStore(Generic[AnyCell]):
    """Finished cells, in memory and, with a folder, one small file each, whole or absent.

    Several processes may fill one folder: each unit of work (backbone, strategy, split) is locked while it is
    computed, and whoever finds it locked does another one first.
    """

    def __init__(
        self,
        folder: Path | None,
        from_json: Callable[[dict[str, Any]], AnyCell],
        views: Mapping[str, str] | None = None,
        strategies: Mapping[str, str] | None = None,
    ) -> None:
        """from_json reads a cell; views, strategies: what their folders are called (`folder_name`)."""
        self.folder = folder
        self._from_json = from_json
        self._views, self._strategies = dict(views or {}), dict(strategies or {})
        self._cells: dict[Key, AnyCell] = {}

    def check_folder(self, head: dict[str, Any], fresh: bool) -> None:
        """InvalidInput if the folder holds anything but this evaluation (fresh: any evaluation). Changes nothing."""
        if self.folder is None:
            return
        if self.folder.exists() and not self.folder.is_dir():
            raise InvalidInput(f"out {self.folder} is a file, a folder is needed. Choose another name.")
        others = [p.name for p in self.folder.iterdir()] if self.folder.exists() else []
        if HEAD_FILE not in others and set(others) - {LOCK_NAME, HEAD_FILE + TMP_SUFFIX}:
            raise InvalidInput(
                f"out {self.folder} is not empty and was not made by evaluate (no {HEAD_FILE}). "
                "Choose another folder with out= / --out."
            )
        if (self.folder / HEAD_FILE).exists():
            self._check_head(self.folder / HEAD_FILE, head, fresh)

    def claim_folder(self, head: dict[str, Any], fresh: bool) -> None:
        """Takes up the folder, or makes it. InvalidInput if it holds anything but this evaluation."""
        if self.folder is None:
            return
        self.check_folder(head, fresh)
        make_folder(self.folder)
        path = self.folder / HEAD_FILE
        with in_turn(self.folder):  # two processes may begin at once
            if path.exists():
                self._check_head(path, head, fresh)
            if fresh:
                self._forget()
            write_atomic(path, [json_bytes(head)])

    def _forget(self) -> None:
        """Removes all cells. What stayed behind could be taken for cells of other labels, so that is an error."""
        cells = self._folder_of_cells()
        try:
            if cells.exists():
                shutil.rmtree(cells)
        except OSError as error:
            raise StoreError(
                f"out {self.folder}: finished cells cannot be removed ({error.strerror}: {error.filename}). Is another "
                "run at work there? Choose another folder, or remove this one."
            ) from error

    def _check_head(self, path: Path, head: dict[str, Any], fresh: bool) -> None:
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            there = None
        request = there.get("request") if isinstance(there, dict) else None
        command = request.get("command") if isinstance(request, dict) else None
        if command != head["request"]["command"]:
            raise InvalidInput(
                f"out {self.folder} holds another run ({command or 'unreadable'}). Choose another folder."
            )
        differs = differences(there, json.loads(json_bytes(head)), HEAD_FILE)
        if differs and not fresh:
            raise InvalidInput(
                f"out {self.folder} holds another evaluation (different: {', '.join(differs)}). "
                "Choose another folder with out= / --out, or begin anew with fresh=True / --fresh."
            )

    def get(self, key: Key) -> AnyCell | None:
        """A finished cell, or None. A file that cannot be read counts as not finished."""
        if key not in self._cells and self.folder is not None:
            try:
                document = json.loads(self._path(key).read_text(encoding="utf-8"))
                self._cells[key] = self._from_json(document)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return None
        return self._cells.get(key)

    def put(self, key: Key, cell: AnyCell) -> None:
        if self.folder is not None:
            write_atomic(self._path(key), [json_bytes(cell.as_json())])
        self._cells[key] = cell

    def lock(self, unit: tuple[str, str, int], *, wait: bool) -> StoreLock | None:
        """The lock of a unit, held; None if another process holds it and wait is False, or without a folder."""
        if self.folder is None:
            return None
        folder = self._unit_folder(unit)
        make_folder(folder)
        return take_lock(folder, wait=wait)

    def _folder_of_cells(self) -> Path:
        if self.folder is None:
            raise RuntimeError("cells without a folder have no path")
        return self.folder / CELLS

    def _unit_folder(self, unit: tuple[str, str, int]) -> Path:
        backbone, strategy, split = unit
        return self._folder_of_cells() / self._views[backbone] / self._strategies[strategy] / f"split-{split}"

    def _path(self, key: Key) -> Path:
        return self._unit_folder(key.unit) / f"seed-{key.seed}_budget-{key.budget}.json"


def folder_name(name: str, content: str) -> str:
    """A readable folder for a name whose content has this hash."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)[:60].lstrip('.-')}-{digest(name.encode(), content.encode())[:8]}"
