"""Distances by definition, and the nearest rows by them: float64, one query at a time."""

from __future__ import annotations

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray, IntArray


def prepared(x: FloatArray, metric: str) -> Float64Array:
    """Rows in float64; for cosine scaled to unit norm."""
    rows = np.asarray(x, np.float64)
    if metric == "sqeuclidean":
        return rows
    scaled = rows / np.abs(rows).max(axis=1, keepdims=True)
    unit: Float64Array = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def distances(query: Float64Array, rows: Float64Array, metric: str) -> Float64Array:
    """One prepared query to every prepared row, (n,)."""
    total: Float64Array = ((rows - query) ** 2).sum(axis=1)
    return total if metric == "sqeuclidean" else total / 2


def nearest(
    q: FloatArray,
    x: FloatArray,
    k: int = 1,
    metric: str = "sqeuclidean",
    *,
    mask: BoolArray | None = None,
    skip_self: bool = False,
) -> tuple[IntArray, Float64Array]:
    """The k nearest rows of every query, ascending, ties to the lower row: indices and distances, (nq, k).

    mask       rows with False are no answers
    skip_self  query i is row i, which is no answer to itself
    """
    queries, rows = prepared(q, metric), prepared(x, metric)
    indices = np.empty((queries.shape[0], k), dtype=np.int64)
    found = np.empty((queries.shape[0], k))
    for i, query in enumerate(queries):
        d = distances(query, rows, metric)
        allowed = np.ones(rows.shape[0], dtype=bool) if mask is None else mask.copy()
        if skip_self:
            allowed[i] = False
        order = np.argsort(np.where(allowed, d, np.inf), kind="stable")[:k]
        indices[i], found[i] = order, d[order]
    return indices, found
