"""Finished cells put together: columns of runs, one value per seed, and hits per test row."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from .._types import Float64Array
from .cells import Cell, CellStore, Key
from .entrants import BASELINE
from .evaluation import METRICS, Evaluation

if TYPE_CHECKING:
    from .job import Job

_COLUMNS = (
    *("backbone", "strategy", "budget", "split", "seed", "head", *METRICS),
    *("coverage_mean", "coverage_max", "n_classes_seen", "without_chance", "picks_hash", "select_s"),
)


def assembled(job: Job, store: CellStore[Cell], notes: list[str]) -> Evaluation:
    """All cells as columns, in the order backbone, strategy, budget, seed."""
    columns: dict[str, list[Any]] = {}
    values: dict[tuple[str, str, int], dict[str, Float64Array]] = {}
    hits: dict[tuple[str, str, int], dict[str, Float64Array]] = {}
    n_splits = len(job.splits)
    n_items = job.n_test if job.test else job.classes.size
    for view in job.views:
        for entrant in job.entrants:
            for budget in job.budgets_of(entrant):
                place = (view, entrant.name, budget)
                rows: list[dict[str, Any]] = []
                by_seed: dict[int, int] = {}
                right = {head: np.zeros(n_items) for head in job.heads}
                times = np.zeros(n_items)
                for split in range(n_splits):
                    seeds = job.seeds_of(entrant, split)
                    for seed in seeds:
                        cell = store.get(Key(view, entrant.name, split, seed, budget))
                        if cell is None:
                            raise RuntimeError(f"no cell for {place}, seed {seed}")
                        row: dict[str, Any] = {
                            "backbone": view,
                            "strategy": entrant.name,
                            "budget": budget,
                            "split": split,
                            "seed": seed,
                            "without_chance": not entrant.seeded,
                        }
                        row["scores"] = cell.scores
                        row["coverage_mean"], row["coverage_max"] = cell.coverage
                        row["n_classes_seen"] = cell.n_classes
                        row["picks_hash"], row["select_s"] = cell.picks, cell.select_s
                        tested = job.test_rows(split)
                        for head in job.heads:
                            right[head][tested] += cell.hits_of(head, tested.size)
                        times[tested] += 1
                        if entrant.seeded:
                            by_seed[seed] = len(rows)
                        else:
                            by_seed.update({s: len(rows) for s in job.seeds if s % n_splits == split})
                        rows.append(row)
                order = sorted(range(len(rows)), key=lambda i: job.seeds.index(rows[i]["seed"]))
                for i, head in product(order, job.heads):
                    accuracy, balanced = rows[i]["scores"][head]
                    run = {**rows[i], "head": head, "accuracy": accuracy, "balanced_accuracy": balanced}
                    for name in _COLUMNS:
                        columns.setdefault(name, []).append(run[name])
                picked = [rows[by_seed[seed]] for seed in job.seeds]
                found = {
                    name: np.array([row[name] for row in picked], dtype=np.float64)
                    for name in ("coverage_mean", "coverage_max", "n_classes_seen")
                }
                for place_of, metric in enumerate(METRICS):
                    for head in job.heads:
                        found[f"{metric}/{head}"] = np.array([row["scores"][head][place_of] for row in picked])
                values[place] = found
                hits[place] = {head: np.where(times > 0, right[head] / np.maximum(times, 1), np.nan) for head in right}
    baseline = next(entrant for entrant in job.entrants if entrant.name == BASELINE)
    found_notes = [*notes, *_same_picks(job, columns)]
    return Evaluation(
        tuple(entrant.name for entrant in job.entrants),
        tuple(job.budgets),
        tuple(job.budgets_of(baseline)),
        tuple(job.seeds),
        tuple(job.views),
        tuple(job.heads),
        n_splits,
        job.n_pool,
        job.n_test,
        len(job.class_names),
        job.level,
        tuple(entrant.name for entrant in job.entrants if not entrant.seeded),
        tuple(dict.fromkeys(found_notes)),
        {name: np.array(column) for name, column in columns.items()},
        values,
        hits,
    )


def _same_picks(job: Job, columns: Mapping[str, list[Any]]) -> list[str]:
    """Strategies that turn out to pick the same items for every seed of a split."""
    picks: dict[str, dict[tuple[Any, ...], set[str]]] = {}
    n_runs: dict[str, int] = {}
    names = ("strategy", "backbone", "budget", "split", "picks_hash", "without_chance")
    rows = zip(*(columns[name] for name in names), strict=True)
    for strategy, view, budget, split, code, without_chance in rows:
        if not without_chance and budget < job.n_pool:
            picks.setdefault(strategy, {}).setdefault((view, budget, split), set()).add(code)
            n_runs[strategy] = n_runs.get(strategy, 0) + 1  # one per head
    return [
        f"{name} made the same picks for every seed of a split: its runs are not independent"
        for name, found in picks.items()
        if n_runs[name] > len(job.heads) * len(found) and all(len(codes) == 1 for codes in found.values())
    ]
