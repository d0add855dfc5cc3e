"""Nearest rows, exactly: of other rows (`nearest`), or of the same (`knn`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._check import as_mask, as_shards, is_cosine, positive_int
from .._rows import named_rows
from ..cuda.arrays import place_of
from ..cuda.nearest import MOST_NEAREST
from ..cuda.neighbours import NearestRequest
from ..cuda.rows import on_host
from ..errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The nearest rows of every query, nearest first; arrays of a device where X is one.

    indices    int64 (n_queries, k), positions of rows, ties to the lower one
    distances  float64 (n_queries, k), ascending, in the metric's own unit
    """

    indices: Any
    distances: Any


def nearest(
    Q: Any, X: Any, *, k: int = 1, metric: str = "sqeuclidean", mask: Any = None, device: str | None = None
) -> Nearest:
    """The k nearest rows of X for every row of Q, exactly.

    Q, X    (n_queries, d) and (n, d) float16/32/64: NumPy array or memory map, RowShards, CPU torch tensor
    k       1 .. rows of X that the mask leaves
    metric  "sqeuclidean": sum_j (x_j - y_j)^2. "cosine": 1 - cos, half the former of rows scaled to unit norm
    mask    (n,) bool: rows of X with False are no answers and are never read
    device  Q and X may be CUDA arrays (torch, CuPy): then the work is done and answered there, for k up to 504.
            "cuda", "cuda:1": rows of the host are streamed through that device. Default: where X is

    Distances are defined in float64 on the stored values; float32 products only propose candidates, within a
    proven error bound. So the answer does not depend on threads, panels, shards or instruction set. Ties go to
    the lower row. Cost 2 n_queries n d flops; memory O(n_queries k) beyond Q and X, never n_queries x n.
    Raises InvalidInput (shapes, NaN rows, rows of zeros under cosine).
    """
    k, cosine = positive_int(k, "k"), is_cosine(metric)
    place = place_of(X, "X", device)
    if place is not None and (k <= MOST_NEAREST or device is not None or place[0].owns(X)):
        request = NearestRequest(Q, X, *place)
        used = as_mask(on_host(mask, place[0]), "mask", request.n_rows)
        _enough(k, request.n_rows if used is None else int(np.count_nonzero(used)), "k", used is not None)
        with named_rows("X"):
            return Nearest(*request.find(k, cosine, used))
    queries, rows = as_shards(Q, "Q"), as_shards(X, "X")
    if queries.shape[1] != rows.shape[1]:
        raise InvalidInput(
            f"Q has {queries.shape[1]} columns, X has {rows.shape[1]}. Both must come from the same backbone."
        )
    used = as_mask(mask, "mask", len(rows))
    _enough(k, len(rows) if used is None else int(np.count_nonzero(used)), "k", used is not None)
    with named_rows("X"):
        return Nearest(*_core.nearest(list(queries), list(rows), k, cosine, False, used))


def knn(X: Any, k: int, *, metric: str = "sqeuclidean", mask: Any = None, device: str | None = None) -> Nearest:
    """The k nearest other rows of every row of X, exactly; the row itself is left out, its duplicates are not.

    k     1 .. rows that the mask leaves, less one
    mask  (n,) bool: rows with False are never read, are no answers, and have themselves the indices -1 and
          distances NaN

    Otherwise as `nearest`. Cost 2 n^2 d flops; memory O(n k), and with a mask a copy of the rows it
    leaves.
    """
    k, cosine = positive_int(k, "k"), is_cosine(metric)
    place = place_of(X, "X", device)
    if place is not None and (k <= MOST_NEAREST or device is not None or place[0].owns(X)):
        return _knn_on_device(NearestRequest(None, X, *place), k, cosine, on_host(mask, place[0]))
    rows = as_shards(X, "X")
    used = as_mask(mask, "mask", len(rows))
    _enough(k, (len(rows) if used is None else int(np.count_nonzero(used))) - 1, "k", used is not None, "other ")
    if used is None or used.all():
        with named_rows("X", queries="X"):
            return Nearest(*_core.nearest(list(rows), list(rows), k, cosine, True, None))
    there = np.flatnonzero(used).astype(np.int64)
    kept = rows.take(there)
    indices, distances = np.full((len(rows), k), -1, dtype=np.int64), np.full((len(rows), k), np.nan)
    with named_rows("X[mask]", queries="X[mask]", cure="Fix them, or leave them out with mask= too."):
        found, distances[there] = _core.nearest([kept], [kept], k, cosine, True, None)
    indices[there] = there[found]
    return Nearest(indices, distances)


def _knn_on_device(request: NearestRequest, k: int, cosine: bool, mask: Any) -> Nearest:
    library, n_rows = request.library, request.n_rows
    used = as_mask(mask, "mask", n_rows)
    _enough(k, (n_rows if used is None else int(np.count_nonzero(used))) - 1, "k", used is not None, "other ")
    if used is None or used.all():
        with named_rows("X", queries="X"):
            return Nearest(*request.find(k, cosine, None))
    there: Any = np.flatnonzero(used).astype(np.int64)
    with named_rows("X[mask]", queries="X[mask]", cure="Fix them, or leave them out with mask= too."):
        found, near = request.kept(used).find(k, cosine, None)
    if request.from_host:
        indices: Any = np.full((n_rows, k), -1, dtype=np.int64)
        distances: Any = np.full((n_rows, k), np.nan)
        indices[there], distances[there] = there[found], near
        return Nearest(indices, distances)
    with library.guard(request.device):
        there = library.from_host(there, request.device)
        indices = library.full((n_rows, k), -1, "int64", request.device)
        distances = library.full((n_rows, k), np.nan, "float64", request.device)
        indices[there], distances[there] = there[found], near
    return Nearest(indices, distances)


def _enough(k: int, n_rows: int, name: str, masked: bool, other: str = "") -> None:
    if k > n_rows:
        left = " that mask leaves" if masked else ""
        raise InvalidInput(f"{name} is {k}, but X has only {n_rows} {other}rows{left}. Ask for at most {n_rows}.")
