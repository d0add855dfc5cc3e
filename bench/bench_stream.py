"""One batch for fifty backbones: weights of one after another, features on disk, and only the maximum kept."""

import os
import statistics
import threading
import time

import numpy as np
import pytest

import oneglance as og
from cases import SHRINK, Floor
from conftest import settle

N_ROWS, N_DIMS, N_MODELS, BUDGET = 60_000 // SHRINK, 1536 // min(SHRINK, 8), 50, 3000 // SHRINK
TIMED = int(os.environ.get("ONEGLANCE_BENCH_MODELS", "5"))
"""Backbones timed; all cost the same, and the seconds of 50 are these times 50 / TIMED. 50: nothing is scaled."""
_BLOCK = 10_000


def write_features(path, seed):
    """(N_ROWS, N_DIMS) float16 with heavy-tailed rows, condition about 2, as .npy, block by block."""
    rng = np.random.default_rng(seed)
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(N_ROWS, N_DIMS))
    for start in range(0, N_ROWS, _BLOCK):
        size = min(_BLOCK, N_ROWS - start)
        block = rng.standard_normal((size, N_DIMS), dtype=np.float32)
        rows[start : start + size] = block * np.sqrt(5 / rng.chisquare(5, (size, 1))).astype(np.float32)
    rows.flush()


class Memory:
    """Largest anonymous memory while the block runs; features are mapped and do not count, what is computed does."""

    def __enter__(self):
        self.peak, self._running = 0, True
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def _watch(self):
        while self._running:
            self.peak = max(self.peak, anonymous_bytes())
            time.sleep(0.02)

    def __exit__(self, *_):
        self._running = False
        self._watcher.join()


def anonymous_bytes():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


@pytest.mark.parametrize("tol", [1e-6, 1e-3])
def test_select_over_many_backbones(tol, tmp_path, capsys, benchmark):
    """`og.select` over memory-mapped float16 files: it reads one backbone after the other, never two at once.

    Target: per backbone at most 1.4 times a float32 NumPy product of its size, and 1.5 GB in all.
    """
    for model in range(TIMED):
        write_features(tmp_path / f"{model}.npy", model)
    features = {f"m{model}": np.load(tmp_path / f"{model}.npy", mmap_mode="r") for model in range(TIMED)}
    floor = Floor(N_ROWS, N_DIMS)
    seconds = []
    for _ in range(3):
        settle()
        start = time.perf_counter()
        floor.product()
        seconds.append(time.perf_counter() - start)
    del floor
    settle()

    def chosen():
        with Memory() as memory:
            picks = og.select(features, BUDGET, p=2, tol=tol, seed=0)
        return picks, memory.peak

    picks, peak = benchmark.pedantic(chosen, rounds=1)
    assert len(picks) == BUDGET
    entries = picks.certificate["backbones"].values()
    assert all(entry["converged"] for entry in entries)
    if benchmark.stats is None:
        return
    each, product = benchmark.stats.stats.median / TIMED, statistics.median(seconds)
    case = f"{N_MODELS} backbones of {N_ROWS} x {N_DIMS} float16, tol {tol:g} ({TIMED} timed)"
    benchmark.extra_info.update(case=case, product_s=product, ratio=each / product, peak_mb=peak / 2**20)
    with capsys.disabled():
        print(
            f"\n{case}: {N_MODELS * each:.0f} s in all, {each / product:.2f} x a float32 product each (target <= 1.4), "
            f"{max(entry['passes'] for entry in entries)} passes, {peak / 2**20:.0f} MB (target < 1500 MB)"
        )
    assert peak < 1500 * 2**20
