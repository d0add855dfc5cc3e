"""Farthest points and FreeSel's draw on a card, against loops of one pass per pick in Torch and CuPy."""

import numpy as np
import pytest

import oneglance as og


def usual_farthest(xp, rows, n_picks):
    """One product with all rows and one argmax per pick."""
    wide = xp.asarray(rows, dtype=xp.float32)
    norms = (wide * wide).sum(1)
    dist2, picks = xp.full_like(norms, float("inf")), [0]
    del wide
    for _ in range(n_picks - 1):
        last = picks[-1]
        dist2 = xp.minimum(dist2, norms + norms[last] - 2 * xp.asarray(rows @ rows[last], dtype=xp.float32))
        picks.append(int(dist2.argmax()))
    return picks


@pytest.mark.parametrize("kind", ["normal", "clustered"])
def test_farthest(card, kind):
    torch = card.torch
    n, d, k = card.size(1_000_000, 120), card.size(384, 16), card.size(10_000, 12)
    rows = card.normal(n, d, "float16" if card.real else "float32")
    if kind == "clustered":
        rows += 2 * card.normal(700, d, "float16" if card.real else "float32", seed=1)[torch.arange(n) % 700]
    found = og.farthest_points(rows, k)
    assert len(set(found.indices.tolist())) == k
    few = k // 10
    radius = og.nearest(rows, rows[usual_farthest(torch, rows, few)]).distances.max()
    assert float(found.radii[few]) <= 1.02 * float(radius)  # the loop's float16 products differ at near-ties
    card.report(
        f"farthest {n} x {d} float16, {k} picks, {kind}",
        lambda: og.farthest_points(rows, k),
        card.baselines(lambda xp, rows: usual_farthest(xp, rows, k), rows),
        card.limit_ms(n_bytes=float(found.readings) * rows.element_size() * n * d),
        times=10,
        against="torch",
        repeat=3,
    )


def usual_draw(xp, patterns, per_image, n_picks, seed=0):
    """Every pick: all distances to the image's patterns, one running sum, one number."""
    generator = np.random.default_rng(seed)
    unit = patterns / ((patterns * patterns).sum(1) ** 0.5)[:, None]
    distance = xp.full_like(unit[:, 0], float("inf"))
    picks = [int(generator.integers(len(unit) // per_image))]
    for _ in range(n_picks - 1):
        mine = unit[picks[-1] * per_image : (picks[-1] + 1) * per_image]
        near = 1 - unit @ mine.T
        for one in range(per_image):
            distance = xp.minimum(distance, near[:, one].clip(0))
        sums = xp.asarray(distance * distance, dtype=xp.float64).cumsum(0)
        picks.append(int(xp.searchsorted(sums, sums[-1:] * generator.random())[0]) // per_image)
    return picks


def test_freesel_draw(card):
    """The limit is what is allowed: 120 s. The loop draws 20 images."""
    per_image = 5
    n_images, d, k = card.size(1_280_000, 60), card.size(384, 16), card.size(64_000, 10)
    patterns = card.normal(n_images * per_image, d, "float16" if card.real else "float32")
    offsets = np.arange(0, len(patterns) + 1, per_image)
    asked = {"gamma": 2.0, "metric": "cosine", "offsets": offsets}
    assert len(set(og.weighted_draw(patterns, card.size(500, 10), **asked).indices.tolist())) == card.size(500, 10)
    card.report(
        f"FreeSel draw, {len(patterns)} patterns x {d} float16, {k} images",
        lambda: og.weighted_draw(patterns, k, **asked),
        {
            f"{name} loop, 20 images": work
            for name, work in card.baselines(lambda xp, rows: usual_draw(xp, rows, per_image, 20), patterns).items()
        },
        (120_000.0, "120 s allowed"),
        share=1.0,
        repeat=1,
    )
