"""Packed binary masks by their definition: weight i is bit i mod 8 (1 is the lowest) of byte i // 8; the rest is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def pack(mask: npt.NDArray[Any]) -> Bytes:
    """ceil(N / 8) bytes of the N values in row-major order; any value but 0 is a 1."""
    return np.packbits(np.asarray(mask).ravel() != 0, bitorder="little")


def pack_scores(scores: npt.NDArray[np.float32], mu: float) -> Bytes:
    """Weight i is kept where score i > mu, compared in float32."""
    return pack(np.asarray(scores, np.float32) > np.float32(mu))


def unpack(bits: Bytes, start: int, stop: int) -> npt.NDArray[np.bool_]:
    """Weights start .. stop - 1."""
    return np.unpackbits(bits, bitorder="little")[start:stop].astype(np.bool_)


def popcount(bits: Bytes) -> int:
    return int(np.unpackbits(bits).sum())


def divisor(kept: int, n_weights: int) -> np.float32:
    """sqrt(r) of the keep rate r = kept / N, which counts as 1 / N where nothing is kept; 1 for no weights at all."""
    return np.float32(np.sqrt(max(kept, 1) / n_weights)) if n_weights else np.float32(1)


def apply(weights: npt.NDArray[Any], bits: Bytes) -> npt.NDArray[Any]:
    """w / sqrt(r) in float32 where kept, else 0; rounded to the dtype of the weights."""
    kept = unpack(bits, 0, weights.size).reshape(weights.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = np.where(kept, weights, 0).astype(np.float32) / divisor(popcount(bits), weights.size)
        return wide.astype(weights.dtype)
