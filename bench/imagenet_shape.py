"""The shape of ImageNet: 1.28M x 384 float16 in a memory map, 64,058 picks (5 %). Prints seconds and peak memory.

Run: python bench/imagenet_shape.py bilaf --param cores=kmeans --param n_cores=6405
     python bench/imagenet_shape.py kmeans --param max_iter=1          (hours on 2 cores)
     python bench/imagenet_shape.py kernel --rows 20000 --budget 1000  (any strategy and size)

The rows are generated (1000 classes of 20 groups each, directions of falling variance) and written to --folder, or
taken from there. Memory is what the process holds beyond files (RssAnon), read every 0.1 s while select runs.
"""

import argparse
import json
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np

import oneglance as og
from oneglance.evaluation.entrants import literal

N_ROWS, N_DIMS, BUDGET = 1_281_167, 384, 64_058
BLOCK = 20_000


def generate(path, n_rows):
    """Rows of 1000 classes in 20 groups each, block by block, the same for every run."""
    rng = np.random.default_rng(0)
    spread = (1.0 + np.arange(N_DIMS)) ** -0.25
    classes = rng.standard_normal((1000, N_DIMS)) * spread
    groups = classes[:, None] + 0.6 * rng.standard_normal((1000, 20, N_DIMS)) * spread
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n_rows, N_DIMS))
    for start in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - start)
        chosen = groups[rng.integers(0, 1000, count), rng.integers(0, 20, count)]
        rows[start : start + count] = chosen + 0.8 * rng.standard_normal((count, N_DIMS)) * spread
    rows.flush()


def anonymous_bytes():
    """Memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no RssAnon: this needs Linux.")


class Watch(threading.Thread):
    """The largest anonymous memory so far."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = anonymous_bytes()

    def run(self):
        while True:
            self.peak = max(self.peak, anonymous_bytes())
            time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("strategy")
    parser.add_argument("--param", action="append", default=[], help="NAME=VALUE of the strategy; may be repeated")
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    path = arguments.folder / f"imagenet-shape-{arguments.rows}x{N_DIMS}.npy"
    if not path.exists():
        generate(path, arguments.rows)
    rows = np.load(path, mmap_mode="r")
    params = {name: literal(text) for name, _, text in (given.partition("=") for given in arguments.param)}
    start, watch = time.perf_counter(), Watch()
    watch.start()

    def note(text):
        elapsed = time.perf_counter() - start
        print(f"{elapsed:8.0f} s  {watch.peak / 2**20:6.0f} MB  {text}", file=sys.stderr, flush=True)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        selection = og.select(rows, arguments.budget, arguments.strategy, explain=False, progress=note, **params)
    elapsed = time.perf_counter() - start
    assert np.unique(selection.indices).size == arguments.budget
    figures = {
        "strategy": arguments.strategy,
        "params": params,
        "rows": list(rows.shape),
        "budget": arguments.budget,
        "seconds": round(elapsed),
        "peak_anonymous_mb": round(watch.peak / 2**20),
        "notes": [str(warning.message) for warning in caught],
        "certificate": {name: entry for name, entry in selection.certificate.items() if np.isscalar(entry)},
    }
    text = json.dumps(figures, indent=1, default=str)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
