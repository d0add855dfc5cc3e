"""Finished cells put together: columns of runs, one value per seed and backbone, and means per test row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._types import Float64Array
from ..cells import CellStore, Key
from .agreement import Agreement
from .cell import WEIGHTINGS, OneShotCell
from .result import OF_THE_PICKS, OneShot

if TYPE_CHECKING:
    from .job import OneShotJob


def assembled(job: OneShotJob, store: CellStore[OneShotCell], agreed: Agreement, notes: Sequence[str]) -> OneShot:
    """All cells as columns, in the order strategy, budget, seed, weighting, backbone."""
    keys = {(key.strategy, key.budget, key.seed): key for key in job.cells()}
    columns: dict[str, list[Any]] = {}
    values: dict[tuple[str, str, int], dict[str, Float64Array]] = {}
    rows: dict[tuple[str, str, int], dict[str, Float64Array]] = {}
    for entrant in job.entrants:
        for budget in job.budgets:
            cells = [_cell(store, keys[entrant.name, budget, seed]) for seed in job.seeds]
            for weighting in (w for w in WEIGHTINGS if all(w in cell.scores for cell in cells)):
                place = (entrant.name, weighting, budget)
                values[place] = {
                    metric: np.array([cell.scores[weighting][metric] for cell in cells]) for metric in job.task.metrics
                } | {name: np.array([_of_picks(cell)[name] for cell in cells]) for name in OF_THE_PICKS}
                rows[place] = _means_per_row(job, cells, weighting)
                for seed, cell in zip(job.seeds, cells, strict=True):
                    for at, backbone in enumerate(job.features):
                        row = {
                            "strategy": entrant.name,
                            "weighting": weighting,
                            "budget": budget,
                            "split": seed % len(job.splits),
                            "seed": seed,
                            "backbone": backbone,
                            **{metric: cell.scores[weighting][metric][at] for metric in job.task.metrics},
                            **_of_picks(cell),
                            "picks_hash": cell.picks,
                        }
                        for name, value in row.items():
                            columns.setdefault(name, []).append(value)
    return OneShot(
        "regression" if job.task.regression else "classification",
        job.task.loss_name,
        job.task.p if job.task.regression else None,
        tuple(entrant.name for entrant in job.entrants),
        tuple(job.features),
        tuple(job.budgets),
        job.n_initial,
        tuple(job.seeds),
        len(job.splits),
        job.n_pool,
        job.n_test,
        job.task.n_outputs,
        job.level,
        job.features_s,
        agreed,
        tuple(dict.fromkeys(notes)),
        {name: np.array(column) for name, column in columns.items()},
        values,
        rows,
    )


def _cell(store: CellStore[OneShotCell], key: Key) -> OneShotCell:
    cell = store.get(key)
    if cell is None:
        raise RuntimeError(f"no cell for {key}")
    return cell


def _of_picks(cell: OneShotCell) -> dict[str, float]:
    """Values of the selection, the same for all heads: `OF_THE_PICKS`."""
    ratio, missing = cell.imbalance or (float("nan"), 0)
    found = (float("inf") if ratio is None else ratio, float(missing), cell.weights_s, cell.sampling_s, cell.heads_s)
    return dict(zip(OF_THE_PICKS, found, strict=True))


def _means_per_row(job: OneShotJob, cells: Sequence[OneShotCell], weighting: str) -> dict[str, Float64Array]:
    """(n_items or n_test,) means over the seeds whose split tests a row; NaN for rows never tested."""
    n_items = job.n_test if job.test else len(job.labels)
    times = np.zeros(n_items)
    sums = {metric: np.zeros(n_items) for metric in cells[0].rows[weighting]}
    for seed, cell in zip(job.seeds, cells, strict=True):
        tested = job.test_rows(seed % len(job.splits))
        times[tested] += 1
        for metric, total in sums.items():
            total[tested] += cell.row_values(weighting, metric)
    return {metric: np.where(times > 0, total / np.maximum(times, 1), np.nan) for metric, total in sums.items()}
