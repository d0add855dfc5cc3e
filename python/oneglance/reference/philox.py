"""Philox4x32-10 in integers, as printed by Salmon, Moraes, Dror and Shaw 2011."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, IntArray

_MASK = 0xFFFFFFFF


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Ten rounds: four 32-bit words from a 128-bit counter and a 64-bit key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ k0,
            product1 & _MASK,
            (product0 >> 32) ^ c3 ^ k1,
            product0 & _MASK,
        )
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def uniforms(seed: int, purpose: int, items: IntArray, draw: int = 0) -> Float64Array:
    """The definition of `oneglance._rng.uniforms`."""
    values = []
    for item in np.asarray(items, dtype=np.int64).tolist():
        word = philox4x32((item & _MASK, (item >> 32) & _MASK, purpose, draw), (seed & _MASK, seed >> 32))
        values.append((((word[0] << 32) | word[1]) >> 11) * 2.0**-53)
    return np.array(values, dtype=np.float64)
