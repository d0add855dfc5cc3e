"""A one-shot evaluation that is ready to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..._run_head import run_head
from ..._types import FloatArray, IntArray, Patterns, RowShards
from ...cuda.arrays import checked_device, computing_on
from ...store.files import digest_of
from ...strategies.plan import flops_per_second
from ..cells import CellStore, Key, folder_name
from ..entrants import Entrant
from ..job import hash_of_rows, pattern_hash, patterns_of
from ..splits import TrainTest
from ..work import Unit, fill
from .agreement import Agreement, agreement
from .assemble import assembled
from .cell import OneShotCell
from .heads import Task
from .result import OneShot
from .rounds import ITERATIVE
from .scene import OneShotScene

_VIEW = "heads"
_SOLVER, _STEPS = 25.0, 40  # eigenvalues of an m x m matrix: so many m^3; steps of a logistic fit


@dataclass(frozen=True, eq=False)
class OneShotJob:
    """Everything is checked, nothing computed.

    features  backbone -> rows of the labelled items; labels  (n_labelled,) codes or (n_labelled, c) targets as given
    test      (features, labels) of a test set of its own, else None: then `splits` divide the labelled items
    p_weights norm of the Lewis weights behind T(k) and kappa
    """

    features: Mapping[str, FloatArray]
    patterns: Mapping[str, Patterns]
    labels: Any
    class_names: Sequence[str]
    test: tuple[Mapping[str, FloatArray], Any] | None
    splits: Sequence[TrainTest]
    entrants: Sequence[Entrant]
    task: Task
    p_weights: float
    n_initial: int
    budgets: Sequence[int]
    seeds: Sequence[int]
    level: float
    features_s: float | None
    how_split: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def n_pool(self) -> int:
        """Rows of the smallest pool."""
        return min(split.pool.size for split in self.splits)

    @property
    def n_test(self) -> int:
        """Rows of the smallest test part."""
        return len(self.test[1]) if self.test else min(split.test.size for split in self.splits)

    def cells(self) -> Iterator[Key]:
        """Every cell, in the order of computation. Seed s uses split s mod their number."""
        for split in range(len(self.splits)):
            for entrant in self.entrants:
                for seed in self.seeds:
                    if seed % len(self.splits) == split:
                        for budget in self.budgets:
                            yield Key(_VIEW, entrant.name, split, seed, budget)

    def head(self) -> dict[str, Any]:
        """What makes two evaluations one: not the lists that may grow (strategies, budgets, seeds)."""
        test_labels = self.labels[:0] if self.test is None else self.test[1]
        parts = [self.labels.tobytes(), test_labels.tobytes(), "\n".join(self.class_names).encode()]
        return run_head(
            {
                "command": "evaluate one-shot",
                "labels": digest_of(parts),
                "test": dict(self.how_split),
                "task": "regression" if self.task.regression else "classification",
                "head": self.task.head,
                "p": self.task.p,
                "initial": self.n_initial,
            }
        )

    def store(self, out: str | PathLike[str] | None) -> CellStore[OneShotCell]:
        """Where finished cells are, or would be: features and parameters are part of the place. Reads all features."""
        if out is None:
            return CellStore(None, OneShotCell.from_json)
        test = {} if self.test is None else self.test[0]
        content = "".join(name + hash_of_rows(rows, test.get(name)) for name, rows in self.features.items())
        content += "".join(name + pattern_hash(found) for name, found in self.patterns.items())
        strategies = {entrant.name: folder_name(entrant.name, entrant.identity) for entrant in self.entrants}
        return CellStore(Path(out), OneShotCell.from_json, {_VIEW: folder_name(_VIEW, content)}, strategies)

    def run(
        self,
        out: str | PathLike[str] | None = None,
        *,
        fresh: bool = False,
        progress: Any = None,
        device: str = "cpu",
    ) -> OneShot:
        """Computes the cells that are missing, and puts all together."""
        where = checked_device(device)
        store = self.store(out)
        if out is not None:
            store.claim_folder(self.head(), fresh)
        told: dict[str, None] = dict.fromkeys(self.notes)
        entrants = {entrant.name: entrant for entrant in self.entrants}
        at: list[tuple[int, OneShotScene]] = []

        def compute(unit: Unit, seed: int, budgets: list[int]) -> Iterator[Mapping[int, OneShotCell]]:
            _, name, split = unit
            if not at or at[0][0] != split:
                at.clear()  # before the next one is made, so that memory holds one
                at.append((split, self.scene(split)))
            for budget in sorted(budgets, reverse=True):  # strategies that choose in order do so once
                yield {budget: at[0][1].cell(entrants[name], budget, seed, told)}

        with computing_on(where):
            fill(store, self.cells(), compute, progress)
            return assembled(self, store, self.agreement(), list(told))

    def agreement(self) -> Agreement:
        """T(k) and kappa(t) over the pool of the first split."""
        rows = self.splits[0].pool
        return agreement({name: RowShards((x[rows],)) for name, x in self.features.items()}, self.p_weights)

    def scene(self, split: int) -> OneShotScene:
        """One split. Targets in units of their spread over its pool."""
        rows = self.splits[split]
        labels = self.labels[rows.pool]
        if self.test is None:
            test = {name: x[rows.test] for name, x in self.features.items()}
            test_labels = self.labels[rows.test]
        else:
            test, test_labels = dict(self.test[0]), self.test[1]
        if self.task.regression:
            unit = labels.std(axis=0)
            labels, test_labels = labels / unit, test_labels / unit
        return OneShotScene(
            {name: x[rows.pool] for name, x in self.features.items()},
            test,
            labels,
            test_labels,
            {name: patterns_of(found, rows.pool) for name, found in self.patterns.items()},
            self.task,
            self.n_initial,
        )

    def test_rows(self, split: int) -> IntArray:
        """Test rows of a split: positions among the labelled items, or in the test set of its own."""
        return np.arange(self.n_test) if self.test else self.splits[split].test

    def plan(self, store: CellStore[OneShotCell]) -> dict[str, Any]:
        """Counts of cells and fits still to make, and a rough time. Products are timed for about 50 ms."""
        by_name = {entrant.name: entrant for entrant in self.entrants}
        keys = list(self.cells())
        left = [key for key in keys if store.get(key) is None]
        flops, fits, weighed = 0.0, 0, set()
        for key in left:
            entrant = by_name[key.strategy]
            rounds = int(entrant.params["rounds"]) if entrant.strategy in ITERATIVE else 0
            n_fits = rounds + (3 if entrant.strategy == "lewis" else 1)
            fits += n_fits * len(self.features)
            for rows in self.features.values():
                flops += n_fits * self._fit_flops(self.n_initial + key.budget, rows.shape[1])
                if entrant.strategy == "lewis" and (key.seed, entrant.params["combine"]) not in weighed:
                    flops += 8.0 * self.n_pool * rows.shape[1] ** 2
            weighed.add((key.seed, entrant.params.get("combine")))
        return {
            "n_cells": len(keys),
            "n_done": len(keys) - len(left),
            "n_heads": fits,
            "seconds": flops / flops_per_second(),
        }

    def _fit_flops(self, n_labels: int, width: int) -> float:
        small = min(n_labels, width)
        answers = 2.0 * (self.n_test + self.n_pool) * width * self.task.n_outputs
        steps = _STEPS * 8.0 * n_labels * small * self.task.n_outputs if self.task.head == "linear" else 0.0
        return _SOLVER * small**3 + 2.0 * n_labels * width * small + steps + answers
