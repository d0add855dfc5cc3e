"""The cells of an evaluation, one after the other: what is there is left, what is locked comes last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .cells import AnyCell, CellStore, Key

Unit: TypeAlias = tuple[str, str, int]
"""backbone, strategy, split"""


def fill(
    store: CellStore[AnyCell],
    keys: Iterable[Key],
    compute: Callable[[Unit, int, list[int]], Iterable[Mapping[int, AnyCell]]],
    progress: Any = None,
) -> None:
    """Computes the cells that the store lacks, unit by unit in the order of the keys, and puts each there.

    compute   (unit, seed, budgets missing) -> {budget: cell}, in as many parts as it likes
    progress  None, True or a callable: see `oneglance.evaluation.evaluate`

    A unit that another process has locked is waited for when all others are done.
    """
    wanted: dict[Unit, dict[int, list[int]]] = {}
    missing, total = 0, 0
    for key in keys:
        wanted.setdefault(key.unit, {}).setdefault(key.seed, []).append(key.budget)
        missing, total = missing + (store.get(key) is None), total + 1
    watch = _Watch(missing, total, progress)
    waiting = list(wanted)
    for wait in (False, True):
        waiting = [unit for unit in waiting if not _fill_unit(store, unit, wanted[unit], compute, watch, wait)]


def _fill_unit(
    store: CellStore[AnyCell],
    unit: Unit,
    wanted: Mapping[int, list[int]],
    compute: Callable[[Unit, int, list[int]], Iterable[Mapping[int, AnyCell]]],
    watch: _Watch,
    wait: bool,
) -> bool:
    """False if another process is at it."""

    def missing(seed: int) -> list[int]:
        return [budget for budget in wanted[seed] if store.get(Key(*unit, seed, budget)) is None]

    if not any(missing(seed) for seed in wanted):
        return True
    lock = store.lock(unit, wait=wait)
    if lock is None and store.folder is not None:
        return False
    try:
        for seed in wanted:
            budgets = missing(seed)
            if not budgets:
                continue
            for part in compute(unit, seed, budgets):
                for budget, cell in part.items():
                    store.put(Key(*unit, seed, budget), cell)
                watch.done(len(part), f"{unit[0]}, {unit[1]}")
    finally:
        if lock is not None:
            lock.release()
    return True


class _Watch:
    """Says how far it is, at most every five seconds."""

    def __init__(self, n_missing: int, n_cells: int, progress: Any) -> None:
        from ..strategies.choose import noter

        self._note = noter(progress)
        self._left, self._total, self._finished = n_missing, n_missing, 0
        self._start = self._last = time.perf_counter()
        if n_missing < n_cells:
            self._note(f"{n_cells - n_missing:,} of {n_cells:,} cells are there already")

    def done(self, count: int, what: str) -> None:
        self._finished += count
        now = time.perf_counter()
        if now - self._last >= 5 or self._finished == self._total:
            left_s = (now - self._start) / self._finished * max(0, self._total - self._finished)
            self._note(f"{self._finished:,} of {self._total:,} cells ({what}), about {left_s:.0f} s left")
            self._last = now
