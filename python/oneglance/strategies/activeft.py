"""Strategy "activeft": items whose distribution is near that of the pool and which keep apart (ActiveFT)."""

from __future__ import annotations

import numpy as np

from ..cluster import ActiveFT
from ..cluster import activeft as fit
from .coverage import Chosen, Task, coverage
from .request import Picks, Request
from .space import feature_space


def activeft(
    request: Request,
    *,
    objective: str = "released",
    temperature: float = 0.07,
    balance: float = 1.0,
    learning_rate: float = 1e-3,
    n_iter: int = 300,
    sample_rows: int | None = None,
    init: str = "random",
) -> Picks:
    """The items nearest to parameters fitted to the global features of one backbone, scaled to unit norm.

    objective  "released", with which the paper's results were made, or "paper", its formula, which was seen to do no
               better than random picks (docs/strategies.md). The other parameters are those of oneglance.activeft

    Labelled items are parameters that stay where they are. Items nearest to their parameter come first. weights
    are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. The seed changes the start
    and the samples. Source: arXiv 2303.14382.
    """
    space = feature_space(request.pool, "cosine", "activeft")
    reports: list[ActiveFT] = []

    def search(task: Task) -> Chosen:
        n_rows, width = task.space.rows.shape
        request.note(f"ActiveFT of {space.backbone} ({n_rows} x {width}, {task.count} parameters, {objective}) ...")
        found = fit(
            task.space.rows,
            task.count,
            objective=objective,
            temperature=temperature,
            balance=balance,
            learning_rate=learning_rate,
            n_iter=n_iter,
            sample_rows=sample_rows,
            init=init,
            already=task.labelled if task.labelled.size else None,
            mask=task.used,
            seed=task.seed,
        )
        reports.append(found)
        order = np.argsort(-found.cosines, kind="stable")
        reasons = [f"nearest to a fitted parameter, cosine {found.cosines[i]:.3g}" for i in order]
        none = np.full(task.count, -1, dtype=np.int64)
        return Chosen(found.indices[order], np.full(task.count, np.nan), none, reasons, float(n_iter))

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["objective"] = objective
    picks.certificate["loss"] = [[float(report.loss[0]), float(report.loss[-1])] for report in reports]
    return picks
