"""What an evaluation will cost, before it runs."""

from __future__ import annotations

from dataclasses import dataclass

from ..strategies.plan import flops_per_second
from .cells import Cell, CellStore
from .entrants import Entrant
from .job import Job
from .scene import MOST_COVERED

_SOLVER = 25.0  # eigenvalues of an m x m matrix: so many m^3
_LOGISTIC_STEPS = 40
_PENALTIES = 22


@dataclass(frozen=True)
class EvaluationPlan:
    """Counts, memory beyond the input, and a rough time on this machine.

    n_selections  calls of `select` still to make; n_heads  fits still to make
    """

    n_items: int
    n_pool: int
    n_test: int
    n_classes: int
    n_splits: int
    n_cells: int
    n_done: int
    n_selections: int
    n_heads: int
    ram_bytes: int
    seconds: float


def estimate(job: Job, store: CellStore[Cell]) -> EvaluationPlan:
    """The plan of the cells that the store does not have. Products are timed for about 50 ms."""
    widths = {view: sum(job.features[name].shape[1] for name in names) for view, names in job.views.items()}
    entrants = {entrant.name: entrant for entrant in job.entrants}
    flops, n_cells, n_done, selections, scenes = 0.0, 0, 0, set(), set()
    for key in job.cells():
        n_cells += 1
        if store.get(key) is not None:
            n_done += 1
            continue
        entrant, width = entrants[key.strategy], widths[key.backbone]
        one = (*key.unit, key.seed, None if entrant.in_order else key.budget)
        if one not in selections:
            selections.add(one)
            flops += _selecting(entrant, job.n_pool, width, key.budget if not entrant.in_order else max(job.budgets))
        flops += _heads(job, width, key.budget)
        if (key.backbone, key.split) not in scenes:
            scenes.add((key.backbone, key.split))
            flops += 2.0 * min(job.n_pool, MOST_COVERED) ** 2 * width
    covered = min(job.n_pool, MOST_COVERED)
    widest = max(widths.values())
    return EvaluationPlan(
        n_items=int(job.classes.size),
        n_pool=job.n_pool,
        n_test=job.n_test,
        n_classes=len(job.class_names),
        n_splits=len(job.splits),
        n_cells=n_cells,
        n_done=n_done,
        n_selections=len(selections),
        n_heads=(n_cells - n_done) * len(job.heads),
        ram_bytes=(12 * widest * (job.n_pool + job.n_test)) + 8 * covered * (covered if covered == job.n_pool else 1),
        seconds=flops / flops_per_second(),
    )


def _selecting(entrant: Entrant, n_pool: int, width: int, budget: int) -> float:
    """Products of one selection; for strategies that are not known here, those of k-means."""
    if entrant.strategy == "random":
        return 0.0
    if entrant.strategy == "lewis":
        return 8 * 2.0 * n_pool * width**2
    if entrant.in_order or not entrant.seeded:
        return 4.0 * n_pool * width * budget
    return 30 * 2.0 * n_pool * width * budget


def _heads(job: Job, width: int, budget: int) -> float:
    """Products of all heads of one cell; decompositions run at a fraction of the speed of a product."""
    small, n_classes = min(budget, width), len(job.class_names)
    predict = 2.0 * job.n_test * width * n_classes
    flops = 2.0 * budget * min(job.n_pool, MOST_COVERED)
    for head in job.heads:
        if head == "ridge":
            flops += _SOLVER * small**3 + 4.0 * _PENALTIES * budget * small * n_classes + predict
        elif head == "linear":
            flops += _SOLVER * small**3 + 8.0 * _LOGISTIC_STEPS * budget * small * n_classes + predict
        else:
            flops += 2.0 * (job.n_test + budget) * budget * width
    return flops
