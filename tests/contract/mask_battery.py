"""Everything that masks of bits do, on awkward sizes and numbers, as arrays: run once per instruction set and number of
threads, and compared with the definitions. Usage: mask_battery.py OUT.npz"""

import sys

import numpy as np

from oneglance import _core
from oneglance.masks import apply_mask, encode_masks, pack_mask, pack_scores, unpack_mask, xor_masks
from oneglance.store.files import digest

SIZES = (0, 1, 7, 8, 9, 63, 64, 65, 1_000_003)
HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)  # all there are: subnormal, infinite, NaN


def scores_of(n):
    """Multiples of 1/4, so that many lie on a threshold; with zeros of both signs, infinities and subnormals."""
    rng = np.random.default_rng(n)
    scores = (np.round(4 * rng.normal(size=n) + 2) / 4).astype(np.float32)
    special = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45], dtype=np.float32)
    scores[: min(n, 6)] = special[: min(n, 6)]
    return scores


def weights_of(n, dtype):
    rng = np.random.default_rng(n + 1)
    weights = rng.normal(size=n).astype(dtype)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 6e-8], dtype=dtype)
    weights[: min(n, 6)] = special[: min(n, 6)]
    return weights


SHIFTS = (0, 13)
"""Numbers from the beginning of a line of the cache."""


def large(dtype):
    """Weights and a mask whose output is more than caches hold."""
    n = 34_000_006 // np.dtype(dtype).itemsize
    return np.resize(weights_of(SIZES[-1], dtype)[6:], n), pack_mask(np.arange(n) % 7 < 6)


def masks_of_coders():
    rng = np.random.default_rng(5)
    for kept in (0.0, 0.001, 0.03, 0.5, 0.92, 0.9999, 1.0):
        for n in (1, 9, 1000, 100_003):
            yield f"{kept:g}/{n}", pack_mask(rng.random(n) < kept)


def answers():
    found = {"isa": np.array(_core.build_info()["isa_active"])}
    for n in SIZES:
        mask = pack_scores(scores_of(n))
        other = pack_mask(np.arange(n) % 3 == 0)
        found[f"scores/{n}"] = mask.bits
        found[f"scores above/{n}"] = pack_scores(scores_of(n), 0.25).bits
        found[f"kept/{n}"] = np.array([mask.kept, other.kept, xor_masks(mask, other).kept])
        found[f"pack/{n}"] = other.bits
        found[f"pack bytes/{n}"] = pack_mask((np.arange(n) % 5).astype(np.uint8)).bits
        found[f"xor/{n}"] = xor_masks(mask, other).bits
        found[f"unpack/{n}"] = unpack_mask(mask)
        found[f"range/{n}"] = unpack_mask(mask, n // 3, n - n // 5)
        for dtype in (np.float32, np.float16):
            found[f"apply {dtype.__name__}/{n}"] = apply_mask(weights_of(n, dtype), mask)
    for dtype in (np.float32, np.float16):
        weights, mask = large(dtype)
        room = np.zeros(mask.n_weights + 33, dtype=dtype)
        for shift in SHIFTS:
            apply_mask(weights, mask, out=room[shift:][: mask.n_weights])
            found[f"large {dtype.__name__}/{shift}"] = np.frombuffer(digest(room).encode(), dtype=np.uint8)
            room[:] = 0
    for kept in (1, 40_000, 65_536):
        found[f"halves/{kept}"] = apply_mask(HALVES, pack_mask(np.arange(2**16) < kept))
    masks = dict(masks_of_coders())
    weights = {name: weights_of(mask.n_weights, np.float32) for name, mask in masks.items()}
    for coder in ("auto", "bytes", "adaptive", "magnitude"):
        streams = encode_masks(masks, coder=coder, weights=weights)
        found.update({f"stream {coder}/{name}": stream for name, stream in streams.items()})
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **answers())
