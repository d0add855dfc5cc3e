"""Every threaded path once, for the thread sanitizer: exits with its report when two threads race.

Usage: .ci/with_sanitizer tsan python tests/contract/race.py
"""

import numpy as np

import oneglance as og
from oneglance import _core
from oneglance.cluster import small_kmeans


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
    spoiled = rows.copy()
    spoiled[::100] = np.nan
    try:
        og.leverage_scores(spoiled)
    except og.InvalidInput:
        print("no race found")


if __name__ == "__main__":
    main()
