"""Leverage scores by their definition."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray


def leverage_scores(x: FloatArray) -> Float64Array:
    """tau_i = x_i' (X'X)^+ x_i in [0, 1]; they sum to rank(X). Columns are compared at unit norm."""
    rows = np.asarray(x, np.float64)
    largest = np.abs(rows).max(axis=0)
    rows = rows[:, largest > 0] / largest[largest > 0]
    if rows.shape[1] == 0:
        return np.zeros(rows.shape[0])
    u, s, _ = np.linalg.svd(rows / np.linalg.norm(rows, axis=0), full_matrices=False)
    rank = int((s > s[0] * max(rows.shape) * np.finfo(np.float64).eps).sum())
    scores: Float64Array = (u[:, :rank] ** 2).sum(axis=1)
    return scores
