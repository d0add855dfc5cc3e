"""Light scores of an 8-bit RGB picture and its perceptual hash, by definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import Float64Array


def reduced(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(h, w, 3) -> at most 64 pixels a side: means of boxes of k x k, k the least that does, of what is left at the far
    borders; rounded to the nearest, halves up. A smaller picture stays as it is."""
    height, width, _ = rgb.shape
    k = math.ceil(max(height, width) / 64)
    boxes = [[rgb[y : y + k, x : x + k].astype(np.int64) for x in range(0, width, k)] for y in range(0, height, k)]
    return np.array(
        [[(2 * box.sum(axis=(0, 1)) + box[..., 0].size) // (2 * box[..., 0].size) for box in line] for line in boxes],
        dtype=np.uint8,
    )


def levels(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Brightness of every pixel, floor(sqrt(0.241 R^2 + 0.691 G^2 + 0.068 B^2)) but for the rounding of
    the factors to 256ths, 0..255: (h, w)."""
    red, green, blue = (rgb[..., i].astype(np.int64) for i in range(3))
    whole = (62 * red**2 + 177 * green**2 + 17 * blue**2) // 256
    return np.array([[math.isqrt(int(value)) for value in line] for line in whole], dtype=np.int64)


def scores(rgb: npt.NDArray[np.uint8]) -> dict[str, float]:
    """low, high: the brightness that 5 % and 99 % of the pixels do not exceed, over 255. entropy: of the brightness
    levels, in bits. edges: standard deviation of 8 c - (sum of the 8 neighbours), cut to 0..255, inside the picture.
    colour: mean of max(R, G, B) - min(R, G, B)."""
    y = levels(rgb)
    ordered = np.sort(y, axis=None)
    share = np.bincount(y.ravel()) / y.size
    height, width = y.shape
    edges = [
        min(max(9 * y[i, j] - y[i - 1 : i + 2, j - 1 : j + 2].sum(), 0), 255)
        for i in range(1, height - 1)
        for j in range(1, width - 1)
    ]
    return {
        "low": ordered[math.ceil(0.05 * y.size) - 1] / 255,
        "high": ordered[math.ceil(0.99 * y.size) - 1] / 255,
        "entropy": -sum(p * math.log2(p) for p in share.tolist() if p > 0),
        "edges": float(np.std(edges)) if edges else math.nan,
        "colour": float((rgb.max(axis=2).astype(float) - rgb.min(axis=2)).mean()),
    }


def averaged(grey: npt.NDArray[Any]) -> Float64Array:
    """(h, w) -> (32, 32): means over 32 x 32 equal parts, pixels on a border shared by area."""
    height, width = grey.shape
    fine = np.repeat(np.repeat(grey.astype(np.float64), 32, axis=0), 32, axis=1)
    return np.asarray(fine.reshape(32, height, 32, width).mean(axis=(1, 3)))


def cosine_transform(grey: Float64Array) -> Float64Array:
    """The lowest 8 x 8 coefficients of the orthonormal DCT-II of a (32, 32) picture."""
    n, place = 32, np.arange(32)
    out = np.empty((8, 8))
    for u in range(8):
        for v in range(8):
            down, across = (np.cos(math.pi * (2 * place + 1) * w / (2 * n)) for w in (u, v))
            factor = math.sqrt((1 if u == 0 else 2) / n) * math.sqrt((1 if v == 0 else 2) / n)
            out[u, v] = factor * (grey * np.outer(down, across)).sum()
    return out


def perceptual_hash(rgb: npt.NDArray[np.uint8]) -> int:
    """64 bits, row by row, the first the highest: is the coefficient larger than the median of the 64?"""
    coefficients = cosine_transform(averaged(levels(rgb)))
    bits = (coefficients > np.median(coefficients)).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def hamming_groups(hashes: list[int], most: int) -> list[int]:
    """Per hash the lowest one that it is linked to by steps of at most so many bits."""
    group = list(range(len(hashes)))
    for i, one in enumerate(hashes):
        for j in range(i):
            if bin(one ^ hashes[j]).count("1") <= most:
                low, high = sorted((group[i], group[j]))
                group = [low if g == high else g for g in group]
    return group
