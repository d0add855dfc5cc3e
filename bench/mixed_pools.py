"""How well `relevant_to` tells a topic from the rest of a mixed pool: a Markdown table on real features.

Run: python bench/mixed_pools.py --json bench/results/mixed_pools.json     (needs ../shared; a quarter of an hour)
     python bench/mixed_pools.py --from bench/results/mixed_pools.json     (the same table without computing)
"""

import argparse
import json
from pathlib import Path

import numpy as np

import oneglance as og

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "features"
BACKBONES = ("mnv2", "sqz")
PAIRS = (("neu", "cifar10"), ("cifar10", "neu"), ("tiny100", "neu"), ("cifar10", "tiny100"), ("tiny100", "cifar10"))
N_QUERIES = (20, 40, 100)
N_SEEDS = 3


def measure(topic, others, n_queries, seed, backbones):
    """Shares of items that are dropped: of the topic (queries aside), of the others."""
    parts = [
        [np.load(DATA / f"{name}__{backbone}.npz")["X_train"] for name in (topic, others)] for backbone in backbones
    ]
    pool = {backbone: np.vstack(both) for backbone, both in zip(backbones, parts, strict=True)}
    n_topic = len(parts[0][0])
    queries = np.random.default_rng(seed).choice(n_topic, n_queries, replace=False)
    listed = og.select(pool, 1, "random", relevant_to=queries).certificate["relevance"]["items"]
    gone = np.isin(np.arange(len(next(iter(pool.values())))), listed)
    return float(gone[:n_topic].sum() / (n_topic - n_queries)), float(gone[n_topic:].mean())


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write every number here")
    parser.add_argument("--from", dest="source", type=Path, help="print the table of this file")
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    options = parser.parse_args(argv)
    if options.source:
        cells = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        cells = []
        for topic, others in PAIRS:
            for backbones in ((BACKBONES[0],), BACKBONES):
                for n_queries in N_QUERIES:
                    shares = [measure(topic, others, n_queries, seed, backbones) for seed in range(options.seeds)]
                    cells.append({"topic": topic, "others": others, "backbones": "+".join(backbones), "n": n_queries})
                    cells[-1] |= {"lost": [pair[0] for pair in shares], "found": [pair[1] for pair in shares]}
    if options.json:
        options.json.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
    print("| topic | others | backbones | queries | topic lost, mean (range) | others dropped, mean (range) |")
    print("|---|---|---|---|---|---|")
    for cell in cells:
        shown = [f"{np.mean(v):.3f} ({min(v):.3f} - {max(v):.3f})" for v in (cell["lost"], cell["found"])]
        print(f"| {cell['topic']} | {cell['others']} | {cell['backbones']} | {cell['n']} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
