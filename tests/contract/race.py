"""Every threaded path once, for the thread sanitizer: exits with its report when two threads race.

Usage: .ci/with_sanitizer tsan python tests/contract/race.py
"""

import numpy as np

import oneglance as og
from oneglance import _core
from oneglance.cluster import small_kmeans
from oneglance.masks import apply_mask, decode_masks, encode_masks, pack_mask, pack_scores, unpack_mask, xor_masks


def masks():
    """Of more than 128 MB, below which one thread does it; the coders take a tensor per thread."""
    scores = np.resize(np.random.default_rng(1).normal(size=99_991).astype(np.float32), 36_000_000)
    mask = pack_scores(scores)
    flags = unpack_mask(mask)
    assert (flags[:99_991] == (scores[:99_991] > 0)).all()
    assert xor_masks(mask, pack_mask(flags)).kept == 0
    assert np.count_nonzero(apply_mask(scores, mask)) == mask.kept
    several = {str(i): pack_mask(flags[: 50_000 + i]) for i in range(8)}
    shapes = {name: part.shape for name, part in several.items()}
    for coder in ("bytes", "adaptive"):
        decoded = decode_masks(encode_masks(several, coder=coder), shapes)
        assert all(decoded[name].bits.tobytes() == part.bits.tobytes() for name, part in several.items())


def main():
    if "thread" not in _core.build_info()["sanitizers"]:
        raise SystemExit("this is not a thread-sanitizer build")
    _core.set_threads(4)
    rows = np.random.default_rng(0).normal(size=(30_000, 64))
    for small_work in (0, 2**31):
        _core.set_small_work(small_work)
        for x in (rows.astype(np.float32), rows):
            assert og.lewis_weights(x, 1.0).converged
            np.testing.assert_allclose(og.leverage_scores(x).sum(), 64, rtol=1e-6)
    for x in (rows[:6000].astype(np.float16), rows[:6000]):
        assert og.nearest(x, x[:1200], k=3).indices.shape == (6000, 3)
        assert og.nearest(x[:100], x, metric="cosine").indices.shape == (100, 1)  # few queries: the data is cut
        assert og.farthest_points(x, 60, assign=True).radii.size == 60
        assert og.weighted_draw(x, 60, metric="cosine", gamma=2.0).indices.size == 60
        assert og.kmeans(x, 20, max_iter=5).n_iter == 5
        assert og.kernel_coverage(x[:2000], 20).indices.size == 20
        assert og.activeft(x[:2000], 20, n_iter=4).indices.size == 20
        assert og.bilaf(x[:2000], 60, cores="kmeans").indices.size == 60
    points = rows[:4000].astype(np.float32)
    assert small_kmeans(points, np.arange(0, 4001, 50), 5).patterns.shape == (400, 64)
    masks()
    spoiled = rows.copy()
    spoiled[::100] = np.nan
    try:
        og.leverage_scores(spoiled)
    except og.InvalidInput:
        print("no race found")


if __name__ == "__main__":
    main()
