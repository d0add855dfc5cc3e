"""k-means of every image's own points (FreeSel's patterns), one image after the other, in float64."""

from __future__ import annotations

import numpy as np

from .._rng import Purpose, uniforms
from .._types import Float64Array, FloatArray, IntArray


def image_patterns(
    points: FloatArray, k: int, *, seed: int, item: int, max_iter: int = 100, tol: float = 1e-4
) -> Float64Array:
    """min(k, m) patterns of one image's m points (m, d): its points, their mean, or Lloyd's centres.

    Start: the k points with the smallest uniforms of (seed, PATTERN, position, item), in that order. Stops
    when (sum of centre shifts)^2 < tol. A centre without points becomes a random point of the image.
    """
    x = np.asarray(points, np.float64)
    m = x.shape[0]
    if k >= m:
        return x
    if k == 1:
        mean: Float64Array = x.mean(axis=0, keepdims=True)
        return mean
    keys = uniforms(seed, Purpose.PATTERN, np.arange(m), draw=item)
    centers: Float64Array = x[np.argsort(keys, kind="stable")[:k]]
    for t in range(max_iter):
        nearest = ((x[:, None, :] - centers) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.empty_like(centers)
        for c in range(k):
            mine = x[nearest == c]
            if mine.shape[0]:
                moved[c] = mine.mean(axis=0)
            else:
                u = uniforms(seed, Purpose.KMEANS, np.array([c * 128 + t]), draw=item)[0]
                moved[c] = x[int(m * u)]
        shift = np.sqrt(((moved - centers) ** 2).sum(axis=1)).sum()
        centers = moved
        if shift**2 < tol:
            break
    return centers


def small_kmeans(
    points: FloatArray,
    offsets: IntArray,
    k: int,
    *,
    seed: int = 0,
    items: IntArray | None = None,
    max_iter: int = 100,
    tol: float = 1e-4,
) -> tuple[FloatArray, IntArray]:
    """image_patterns of every image, flat and rounded to float32, with the offsets of the images."""
    n_images = offsets.size - 1
    names = np.arange(n_images) if items is None else items
    found = [
        image_patterns(
            points[offsets[i] : offsets[i + 1]], k, seed=seed, item=int(names[i]), max_iter=max_iter, tol=tol
        )
        for i in range(n_images)
    ]
    ends = np.cumsum([0] + [part.shape[0] for part in found], dtype=np.int64)
    return np.concatenate(found).astype(np.float32), ends
