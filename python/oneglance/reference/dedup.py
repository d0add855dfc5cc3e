"""Near-duplicates inside clusters, by definition."""

from __future__ import annotations

import numpy as np

from .._types import FloatArray, IntArray
from .nearest import distances, prepared


def duplicates(x: FloatArray, labels: IntArray, free: IntArray, labelled: IntArray, eps: float) -> dict[int, int]:
    """Rows of `free` that are dropped, each with the kept row that it duplicates.

    Labelled rows are kept; then the rows of free in ascending order, unless the cosine distance to an earlier kept
    row of the same cluster is below eps. The first such row is the one that it duplicates.
    """
    rows = prepared(x, "cosine")
    kept = [int(i) for i in np.sort(labelled)]
    dropped: dict[int, int] = {}
    for i in np.sort(free).tolist():
        near = [j for j in kept if labels[j] == labels[i] and distances(rows[i], rows[j : j + 1], "cosine")[0] < eps]
        if near:
            dropped[i] = near[0]
        else:
            kept.append(i)
    return dropped
