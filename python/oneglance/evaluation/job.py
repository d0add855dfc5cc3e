"""An evaluation that is ready to run: which cells it has, and how they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .._run_head import run_head
from .._types import FloatArray, IntArray, Patterns, RowShards
from ..cuda.arrays import checked_device, computing_on
from ..store.files import digest_of
from .assemble import assembled
from .cells import Cell, CellStore, Key, folder_name
from .entrants import BASELINE, Entrant
from .evaluation import Evaluation
from .scene import Scene
from .splits import TrainTest
from .work import Unit, fill


@dataclass(frozen=True, eq=False)
class Job:
    """An evaluation that is ready to run: everything is checked, nothing computed.

    features  backbone -> rows of the labelled items; views  name -> its backbones; classes  (n_labelled,) codes
    test      (features, classes) of a test set of its own, else None: then `splits` divide the labelled items
    """

    features: Mapping[str, FloatArray]
    patterns: Mapping[str, Patterns]
    classes: IntArray
    class_names: Sequence[str]
    test: tuple[Mapping[str, FloatArray], IntArray] | None
    splits: Sequence[TrainTest]
    views: Mapping[str, tuple[str, ...]]
    entrants: Sequence[Entrant]
    budgets: Sequence[int]
    baseline_budgets: Sequence[int]
    seeds: Sequence[int]
    heads: Sequence[str]
    level: float
    how_split: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def n_pool(self) -> int:
        """Rows of the smallest pool."""
        return min(split.pool.size for split in self.splits)

    @property
    def n_test(self) -> int:
        """Rows of the smallest test part."""
        return int(self.test[1].size) if self.test else min(split.test.size for split in self.splits)

    def budgets_of(self, entrant: Entrant) -> list[int]:
        """Random has further ones."""
        more = self.baseline_budgets if entrant.name == BASELINE else ()
        return sorted({*self.budgets, *more})

    def seeds_of(self, entrant: Entrant, split: int) -> list[int]:
        """The seeds of a split; the first of them for a strategy without chance."""
        here = [seed for seed in self.seeds if seed % len(self.splits) == split]
        return here if entrant.seeded else here[:1]

    def cells(self) -> Iterator[Key]:
        """Every cell, in the order of computation."""
        for view in self.views:
            for split in range(len(self.splits)):
                for entrant in self.entrants:
                    for seed in self.seeds_of(entrant, split):
                        for budget in self.budgets_of(entrant):
                            yield Key(view, entrant.name, split, seed, budget)

    def head(self) -> dict[str, Any]:
        """What makes two evaluations one: not the lists that may grow (strategies, budgets, seeds, backbones)."""
        test_classes = self.classes[:0] if self.test is None else self.test[1]
        request = {
            "command": "evaluate",
            "labels": digest_of([self.classes.tobytes(), test_classes.tobytes(), "\n".join(self.class_names).encode()]),
            "test": dict(self.how_split),
            "heads": list(self.heads),
        }
        return run_head(request)

    def store(self, out: str | PathLike[str] | None) -> CellStore[Cell]:
        """Where finished cells are, or would be: features and parameters are part of the place. Reads all features."""
        if out is None:
            return CellStore(None, Cell.from_json)
        test = {} if self.test is None else self.test[0]
        hashes = {name: hash_of_rows(rows, test.get(name)) for name, rows in self.features.items()}
        hashes.update({name: hashes[name] + pattern_hash(found) for name, found in self.patterns.items()})
        views = {view: folder_name(view, "".join(hashes[name] for name in names)) for view, names in self.views.items()}
        strategies = {entrant.name: folder_name(entrant.name, entrant.identity) for entrant in self.entrants}
        return CellStore(Path(out), Cell.from_json, views, strategies)

    def run(
        self,
        out: str | PathLike[str] | None = None,
        *,
        fresh: bool = False,
        progress: bool | Callable[[str], None] | None = None,
        device: str = "cpu",
    ) -> Evaluation:
        """Computes the cells that are missing, and puts all together."""
        where = checked_device(device)
        store = self.store(out)
        if out is not None:
            store.claim_folder(self.head(), fresh)
        told: dict[str, None] = dict.fromkeys(self.notes)
        scenes = _Scenes(self)
        entrants = {entrant.name: entrant for entrant in self.entrants}

        def compute(unit: Unit, seed: int, budgets: list[int]) -> Iterator[Mapping[int, Cell]]:
            view, name, split = unit
            # One call per budget unless budgets share a selection: a kill then costs one cell.
            for part in [budgets] if entrants[name].in_order else [[budget] for budget in budgets]:
                yield scenes.get(view, split).cells(entrants[name], part, seed, self.heads, told)

        with computing_on(where):
            fill(store, self.cells(), compute, progress)
        return assembled(self, store, list(told))

    def test_rows(self, split: int) -> IntArray:
        """Test rows of a split: positions among the labelled items, or in the test set of its own."""
        return np.arange(self.n_test) if self.test else self.splits[split].test


class _Scenes:
    """The scene at hand; the one before is forgotten, so that memory holds one."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._at: tuple[str, int] | None = None
        self._scene: Scene | None = None

    def get(self, view: str, split: int) -> Scene:
        if self._scene is None or self._at != (view, split):
            job, rows = self._job, self._job.splits[split]
            names = job.views[view]
            self._scene = None
            if job.test is None:
                test = {name: job.features[name][rows.test] for name in names}
                test_classes = job.classes[rows.test]
            else:
                test, test_classes = {name: job.test[0][name] for name in names}, job.test[1]
            self._scene = Scene(
                {name: job.features[name][rows.pool] for name in names},
                test,
                job.classes[rows.pool],
                test_classes,
                {name: patterns_of(job.patterns[name], rows.pool) for name in names if name in job.patterns},
            )
            self._at = view, split
        return self._scene


def hash_of_rows(rows: FloatArray, test: FloatArray | None) -> str:
    """Content of the pool's rows and of the rows of a test set of its own."""
    parts = [rows] if test is None else [rows, test]
    return digest_of(np.ascontiguousarray(part).view(np.uint8).data.cast("B") for part in parts)


def pattern_hash(patterns: Patterns) -> str:
    """Of the patterns and of which item has which. Reads them all."""
    shards = (np.ascontiguousarray(shard).view(np.uint8).data.cast("B") for shard in patterns.rows)
    return digest_of([patterns.offsets.tobytes(), *shards])


def patterns_of(patterns: Patterns, items: IntArray) -> Patterns:
    counts = patterns.counts()[items]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = np.repeat(patterns.offsets[items] - offsets[:-1], counts) + np.arange(offsets[-1])
    return Patterns(RowShards((patterns.rows.take(rows),)), offsets)
