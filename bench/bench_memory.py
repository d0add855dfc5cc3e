"""Anonymous memory beyond the input, and the cost of `import oneglance`. Asserts bounds on bytes, prints seconds."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from cases import SHRINK

MEASURE = """
import json, sys, threading, time
import numpy as np
import oneglance as og
from oneglance import _core

def anonymous_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

rows = np.load(sys.argv[1], mmap_mode="r")
og.leverage_scores(np.ones((10, 2)))
before, peak, running = anonymous_bytes(), 0, True

def watch():
    global peak
    while running:
        peak = max(peak, anonymous_bytes())
        time.sleep(0.01)

watcher = threading.Thread(target=watch)
watcher.start()
result = CALL
running = False
watcher.join()
print(json.dumps({"extra_mb": (peak - before) / 2**20}))
"""

IMPORT = """
import time
start = time.perf_counter()
import oneglance
oneglance.lewis_weights
print(time.perf_counter() - start)
"""


CALLS = [
    ("lewis_weights", 768, "og.lewis_weights(rows, 1.0, max_passes=4)", 300),
    (f"farthest_points, {10_000 // SHRINK} picks", 384, f"og.farthest_points(rows, {10_000 // SHRINK})", 600),
    (
        f"bilaf, {20_000 // SHRINK} picks, {5000 // SHRINK} cores",
        384,
        f"og.bilaf(rows, {20_000 // SHRINK}, cores=range(0, {1_000_000 // SHRINK}, 200))",
        1500,
    ),
    (f"weighted_draw, {10_000 // SHRINK} picks", 384, f"og.weighted_draw(rows, {10_000 // SHRINK})", 600),
]


@pytest.mark.parametrize(("name", "n_dims", "call", "most_mb"), CALLS, ids=[call[0] for call in CALLS])
def test_extra_memory_at_a_million_rows(name, n_dims, call, most_mb, tmp_path, capsys):
    n_rows, block = 1_000_000 // SHRINK, 10_000
    path = tmp_path / "rows.npy"
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n_rows, n_dims))
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, block):
        rows[start : start + block] = rng.standard_normal((block, n_dims), dtype=np.float32)
    rows.flush()
    del rows
    script = MEASURE.replace("CALL", call)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout)
    with capsys.disabled():
        print(
            f"\n{name}, {n_rows} x {n_dims} float16 memory map: {measured['extra_mb']:.0f} MB beyond the input "
            f"(target < {most_mb} MB), {time.perf_counter() - start:.0f} s in all"
        )
    assert measured["extra_mb"] < most_mb


def test_import_time(capsys):
    seconds = [
        float(subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True).stdout)
        for _ in range(9)
    ]
    with capsys.disabled():
        print(f"\nimport oneglance and its kernels: median {np.median(seconds):.3f} s (target < 0.3 s)")
