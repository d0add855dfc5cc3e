"""What pretraining without labels is worth on real pictures: few-label probes and kNN, against raw pixels and weights
as drawn.

Run:  python bench/pretrain_on_real_data.py --out FOLDER            (finished cells are kept; repeat to go on)
      python bench/pretrain_on_real_data.py --out FOLDER --tables   (Markdown of what is there)

For every seed (its own split, weights, views and label draws) and every representation: accuracy on the test part of a
kNN of all training labels (k = 20, cosine of the features as they are), and of linear probes on nested draws of a few
labels per class (5 draws, the same for every representation; features standardised over the unlabelled training part,
then at unit length). Raw pixels get the better of that and of plain unit length.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oneglance.evaluation import mean_interval
from oneglance.evaluation.intervals import paired_difference
from oneglance.evaluation.probes import linear_probe
from oneglance.features import Backbone, extract
from oneglance.features.encoders import SmallResNet, SmallViT
from oneglance.masks.guard import unit_rows
from oneglance.masks.protocols import knn_hits
from oneglance.pretraining import pretrain
from oneglance.store.files import write_atomic
from pretrain_pools import POOLS, Pool

RAW = "raw"
ROWS = {
    RAW: "raw pixels",
    "resnet": "ResNet as drawn",
    "resnet-swav": "SwAV",
    "resnet-simclr": "SimCLR",
    "resnet-nnclr": "NNCLR",
    "vit": "ViT as drawn",
    "vit-mae": "MAE",
    "vit-mae-ct": "MAE, then contrastive tuning",
}
COUNTS = (1, 5, 20)
"""Labels per class."""

EPOCHS = {
    "digits": {"swav": 120, "simclr": 60, "nnclr": 60, "mae": 150, "mae-ct": 250},
    "neu": {"swav": 100, "simclr": 100, "nnclr": 100, "mae": 240, "mae-ct": 400},
    "cifar": {"swav": 45, "simclr": 25, "nnclr": 25, "mae": 48, "mae-ct": 80},
}
"""The part of MAE in mae-ct, three fifths, is as long as mae."""

BATCH = {"digits": 64, "neu": 32, "cifar": 64}
CROPS: dict[str, dict[str, Any]] = {"digits": {"flip": 0.0}, "neu": {}, "cifar": {}}
_DRAWS = 5


def drawn(kind: str, pool: Pool, seed: int) -> Backbone:
    """An encoder as drawn, that standardises by the pool's pixels: 64 features."""
    n_channels = pool.train.shape[1]
    torch.manual_seed(seed)
    encoder: Any = (
        SmallResNet((16, 32, 64), 1, 1, n_channels) if kind == "resnet" else SmallViT(64, 4, 4, 4, n_channels)
    )
    encoder.mean.copy_(torch.from_numpy(pool.train.mean(axis=(0, 2, 3))))
    encoder.std.copy_(torch.from_numpy(pool.train.std(axis=(0, 2, 3))))
    return Backbone(encoder.eval(), name=kind)


def represented(row: str, pool_name: str, pool: Pool, seed: int) -> tuple[Any, Any, dict[str, Any]]:
    """Features of the training part and the test part, and facts."""
    if row == RAW:
        return pool.train.reshape(len(pool.train), -1), pool.test.reshape(len(pool.test), -1), {}
    kind, _, method = row.partition("-")
    backbone, facts = drawn(kind, pool, seed), {}
    if method:
        done = pretrain(
            pool.train,
            method=method,
            start=backbone,
            epochs=EPOCHS[pool_name][method],
            batch_size=BATCH[pool_name],
            seed=seed,
            crops=CROPS[pool_name],
            device="cpu",
        )
        backbone = done.backbone
        facts = {"cpu_s": done.course.cpu_s, "alarms": done.alarms, "last": done.curve[-1]}
    return extract(backbone, pool.train), extract(backbone, pool.test), facts


def label_draw(classes: Any, seed: int, draw: int) -> list[Any]:
    """Positions of COUNTS labels per class; fewer are part of more."""
    rng = np.random.default_rng([5, seed, draw])
    orders = [rng.permutation(np.flatnonzero(classes == code)) for code in np.unique(classes)]
    return [np.concatenate([order[:count] for order in orders]) for count in COUNTS]


