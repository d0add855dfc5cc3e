"""k-means of a pool: seeded by weighted draws, Lloyd in full readings or in mini-batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._check import as_mask, as_matrix, as_shards, is_cosine, positive_int, positive_number, seed_int
from .._rng import Purpose, uniforms
from .._rows import named_rows
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..errors import InvalidInput
from ..search import weighted_draw
from .mini_batch import mini_batch

INITS = ("k-means++", "random")


@dataclass(frozen=True, slots=True, eq=False)
class KMeans:
    """Clusters with the evidence of how far the iteration came.

    centers    float64 (k, d); of unit norm for cosine. They repeat when there are fewer than k distinct rows
    labels     int64 (n,), nearest centre of every row, ties to the lower one; -1 for rows that mask leaves out
    distances  float64 (n,), to that centre, in the metric's own unit; NaN for rows that mask leaves out
    inertia    sum of the distances
    n_iter     updates of the centres (readings of the rows in mini-batch mode)
    shift      movement of the centres in the last one: root of (mean distance between old and new centre) /
               (mean distance of a row to its old centre); 0 when every row lies on its old centre
    converged  shift <= tol (in mini-batch mode: the mean distance fell by no more than tol from one reading to the
               next)
    reassigned times an empty cluster got a row
    """

    centers: Float64Array
    labels: IntArray
    distances: Float64Array
    inertia: float
    n_iter: int
    shift: float
    converged: bool
    reassigned: int


def kmeans(
    X: Any,
    k: int,
    *,
    metric: str = "sqeuclidean",
    init: Any = "k-means++",
    max_iter: int = 100,
    tol: float = 1e-4,
    seed: int = 0,
    mask: Any = None,
    batch_rows: int | None = None,
) -> KMeans:
    """k clusters of the rows of X by Lloyd's algorithm.

    X           (n, d) float16/32/64: NumPy array or memory map, RowShards, CPU torch tensor
    k           1 .. rows that the mask leaves
    metric      "sqeuclidean", or "cosine": rows scaled to unit norm, centres the scaled means (spherical k-means)
    init        "k-means++" (weighted_draw with gamma 1), "random" (distinct rows, all alike), or centres (k, d)
    max_iter    most iterations
    tol         converged when shift <= tol (see KMeans); 0 runs until nothing moves, or max_iter
    seed        0 .. 2**63 - 1
    mask        (n,) bool: rows with False are left out and never read
    batch_rows  rows per mini-batch (Sculley 2010), for memory maps that are slow to read: the centres move after
                every batch, so fewer readings are needed; max_iter counts readings. Default: full readings

    An empty cluster takes the row that is farthest from its own centre; several, in order of their number, take
    the next farthest, each row at most once. Labels are decided in float64 (see oneglance.nearest), so the answer
    does not depend on threads, panels or shards. Cost 2 n k d flops per iteration at most: bounds skip work
    without changing the answer. Memory O(n + k d). Raises InvalidInput.
    """
    k, cosine, seed = positive_int(k, "k"), is_cosine(metric), seed_int(seed)
    max_iter, tol = positive_int(max_iter, "max_iter"), positive_number(tol, "tol", zero_ok=True)
    rows = as_shards(X, "X")
    used = as_mask(mask, "mask", len(rows))
    n_used = len(rows) if used is None else int(np.count_nonzero(used))
    if k > n_used:
        left = " that mask leaves" if used is not None else ""
        raise InvalidInput(f"k is {k}, but X has only {n_used} rows{left}. Ask for at most {n_used}.")
    batch = None if batch_rows is None else positive_int(batch_rows, "batch_rows")
    centers = _initial(rows, k, metric, init, seed, used)
    with named_rows("X"):
        if batch is None:
            found = _core.kmeans(list(rows), k, cosine, centers, max_iter, tol, used)
        else:
            found = mini_batch(rows, centers, cosine, max_iter=max_iter, tol=tol, seed=seed, mask=used, batch=batch)
    centers, labels, distances, n_iter, shift, converged, reassigned = found
    inertia = float(np.nansum(distances))
    return KMeans(centers, labels, distances, inertia, n_iter, shift, converged, reassigned)


def _initial(rows: RowShards, k: int, metric: str, init: Any, seed: int, mask: BoolArray | None) -> Float64Array:
    """Starting centres, float64 (k, d)."""
    if isinstance(init, str):
        if init not in INITS:
            raise InvalidInput(f"init must be one of {list(INITS)} or an array of centres, got {init!r}.")
        if init == "k-means++":
            chosen = weighted_draw(rows, k, gamma=1.0, metric=metric, mask=mask, seed=seed).indices
        else:
            there = np.arange(len(rows)) if mask is None else np.flatnonzero(mask)
            keys = uniforms(seed, Purpose.KMEANS, there.astype(np.int64))
            chosen = there[np.argsort(keys, kind="stable")[:k]].astype(np.int64)
        return np.ascontiguousarray(rows.take(chosen), dtype=np.float64)
    centers = np.array(as_matrix(init, "init"), dtype=np.float64, order="C")
    if centers.shape != (k, rows.shape[1]):
        raise InvalidInput(f"init must hold k centres of shape ({k}, {rows.shape[1]}), got shape {centers.shape}.")
    if not np.isfinite(centers).all():
        raise InvalidInput("init must hold finite centres, got NaN or infinity.")
    if metric == "cosine" and not centers.any(axis=1).all():
        raise InvalidInput("init holds a centre of zeros, which has no cosine. Replace it.")
    return centers
