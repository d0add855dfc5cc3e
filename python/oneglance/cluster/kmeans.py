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
from ..cuda import DeviceRows, Library
from ..cuda.arrays import place_of
from ..cuda.kmeans import kmeans as cuda_kmeans
from ..cuda.rows import DeviceCopy, on_host
from ..errors import InvalidInput
from ..search import weighted_draw
from .mini_batch import mini_batch

INITS = ("k-means++", "random")


@dataclass(frozen=True, slots=True, eq=False)
class KMeans:
    """Clusters with the evidence of how far the iteration came; arrays of a device where X is one.

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

    centers: Any
    labels: Any
    distances: Any
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
    device: str | None = None,
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
    device      X may be a CUDA array (torch, CuPy): then the work is done and answered there, with the CPU's labels and
                centres from the same init. "cuda", "cuda:1": rows of the host are copied to that device. Default: where
                X is

    An empty cluster takes the row that is farthest from its own centre; several, in order of their number, take
    the next farthest, each row at most once. Labels are decided in float64 (see oneglance.nearest), so the answer
    does not depend on threads, panels or shards. Cost 2 n k d flops per iteration at most: bounds skip work
    without changing the answer. Memory O(n + k d). Raises InvalidInput.
    """
    k, cosine, seed = positive_int(k, "k"), is_cosine(metric), seed_int(seed)
    max_iter, tol = positive_int(max_iter, "max_iter"), positive_number(tol, "tol", zero_ok=True)
    place = place_of(X, "X", device)
    if place is not None and (batch_rows is None or device is not None or place[0].owns(X)):
        if batch_rows is not None:
            raise InvalidInput("batch_rows is for rows that are slow to read: leave it out on a device.")
        return _on_device(X, place, k, metric, init, max_iter, tol, seed, mask)
    rows = as_shards(X, "X")
    used = as_mask(mask, "mask", len(rows))
    _enough(k, len(rows), used)
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


def _enough(k: int, n_rows: int, used: BoolArray | None) -> None:
    n_used = n_rows if used is None else int(np.count_nonzero(used))
    if k > n_used:
        left = " that mask leaves" if used is not None else ""
        raise InvalidInput(f"k is {k}, but X has only {n_used} rows{left}. Ask for at most {n_used}.")


def _on_device(
    X: Any,
    place: tuple[Library, int],
    k: int,
    metric: str,
    init: Any,
    max_iter: int,
    tol: float,
    seed: int,
    mask: Any,
) -> KMeans:
    library, number = place
    with library.guard(number):
        matrix = DeviceCopy(X, library, number)
        used = as_mask(on_host(mask, library), "mask", matrix.rows.n_rows)
        _enough(k, matrix.rows.n_rows, used)
        there = None if used is None else library.from_host(np.flatnonzero(used).astype(np.int64), number)
        kept = matrix.rows if there is None else matrix.taken(there)
        with named_rows("X" if used is None else "X[mask]"), matrix.memory("kmeans", k):
            start = _initial_on_device(matrix.rows, k, metric, init, seed, used)
            found = cuda_kmeans(kept, start, metric == "cosine", max_iter, tol)
        centers, labels, distances = found[:3]
        inertia = float(distances.sum())
        if there is not None:
            all_labels = library.full(matrix.rows.n_rows, -1, "int64", number)
            all_distances = library.full(matrix.rows.n_rows, np.nan, "float64", number)
            all_labels[there], all_distances[there] = labels, distances
            labels, distances = all_labels, all_distances
        centers, labels, distances = (matrix.answer(array) for array in (centers, labels, distances))
    return KMeans(centers, labels, distances, inertia, *found[3:])


def _initial_on_device(rows: DeviceRows, k: int, metric: str, init: Any, seed: int, mask: BoolArray | None) -> Any:
    """Starting centres, float64 (k, d) on the device."""
    library = rows.library
    if not isinstance(init, str):
        return library.from_host(_given(on_host(init, library), k, rows.n_dims, metric), rows.device)
    if init == "k-means++":
        chosen = weighted_draw(rows.array, k, gamma=1.0, metric=metric, mask=mask, seed=seed).indices
    else:
        there = np.arange(rows.n_rows) if mask is None else np.flatnonzero(mask)
        chosen = library.from_host(_random(there, k, init, seed), rows.device)
    return library.contiguous(library.astype(rows.array[chosen], "float64"))


def _random(there: IntArray, k: int, init: str, seed: int) -> IntArray:
    """k of the rows, all alike; refuses other names than INITS."""
    if init not in INITS:
        raise InvalidInput(f"init must be one of {list(INITS)} or an array of centres, got {init!r}.")
    keys = uniforms(seed, Purpose.KMEANS, there.astype(np.int64))
    return there[np.argsort(keys, kind="stable")[:k]].astype(np.int64)


def _initial(rows: RowShards, k: int, metric: str, init: Any, seed: int, mask: BoolArray | None) -> Float64Array:
    """Starting centres, float64 (k, d)."""
    if not isinstance(init, str):
        return _given(init, k, rows.shape[1], metric)
    if init == "k-means++":
        chosen = weighted_draw(rows, k, gamma=1.0, metric=metric, mask=mask, seed=seed).indices
    else:
        chosen = _random(np.arange(len(rows)) if mask is None else np.flatnonzero(mask), k, init, seed)
    return np.ascontiguousarray(rows.take(chosen), dtype=np.float64)


def _given(init: Any, k: int, n_dims: int, metric: str) -> Float64Array:
    """Centres that the caller gave, checked."""
    centers = np.array(as_matrix(init, "init"), dtype=np.float64, order="C")
    if centers.shape != (k, n_dims):
        raise InvalidInput(f"init must hold k centres of shape ({k}, {n_dims}), got shape {centers.shape}.")
    if not np.isfinite(centers).all():
        raise InvalidInput("init must hold finite centres, got NaN or infinity.")
    if metric == "cosine" and not centers.any(axis=1).all():
        raise InvalidInput("init holds a centre of zeros, which has no cosine. Replace it.")
    return centers
