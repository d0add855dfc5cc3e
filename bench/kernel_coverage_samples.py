"""What kernel coverage loses when it is counted on a sample of the rows, and 1,000,000 rows by such a sample.

Run: python bench/kernel_coverage_samples.py --json bench/results/kernel_coverage_samples.json    (2 minutes, 3 GB)

Loss: 50,000 x 128, 500 picks with evaluate = 1,000, 5,000 and 20,000, three seeds each; the coverage of all rows by
these picks, against that of the exact greedy and of random rows. Size: 1,000,000 x 128 float16, 1,000 picks with
evaluate = 5,000. Rows lie in 1000 classes of 20 groups each, in directions of falling variance.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import oneglance as og
from imagenet_shape import Watch, anonymous_bytes

N_DIMS, BLOCK = 128, 20_000


def generate(n_rows):
    rng = np.random.default_rng(0)
    spread = (1.0 + np.arange(N_DIMS)) ** -0.25
    groups = rng.standard_normal((1000, 1, N_DIMS)) + 0.6 * rng.standard_normal((1000, 20, N_DIMS))
    rows = np.empty((n_rows, N_DIMS), dtype=np.float16)
    for start in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - start)
        chosen = groups[rng.integers(0, 1000, count), rng.integers(0, 20, count)]
        rows[start : start + count] = spread * (chosen + 0.8 * rng.standard_normal((count, N_DIMS)))
    return rows


def coverage(rows, picks, width):
    """Mean over all rows of the largest kernel to a pick."""
    return float(np.exp(-og.nearest(rows, rows[picks], k=1).distances / width).mean())


def timed(call):
    start = time.perf_counter()
    found = call()
    return found, round(time.perf_counter() - start, 1)


def losses(n_rows, k):
    rows = generate(n_rows)
    exact, seconds = timed(lambda: og.kernel_coverage(rows, k))
    whole = coverage(rows, exact.indices, exact.width)
    drawn = [np.random.default_rng(seed).choice(n_rows, k, replace=False) for seed in range(3)]
    random = float(np.mean([coverage(rows, picks, exact.width) for picks in drawn]))
    figures = {
        "rows": [n_rows, N_DIMS],
        "picks": k,
        "exact": {"coverage": whole, "seconds": seconds, "kernel_values_per_pair": exact.evaluated},
        "random": {"coverage": random},
        "samples": [],
    }
    print(f"exact {whole:.4f} in {seconds} s ({exact.evaluated:.2f} n^2 values), random rows {random:.4f}", flush=True)
    for m in (n_rows // 50, n_rows // 10, n_rows * 2 // 5):
        answers = [timed(lambda m=m, s=s: og.kernel_coverage(rows, k, evaluate=m, seed=s)) for s in range(3)]
        values = [coverage(rows, found.indices, exact.width) for found, _ in answers]
        entry = {
            "evaluate": m,
            "coverage": values,
            "loss": 1 - float(np.mean(values)) / whole,
            "share_of_the_way_from_random": (float(np.mean(values)) - random) / (whole - random),
            "seconds": [seconds for _, seconds in answers],
        }
        figures["samples"].append(entry)
        print(
            f"evaluate {m}: {np.mean(values):.4f}, {entry['loss']:.2%} less than exact, "
            f"{entry['share_of_the_way_from_random']:.1%} of the way from random, {entry['seconds']} s",
            flush=True,
        )
    return figures


def size(n_rows, k, evaluate):
    rows = generate(n_rows)
    before, watch = anonymous_bytes(), Watch()
    watch.start()
    found, seconds = timed(lambda: og.kernel_coverage(rows, k, evaluate=evaluate))
    extra = round((watch.peak - before) / 2**20)
    assert np.unique(found.indices).size == k
    drawn = np.random.default_rng(0).choice(n_rows, k, replace=False)
    figures = {
        "rows": [n_rows, N_DIMS],
        "picks": k,
        "evaluate": evaluate,
        "seconds": seconds,
        "extra_mb": extra,
        "kernel_values_per_pair": found.evaluated,
        "coverage_of_the_sample": found.coverage,
        "coverage": coverage(rows, found.indices, found.width),
        "coverage_of_random_rows": coverage(rows, drawn, found.width),
    }
    print(json.dumps(figures), flush=True)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shrink", type=int, default=1, help="divides the numbers of rows and picks: to see it run")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    s = arguments.shrink
    figures = {
        "loss": losses(50_000 // s, 500 // s),
        "size": size(1_000_000 // s, 1000 // s, 5000 // s),
        "build": og.build_info(),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