def measure(known: Any, asked: Any, pool: Pool, seed: int, raw: bool) -> dict[str, Any]:
    """knn, and `few`: mean accuracy over draws for each of COUNTS."""
    knn = knn_hits(known, pool.train_classes, asked, pool.test_classes, k=20)
    mean, std = known.mean(axis=0), known.std(axis=0)
    std = np.where(std > 1e-6, std, 1.0)
    scaled = [tuple((rows - mean) / std for rows in (known, asked))] + ([(known, asked)] if raw else [])
    found = []
    for pair in scaled:
        train, test = (unit_rows(rows).astype(np.float32) for rows in pair)
        few = np.zeros(len(COUNTS))
        for draw in range(_DRAWS):
            for i, rows in enumerate(label_draw(pool.train_classes, seed, draw)):
                guess = linear_probe(train[rows], pool.train_classes[rows], None, test)
                few[i] += float((guess == pool.test_classes).mean()) / _DRAWS
        found.append(few)
    best = max(found, key=lambda few: float(few.mean()))
    return {"knn": float(knn.mean()), "few": best.tolist()}


def run(out: Path, pools: list[str], rows: list[str], seeds: range, minutes: float) -> None:
    began = time.monotonic()
    for name in pools:
        for seed in seeds:
            pool = POOLS[name](seed)
            for row in rows:
                place = out / name / f"{row}-{seed}.json"
                if place.exists():
                    continue
                if time.monotonic() - began > 60 * minutes:
                    print(f"stopped after {minutes:g} minutes; the same command goes on")
                    return
                place.parent.mkdir(parents=True, exist_ok=True)
                start = time.monotonic()
                known, asked, facts = represented(row, name, pool, seed)
                seconds = time.monotonic() - start
                cell = {**measure(known, asked, pool, seed, row == RAW), **facts, "seconds": seconds}
                write_atomic(place, [json.dumps(cell).encode()])
                few = " ".join(f"{value:.3f}" for value in cell["few"])
                print(f"{name} {row} seed {seed}: kNN {cell['knn']:.3f}, few {few}, {seconds:.0f} s", flush=True)


def tables(out: Path) -> str:
    lines = []
    for name in POOLS:
        found = {row: _cells(out / name, row) for row in ROWS}
        if not found[RAW]:
            continue
        counts = " | ".join(f"{n} per class" for n in COUNTS)
        lines += [f"| {name} | kNN | {counts} | over raw pixels | over as drawn | seeds | s |"]
        lines += ["|---" * (len(COUNTS) + 6) + "|"]
        lines += [f"| {' | '.join(_row(row, found))} |" for row in ROWS if found[row]] + [""]
    return "\n".join(lines)


def _cells(folder: Path, row: str) -> dict[int, dict[str, Any]]:
    """Seed -> cell."""
    places = folder.glob(f"{row}-[0-9]*.json") if folder.is_dir() else []
    return {int(place.stem.rpartition("-")[2]): json.loads(place.read_text()) for place in sorted(places)}


def _row(row: str, found: dict[str, dict[int, dict[str, Any]]]) -> list[str]:
    cells = found[row]
    kind, _, method = row.partition("-")
    text = f"{ROWS[row]} ({'ResNet' if kind == 'resnet' else 'ViT'})" if method else ROWS[row]
    values = [_words([cell["knn"] for cell in cells.values()])]
    values += [_words([cell["few"][i] for cell in cells.values()]) for i in range(len(COUNTS))]
    gains = [_gain(cells, found[base]) if row not in (base, RAW) else "" for base in (RAW, kind)]
    if not method:
        gains[1] = ""
    took = [cell["cpu_s"] for cell in cells.values() if "cpu_s" in cell]
    return [text, *values, *gains, str(len(cells)), f"{np.mean(took):.0f}" if took else ""]


def _gain(cells: dict[int, dict[str, Any]], base: dict[int, dict[str, Any]]) -> str:
    """Of the mean accuracy over COUNTS, paired by seed."""
    both = sorted(set(cells) & set(base))
    if len(both) < 3:
        return ""
    found = paired_difference(*([float(np.mean(side[seed]["few"])) for seed in both] for side in (cells, base)))
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _words(values: list[float]) -> str:
    if len(values) < 3:
        return f"{np.mean(values):.3f}"
    found = mean_interval(values)
    return f"{found.mean:.3f} ± {(found.high - found.low) / 2:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pools", default=",".join(POOLS), help=", ".join(POOLS))
    parser.add_argument("--rows", default=",".join(row for row in ROWS if "simclr" not in row), help=", ".join(ROWS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="begin no cell after so many")
    parser.add_argument("--tables", action="store_true")
    asked = parser.parse_args()
    if asked.tables:
        print(tables(asked.out))
        return
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    run(asked.out, asked.pools.split(","), asked.rows.split(","), seeds, asked.minutes)


if __name__ == "__main__":
    main()
