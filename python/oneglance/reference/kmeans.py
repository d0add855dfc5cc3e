"""Lloyd's algorithm with a deterministic rule for empty clusters, and its form on the sphere."""

from __future__ import annotations

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray, IntArray
from .nearest import distances, nearest, prepared


def fill_empty(labels: IntArray, d: Float64Array, k: int) -> tuple[IntArray, int]:
    """Labels in which each empty cluster, in order, got the next row by descending distance; and how many did.

    d  distance of every row to its own centre; ties go to the lower row; a row moves at most once
    """
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    filled = labels.copy()
    filled[np.argsort(-d, kind="stable")[: empty.size]] = empty
    return filled, int(empty.size)


def updated(x: Float64Array, labels: IntArray, centers: Float64Array, metric: str) -> Float64Array:
    """Mean of each cluster's prepared rows, for cosine scaled to unit norm; a cluster without one keeps its centre."""
    new = centers.copy()
    for c in range(centers.shape[0]):
        mine = x[labels == c]
        if mine.shape[0] == 0:
            continue
        mean = mine.mean(axis=0)
        if metric == "sqeuclidean":
            new[c] = mean
        elif mean.any():
            new[c] = mean / np.linalg.norm(mean)
    return new


def kmeans(
    x: FloatArray,
    centers: Float64Array,
    metric: str = "sqeuclidean",
    *,
    max_iter: int = 100,
    tol: float = 1e-4,
    mask: BoolArray | None = None,
) -> tuple[Float64Array, IntArray, Float64Array, int, float, bool, int]:
    """(centers, labels, distances, n_iter, shift, converged, reassigned) of Lloyd's algorithm from given centres.

    shift is the movement of the centres in the last iteration: the root of (mean distance between old and new
    centre) / (mean distance of a row to its old centre), in the metric's distance; 0 when every row lies on its old
    centre. Stops when shift <= tol.
    Labels and distances belong to the centres returned; masked rows have -1 and NaN.
    """
    used = np.ones(x.shape[0], dtype=bool) if mask is None else mask
    rows = prepared(np.asarray(x)[used], metric)
    c = prepared(centers, metric)
    k, shift, reassigned, n_iter = c.shape[0], np.inf, 0, 0
    while n_iter < max_iter and shift > tol:
        index, d = nearest(rows, c, 1, metric)
        labels, moved = fill_empty(index[:, 0], d[:, 0], k)
        new = updated(rows, labels, c, metric)
        movement = float(np.mean([distances(new[i], c[i : i + 1], metric)[0] for i in range(k)]))
        shift = float(np.sqrt(movement / d.mean())) if movement and d.any() else 0.0
        c, n_iter, reassigned = new, n_iter + 1, reassigned + moved
    index, d = nearest(rows, c, 1, metric)
    all_labels, all_d = np.full(x.shape[0], -1, dtype=np.int64), np.full(x.shape[0], np.nan)
    all_labels[used], all_d[used] = index[:, 0], d[:, 0]
    return c, all_labels, all_d, n_iter, shift, shift <= tol, reassigned
