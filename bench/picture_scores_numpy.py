"""The scores of oneglance.auditing.picture_scores in NumPy, for many small pictures of one shape at a time."""

from functools import lru_cache

import numpy as np

_PARTS = 32
_BIT = np.uint64(1) << np.arange(63, -1, -1, dtype=np.uint64)


def picture_scores_numpy(rgb):
    n, height, width, _ = rgb.shape
    planes = np.ascontiguousarray(rgb.transpose(3, 0, 1, 2))
    levels = _levels(planes)
    n_pixels = height * width
    flat = levels.reshape(n, n_pixels).astype(np.int64)
    flat += 256 * np.arange(n)[:, None]
    counts = np.bincount(flat.ravel(), minlength=256 * n).reshape(n, 256)
    below = counts.cumsum(axis=1)
    share = counts / n_pixels
    logs = np.log2(share, out=np.zeros_like(share), where=counts > 0)
    spread = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    spread -= np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    return {
        "low": (below * 100 >= 5 * n_pixels).argmax(axis=1) / 255,
        "high": (below * 100 >= 99 * n_pixels).argmax(axis=1) / 255,
        "entropy": -(share * logs).sum(axis=1),
        "edges": _edges(levels),
        "colour": spread.reshape(n, -1).mean(axis=1),
        "hash": _perceptual_hashes(levels),
    }


def _levels(planes):
    """(3, ...) -> brightness levels. Exact in float32: sums stay below 2^24."""
    total = np.zeros(planes.shape[1:], dtype=np.float32)
    for plane, factor in zip(planes, (62, 177, 17), strict=True):
        square = plane.astype(np.float32)
        square *= square
        square *= np.float32(factor)
        total += square
    total *= np.float32(1 / 256)
    np.floor(total, out=total)
    np.sqrt(total, out=total)
    return total.astype(np.uint8)


def _edges(levels):
    n, height, width = levels.shape
    if min(height, width) < 3:
        return np.full(n, np.nan)
    wide = levels.astype(np.int16)
    lines = wide[:, :-2] + wide[:, 1:-1]
    lines += wide[:, 2:]
    boxes = lines[:, :, :-2] + lines[:, :, 1:-1]
    boxes += lines[:, :, 2:]
    edges = 9 * wide[:, 1:-1, 1:-1] - boxes
    np.clip(edges, 0, 255, out=edges)
    flat = edges.reshape(n, -1).astype(np.float64)
    size, total = flat.shape[1], flat.sum(axis=1)
    return np.sqrt(size * np.einsum("ij,ij->i", flat, flat) - total**2) / size  # whole numbers: exact


def _perceptual_hashes(levels):
    """Two products per picture: averaging to 32 x 32 and the cosine transform are both linear."""
    n, height, width = levels.shape
    across = levels.astype(np.float64).reshape(-1, width) @ _waves(width).T
    down = across.reshape(n, height, 8).transpose(0, 2, 1).reshape(-1, height) @ _waves(height).T
    coefficients = down.reshape(n, 8, 8).transpose(0, 2, 1).reshape(n, 64)
    bits = coefficients > np.median(coefficients, axis=1)[:, None]
    return (bits * _BIT).sum(axis=1, dtype=np.uint64)


@lru_cache(maxsize=256)
def _waves(side):
    """(8, side): the average over 32 equal parts of a side, then the lowest 8 waves of the orthonormal DCT-II."""
    edges = np.arange(_PARTS + 1) * (side / _PARTS)
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    mean = np.maximum(overlap, 0.0) * (_PARTS / side)
    place = 2 * np.arange(_PARTS) + 1
    waves = np.cos(np.pi * np.outer(np.arange(8), place) / (2 * _PARTS)) * np.sqrt(2 / _PARTS)
    waves[0] /= np.sqrt(2.0)
    return waves @ mean
