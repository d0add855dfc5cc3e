"""Packed masks on a card against the bandwidth of a copy; several masks at once; Sinkhorn's codes."""

import numpy as np
import pytest

from oneglance.cuda.mask_bits import DeviceMasks
from oneglance.masks import MaskStack, pack_mask, unpack_mask
from oneglance.masks.sinkhorn import sinkhorn_codes

SHARE = 0.8


def drawn(card):
    n = card.size(400_000_000, 5000)
    return card.normal(1, n, "float32").reshape(n)


def on_card(card, n, call):
    """The kernel alone on memory that is there: what comes back to the host packed is no part of the bandwidth."""
    library, kernels = card.library, card.library.kernels
    bits, counts = library.empty((n + 7) // 8, "uint8", 0), library.zeros(2, "int64", 0)
    at = library.address
    return lambda: call(kernels, at, bits, counts, library.stream(0))


def test_pack(card):
    flags = drawn(card) > 0
    n = flags.numel()
    work = on_card(card, n, lambda k, at, bits, ones, stream: k.pack_mask(at(flags), n, at(bits), at(ones), stream))
    usual = card.baselines(lambda xp, flags: xp.packbits(flags, bitorder="little"), flags, by_torch=False)
    card.report(f"pack {n} flags", work, usual, card.limit_ms(n_bytes=1.125 * n), share=SHARE)


def test_threshold_and_pack(card):
    scores = drawn(card)
    n = scores.numel()

    def kernel(k, at, bits, counts, stream):
        k.pack_scores(at(scores), 0.0, n, at(bits), at(counts), stream)

    usual = card.baselines(lambda xp, scores: xp.packbits(scores > 0, bitorder="little"), scores, by_torch=False)
    limit = card.limit_ms(n_bytes=4.125 * n)
    card.report(f"threshold and pack {n}", on_card(card, n, kernel), usual, limit, share=SHARE)


def test_unpack(card):
    flags = drawn(card) > 0
    mask, out = pack_mask(flags), card.torch.empty_like(flags)
    assert bool((unpack_mask(mask, out=out) == flags).all())
    bits, n = card.library.from_host(mask.bits, 0), flags.numel()
    kernels, at = card.library.kernels, card.library.address

    def work():
        kernels.unpack_mask(at(bits), 0, n, at(out), card.library.stream(0))

    usual = card.baselines(lambda xp, bits: xp.unpackbits(bits, bitorder="little"), bits, by_torch=False)
    card.report(f"unpack {n}", work, usual, card.limit_ms(n_bytes=1.125 * n), share=SHARE)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_unpack_and_apply(card, dtype):
    weights = drawn(card).to(getattr(card.torch, dtype))
    flags, out = weights > 0, card.torch.empty_like(weights)
    mask = pack_mask(flags)
    there = DeviceMasks([mask.bits], [mask.divisor], mask.n_weights, card.library, 0)
    n = weights.numel()
    card.report(
        f"unpack and apply {n} {dtype}",
        lambda: there.apply(weights, out),
        card.baselines(lambda xp, flags, weights: xp.where(flags, weights / float(mask.divisor), 0), flags, weights),
        card.limit_ms(n_bytes=(2 * weights.element_size() + 0.125) * n),
        share=SHARE,
    )


def test_a_linear_map_with_a_mask_per_sample(card):
    d_out, d_in, n, n_masks = card.size(3072, 12), card.size(768, 40), card.size(32, 5), 8
    rng = np.random.default_rng(0)
    stack = MaskStack([pack_mask(rng.random((d_out, d_in)) < 0.9) for _ in range(n_masks)])
    x, weight = card.normal(n, d_in, "float32"), card.normal(d_out, d_in, "float32", seed=1)
    sites = rng.integers(0, n_masks, n)
    masked = stack.apply(weight)

    def usual():
        return card.torch.bmm(masked[sites], x[:, :, None])[:, :, 0]

    assert float((stack.linear(x, weight, sites) - usual()).abs().max()) <= 1e-3
    card.report(
        f"linear {d_in} -> {d_out}, {n} samples of {n_masks} masks",
        lambda: stack.linear(x, weight, sites),
        {"torch, masked weights at hand": usual},
        card.limit_ms(n_bytes=(4 + n_masks / 8) * d_out * d_in),
    )


def test_sinkhorn(card):
    b, k = card.size(4096, 40), card.size(3000, 30)
    scores = card.torch.nn.functional.normalize(card.normal(b, k, "float32"), dim=1)

    def usual(xp, scores):
        plan = xp.asarray(scores, dtype=xp.float64) / 0.05
        for _ in range(3):
            for axis in (0, 1):
                top = xp.amax(plan, axis, keepdims=True)
                plan = plan - top - xp.log(xp.exp(plan - top).sum(axis, keepdims=True))
        return xp.asarray(xp.exp(plan), dtype=xp.float32)

    assert float((sinkhorn_codes(scores, 0.05) - usual(card.torch, scores)).abs().max()) <= 1e-6
    card.report(
        f"Sinkhorn {b} x {k}, 3 iterations",
        lambda: sinkhorn_codes(scores, 0.05),
        card.baselines(usual, scores),
        card.limit_ms(n_bytes=(12 + 3 * 32 + 12) * b * k),
    )
