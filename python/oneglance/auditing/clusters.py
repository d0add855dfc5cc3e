"""Clusters of a pool, as many as the pool seems to have kinds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..cluster import kmeans
from ..reference.nearest import prepared
from ..strategies.pairs import fixed_sample

SAMPLE = 1000
"""Rows that find the clusters, and so the most of these."""

_DIMS = 64
_TRIED = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 25, 32, 40, 50)
_STARTS = 3


@dataclass(frozen=True, eq=False)
class Clusters:
    """labels (n,) int64, -1 for rows not used; counts (k,); silhouette of the sample by number of clusters tried."""

    labels: IntArray
    counts: IntArray
    silhouettes: dict[int, float]


def cluster_rows(rows: RowShards, used: BoolArray, clusters: int | None, seed: int) -> Clusters:
    """Spherical k-means of the used rows.

    clusters  how many; None: the number of the largest mean silhouette among 2 .. 50, on a fixed sample of 1000 rows
              in their 64 leading directions, the best of three starts each. With more clusters than kinds, k-means
              cuts large kinds into pieces of even size, and an uneven pool looks even
    """
    there = np.flatnonzero(used).astype(np.int64)
    chosen = there[fixed_sample(there, SAMPLE)]
    sample = rows.take(chosen)
    silhouettes: dict[int, float] = {}
    wanted = [k for k in _TRIED if k <= max(2, chosen.size // 10)] if clusters is None else [clusters]
    unit = prepared(sample, "cosine")
    cosines = unit @ unit.T
    values, vectors = np.linalg.eigh(cosines)
    few = vectors[:, ::-1][:, :_DIMS] * np.sqrt(np.maximum(values[::-1][:_DIMS], 0.0))
    distances = np.maximum(1.0 - cosines, 0.0)
    distances[distances < 1e-12] = 0.0  # rounding of equal rows
    starts: dict[int, Float64Array] = {}
    for k in wanted:
        k = min(k, chosen.size)
        tries = [kmeans(few, k, max_iter=30, seed=seed + i) for i in range(_STARTS)]
        best = min(tries, key=lambda found: found.inertia)
        starts[k] = _means(unit, best.labels, k)
        silhouettes[k] = _silhouette(distances, best.labels, k)
    k = max(silhouettes, key=lambda tried: (silhouettes[tried], -tried))
    mask = None if used.all() else used
    whole = kmeans(rows, k, metric="cosine", init=starts[k], max_iter=20, mask=mask)
    return Clusters(whole.labels, np.bincount(whole.labels[there], minlength=k).astype(np.int64), silhouettes)


def _means(unit: Float64Array, labels: IntArray, k: int) -> Float64Array:
    """Centres in the space of the rows; where one would be zero, a row of its cluster, or the first, stands in."""
    out = np.empty((k, unit.shape[1]))
    for cluster in range(k):
        own = np.flatnonzero(labels == cluster)
        mean = unit[own].mean(axis=0) if own.size else unit[0]
        out[cluster] = mean if mean.any() else unit[own[0]]
    return out


def _silhouette(distances: Float64Array, labels: IntArray, k: int) -> float:
    """Mean of (b - a) / max(a, b): a the mean distance to the own cluster, b to the nearest other (Rousseeuw 1987)."""
    if k < 2:
        return 0.0
    marks = np.eye(k)[labels]
    sizes = marks.sum(axis=0)
    sums = distances @ marks
    own = sizes[labels]
    every = np.arange(labels.size)
    a = sums[every, labels] / np.maximum(own - 1, 1)
    means = sums / np.maximum(sizes, 1)
    means[:, sizes == 0] = np.inf
    means[every, labels] = np.inf
    b = means.min(axis=1)
    larger = np.maximum(a, b)
    value = np.where((own > 1) & (larger > 0), (b - a) / np.where(larger > 0, larger, 1.0), 0.0)
    return float(value.mean())
