"""Strategy "bilaf": core items that stand for pseudo-classes, and items near the boundaries between these (BiLAF)."""

from __future__ import annotations

import numpy as np

from ..cluster import BiLAF
from ..cluster import bilaf as fit
from .coverage import Chosen, Task, coverage
from .request import Picks, Request
from .space import feature_space

_READINGS = 3.0  # nearest cores, densities, boundaries; besides those of the cores


def bilaf(
    request: Request,
    *,
    metric: str = "cosine",
    cores: str = "activeft",
    n_cores: int | None = None,
    neighbors: int = 10,
    growth: float = 0.1,
    removal: float = 0.1,
    penalty: float = 1.1,
    compat: str = "paper",
) -> Picks:
    """Cores and boundary samples of the global features of one backbone; the parameters are those of oneglance.bilaf
    (neighbors is its n_neighbors).

    Labelled items are cores of their classes. Cores come first, then the classes give their boundary samples in
    turns. weights are the numbers of candidates nearest to each pick, scores too; inclusion_prob is NaN. The seed
    changes the cores. compat="released" is for comparison with published picks only; the certificate then says it, and
    how many picks had been repeats. Source: arXiv 2403.10069.
    """
    space = feature_space(request.pool, metric, "bilaf")
    reports: list[BiLAF] = []

    def search(task: Task) -> Chosen:
        n_rows, width = task.space.rows.shape
        request.note(f"BiLAF of {space.backbone} ({n_rows} x {width}, cores by {cores}, {metric}) ...")
        found = fit(
            task.space.rows,
            task.count,
            cores=cores,
            n_cores=n_cores,
            n_neighbors=neighbors,
            growth=growth,
            removal=removal,
            penalty=penalty,
            metric=metric,
            already=task.labelled if task.labelled.size else None,
            mask=task.used,
            seed=task.seed,
            compat=compat,
        )
        reports.append(found)
        reasons = [
            f"core of class {one}" if other < 0 else f"boundary of class {one} to {other}, score {score:.3g}"
            for one, other, score in zip(found.classes, found.opponent, found.scores, strict=True)
        ]
        none = np.full(task.count, -1, dtype=np.int64)
        return Chosen(found.indices, np.full(task.count, np.nan), none, reasons, _READINGS)

    picks = coverage(request, space, np.empty(0, dtype=np.int64), search, "weights")
    picks.certificate["n_cores"] = sum(report.cores.size for report in reports)
    picks.certificate["n_removed"] = sum(report.removed.size for report in reports)
    picks.certificate["compat"] = compat
    if compat == "released":
        picks.certificate["n_repeats"] = sum(report.repeats for report in reports)
        request.note("bilaf: compat=released repeats the errors of the published code; for comparison only.")
    return picks
