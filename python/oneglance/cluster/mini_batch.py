"""Mini-batch k-means for rows that are slow to read (Sculley 2010), the same for any number of threads."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, FloatArray, IntArray, RowShards

_BLOCK_ROWS = 64  # read together: neighbours on disk, few enough for a batch to hold many places of the pool


def mini_batch(
    rows: RowShards,
    centers: Float64Array,
    cosine: bool,
    *,
    max_iter: int,
    tol: float,
    seed: int,
    mask: BoolArray | None,
    batch: int,
) -> tuple[Float64Array, IntArray, Float64Array, int, float, bool, int]:
    """Centres that move after every batch: c <- (count c + sum of its rows in the batch) / (count + their number).

    count adds up all rows that a centre ever got, so its steps shrink as 1 / count. One reading takes every row
    once, in blocks of 64 neighbours in an order of (seed, reading); a batch is `batch` rows of them. After a reading
    a centre that got no row in it becomes the row that was farthest from its centre (the next farthest for the
    next centre), and its count starts anew. Ends after max_iter readings, or converged: when the mean distance of
    a row, measured as it was met, fell by no more than tol of itself from one reading to the next. Then one more
    reading assigns every row.
    Answers as _core.kmeans. Raises NonFiniteRows and ZeroRows with the rows' positions in `rows`.
    """
    used = np.arange(len(rows), dtype=np.int64) if mask is None else np.flatnonzero(mask).astype(np.int64)
    k = centers.shape[0]
    centers = _unit(centers) if cosine else centers.copy()
    counts = np.zeros(k)
    n_iter, shift, reassigned, spread, converged = 0, np.inf, 0, np.inf, False
    while n_iter < max_iter and not converged:
        before, got = centers.copy(), np.zeros(k, dtype=np.int64)
        distance, position = np.empty(used.size), 0
        order = _order(used, seed, n_iter)
        for start in range(0, used.size, batch):
            taken = np.sort(order[start : start + batch])
            x = rows.take(taken)
            labels, d = _assigned(x, centers, cosine, taken)
            distance[position : position + taken.size] = d
            position += taken.size
            here = np.bincount(labels, minlength=k)
            got += here
            _move(centers, counts, x, labels, here, cosine)
        empty = np.flatnonzero(got == 0)
        if empty.size:
            batches = [np.sort(order[start : start + batch]) for start in range(0, used.size, batch)]
            seen = np.concatenate(batches)
            far = seen[np.lexsort((seen, -distance))[: empty.size]]
            found = np.asarray(rows.take(far), np.float64)
            centers[empty] = _unit(found) if cosine else found
            counts[empty] = 1
            reassigned += int(empty.size)
        n_iter += 1
        moved, previous, spread = (
            ((centers - before) ** 2).sum() / k * (0.5 if cosine else 1.0),
            spread,
            distance.mean(),
        )
        converged = bool(empty.size == 0 and previous - spread <= tol * spread)
        shift = float(np.sqrt(moved / spread)) if moved and spread else 0.0
    labels, distances = np.full(len(rows), -1, dtype=np.int64), np.full(len(rows), np.nan)
    for start in range(0, used.size, batch):
        taken = used[start : start + batch]
        labels[taken], distances[taken] = _assigned(rows.take(taken), centers, cosine, taken)
    return centers, labels, distances, n_iter, shift, converged, reassigned


def _order(used: IntArray, seed: int, reading: int) -> IntArray:
    """The rows of one reading: blocks of neighbours in a random order, rows within a block ascending."""
    block = used // _BLOCK_ROWS
    keys = uniforms(seed, Purpose.KMEANS, block, draw=reading + 1)
    return used[np.lexsort((used, block, keys))]


def _assigned(x: FloatArray, centers: Float64Array, cosine: bool, taken: IntArray) -> tuple[IntArray, Float64Array]:
    """Nearest centre and distance of some rows; bad rows are named by their positions in the pool."""
    try:
        indices, distances = _core.nearest([x], [centers], 1, cosine, False, None)
    except _core.NonFiniteQueries as error:
        raise _core.NonFiniteRows(error.args[0], taken[error.args[1]].tolist()) from None
    except _core.ZeroQueries as error:
        raise _core.ZeroRows(error.args[0], taken[error.args[1]].tolist()) from None
    return indices[:, 0], distances[:, 0]


def _move(
    centers: Float64Array, counts: Float64Array, x: FloatArray, labels: IntArray, here: IntArray, cosine: bool
) -> None:
    """One batch's step, in place. Sums run over the rows in order, so they are the same on every machine size."""
    touched = np.flatnonzero(here)
    wide = np.asarray(x[np.argsort(labels, kind="stable")], np.float64)
    wide = _unit(wide) if cosine else wide
    starts = np.concatenate([[0], np.cumsum(here[touched])[:-1]])
    sums = np.add.reduceat(wide, starts, axis=0)
    total = counts[touched] + here[touched]
    means = (centers[touched] * counts[touched][:, None] + sums) / total[:, None]
    counts[touched] = total
    if cosine:
        kept = means.any(axis=1)
        means[kept], means[~kept] = _unit(means[kept]), centers[touched][~kept]
    centers[touched] = means


def _unit(x: Float64Array) -> Float64Array:
    scaled = x / np.abs(x).max(axis=1, keepdims=True)
    unit: Float64Array = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit
