"""Every threaded path once, for the thread sanitizer: exits with its report when two threads race.

Usage: .ci/with_sanitizer tsan python tests/contract/race.py
"""

import numpy as np

import oneglance as og
from oneglance import _core


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
    spoiled = rows.copy()
    spoiled[::100] = np.nan
    try:
        og.leverage_scores(spoiled)
    except og.InvalidInput:
        print("no race found")


if __name__ == "__main__":
    main()
