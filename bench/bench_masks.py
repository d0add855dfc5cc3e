"""Masks of one bit per weight: packing and applying against copying and against NumPy; coders against 100 MB/s."""

import functools
import math
import time

import numpy as np
import pytest

from cases import SHRINK
from oneglance import _core
from oneglance.masks import apply_mask, decode_masks, encode_masks, pack_mask, pack_scores, unpack_mask
from oneglance.reference import mask_bits

N = 25_000_000 // SHRINK
COPY_SHARE = 0.6
"""Of the bandwidth of copying float32 in the same run, counting every byte read and written once."""


@functools.lru_cache(maxsize=1)
def tensors():
    """Weights, scores of which 92 % are above 0, and a place to write, whose pages are there."""
    rng = np.random.default_rng(0)
    weights, scores = (
        rng.standard_normal(N, dtype=np.float32),
        rng.standard_normal(N, dtype=np.float32) + np.float32(1.4),
    )
    return weights, scores, pack_scores(scores), np.zeros_like(weights)


def against_copy(versus, case, ours, n_bytes):
    """Baseline: a copy of all weights, its time scaled to the bytes that ours reads and writes."""
    weights, _, _, out = tensors()
    versus(
        f"{case}, {N} weights, at the bandwidth of a copy",
        ours,
        lambda: np.copyto(out, weights),
        at_most=1 / COPY_SHARE,
        scale=n_bytes / (2 * weights.nbytes),
    )


def test_pack(versus):
    _, scores, mask, _ = tensors()
    flags = scores > 0
    assert pack_mask(flags).bits.tobytes() == mask.bits.tobytes() == mask_bits.pack(flags).tobytes()
    against_copy(versus, "pack", lambda: pack_mask(flags), flags.nbytes + mask.bits.nbytes)


def test_threshold_and_pack(versus):
    _, scores, mask, _ = tensors()
    against_copy(versus, "threshold and pack", lambda: pack_scores(scores), scores.nbytes + mask.bits.nbytes)


def test_unpack(versus):
    _, scores, mask, _ = tensors()
    flags = np.zeros(N, dtype=bool)
    assert (unpack_mask(mask, out=flags) == (scores > 0)).all()
    against_copy(versus, "unpack", lambda: unpack_mask(mask, out=flags), flags.nbytes + mask.bits.nbytes)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_unpack_and_apply(dtype, versus):
    weights, _, mask, _ = tensors()
    weights = weights.astype(dtype)
    out = np.zeros_like(weights)
    assert apply_mask(weights, mask, out=out).tobytes() == mask_bits.apply(weights, mask.bits).tobytes()
    against_copy(
        versus,
        f"unpack and apply, {np.dtype(dtype).name}",
        lambda: apply_mask(weights, mask, out=out),
        2 * weights.nbytes + mask.bits.nbytes,
    )


def test_threshold_and_pack_against_numpy(versus):
    _, scores, _, _ = tensors()
    flags = np.zeros(N, dtype=bool)
    versus(
        f"threshold and pack, {N} weights, NumPy",
        lambda: pack_scores(scores),
        lambda: np.packbits(np.greater(scores, 0, out=flags), bitorder="little"),
        at_least=2,
    )


def test_unpack_and_apply_against_numpy(versus):
    weights, _, mask, out = tensors()
    scale = np.float32(1) / mask.divisor

    def numpy():
        np.multiply(weights, np.unpackbits(mask.bits, count=N, bitorder="little"), out=out)
        np.multiply(out, scale, out=out)

    numpy()
    assert np.allclose(out, apply_mask(weights, mask), rtol=1e-6, atol=0)
    versus(f"unpack and apply, {N} weights, NumPy", lambda: apply_mask(weights, mask, out=out), numpy, at_least=4)


def resnet50():
    """Shapes of the convolutions, and rates at which self-supervised masks keep them: low early, high late."""
    yield "stem", (64, 3, 7, 7), 0.7
    width_in = 64
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)]):
        for block in range(blocks):
            rate = (0.7, 0.8, 0.9, 0.94)[stage] + 0.01 * block
            yield f"{stage}.{block}.1", (width, width_in, 1, 1), rate
            yield f"{stage}.{block}.2", (width, width, 3, 3), rate
            yield f"{stage}.{block}.3", (4 * width, width, 1, 1), rate
            if block == 0:
                yield f"{stage}.{block}.shortcut", (4 * width, width_in, 1, 1), rate
            width_in = 4 * width


@pytest.fixture
def one_thread():
    _core.set_threads(1)
    yield
    _core.set_threads(0)


def clip_vit():
    """Three blocks of a ViT-B, of which masks keep nearly everything."""
    for block in range(3):
        for name, shape in [("q", (768, 768)), ("k", (768, 768)), ("v", (768, 768)), ("out", (768, 768))]:
            yield f"{block}.{name}", shape, 0.999
        yield f"{block}.up", (3072, 768), 0.999
        yield f"{block}.down", (768, 3072), 0.999


@functools.lru_cache(maxsize=2)
def masks_of(network):
    rng = np.random.default_rng(1)
    layers = [(name, shape, rate) for name, shape, rate in network() if SHRINK == 1 or math.prod(shape) < 600_000]
    assert SHRINK > 1 or network is clip_vit or sum(math.prod(shape) for _, shape, _ in layers) == 23_454_912
    return {name: pack_mask(rng.random(shape, dtype=np.float32) < rate) for name, shape, rate in layers}


@pytest.mark.parametrize("verb", ["encode", "decode"])
@pytest.mark.parametrize("network", [resnet50, clip_vit])
@pytest.mark.parametrize("coder", ["auto", "adaptive"])
def test_coder(coder, network, verb, versus, one_thread):
    """Baseline: a clock that runs out after the time that 100 MB of packed masks per second allow, on one thread.

    "adaptive" is a part of the slow choice, "smallest": no target but the size, 3 % of the entropy at most.
    """
    masks = masks_of(network)
    streams = encode_masks(masks, coder=coder)
    shapes = {name: mask.shape for name, mask in masks.items()}
    back = decode_masks(streams, shapes)
    assert all(back[name].bits.tobytes() == mask.bits.tobytes() for name, mask in masks.items())
    n = sum(mask.n_weights for mask in masks.values())
    kept = sum(mask.kept for mask in masks.values()) / n
    entropy = sum(mask.n_weights * binary_entropy(mask.keep_rate) for mask in masks.values())
    size = 8 * sum(stream.size for stream in streams.values())
    assert SHRINK > 1 or size <= 1.03 * entropy
    versus(
        f"{verb} {n} weights, {coder}, {kept:.1%} kept, {size / n:.4f} bits (entropy per layer {entropy / n:.4f})",
        (lambda: encode_masks(masks, coder=coder)) if verb == "encode" else (lambda: decode_masks(streams, shapes)),
        lambda: time.sleep(n / 8 / 100e6),
        rounds=5 if coder == "auto" else 1,
        at_least=1 if coder == "auto" else 0.05,
    )


def binary_entropy(p):
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)
