"""What masks are worth on pools of another domain: kNN and few-label probe, before and after, and bytes of each.

Run:  python bench/masks_on_real_data.py --out FOLDER            (finished cells are kept; repeat to go on)
      python bench/masks_on_real_data.py --out FOLDER --tables   (Markdown of what is there)

For every seed and method: accuracy on the test part of a kNN of all training labels (k = 20, weights exp(cos / 0.1))
and of linear heads on few labels per class (10 draws, the same for every method). Methods: the base as it is; AdaBN;
masks without labels (SMN); the same loss and steps on all weights (SSL); masks from the few labels of the first draw;
and on request masks from 70 % of all labels, and cascades: a dispatcher and five experts, features whitened, with
the controls that the paper lacks: the dispatcher alone, and the base alone, whitened.
The verdict is the guard's, given the few labels of the first draw, and once more without any.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

import oneglance as og
from mask_scenes import SCENES, Scene
from oneglance.evaluation import mean_interval
from oneglance.features import Backbone, extract
from oneglance.masks import load_mask
from oneglance.masks.adabn import estimate_statistics
from oneglance.masks.adapting import adapt_masks
from oneglance.masks.cascade import adapt_cascade, load_cascade
from oneglance.masks.evaluate import measure_statistics
from oneglance.masks.goals import SwavGoal
from oneglance.masks.job import automatic_crops
from oneglance.masks.judging import judge_states
from oneglance.masks.pool import opened
from oneglance.masks.protocols import knn_hits
from oneglance.masks.settings import choose_settings
from oneglance.masks.train import seeded, train
from oneglance.masks.whitening import fit_whitening
from oneglance.store.files import write_atomic

PLAIN = ("base", "adabn", "smn", "ssl", "supervised")
WHITENED = ("whitened", "dispatcher", "unconditional", "conditional")
METHODS = (*PLAIN, "all_labels", *WHITENED)
NAMES = {
    "base": "base, as it is",
    "adabn": "AdaBN",
    "smn": "SMN (masks, no labels)",
    "ssl": "SSL, all weights",
    "supervised": "masks from the few labels",
    "all_labels": "masks from all labels",
    "whitened": "base, whitened",
    "dispatcher": "cascade: the first mask alone, whitened",
    "unconditional": "cascade: all masks, whitened",
    "conditional": "cascade: the picture's own expert, whitened",
}
Embed: TypeAlias = Callable[[Any], Any]
_DRAWS, _BATCH, _STEPS = 10, 32, 200


class Weights:
    """All weights trained, as the masks' rival in the same loop."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._own = {name: value.clone().requires_grad_(True) for name, value in weights.items()}

    def tensors(self) -> dict[str, Tensor]:
        return self._own

    def materialise(self) -> dict[str, Tensor]:
        return dict(self._own)

    def kept(self) -> float:
        return 1.0


def fine_tuned(base: Backbone, scene: Scene, seed: int) -> Backbone:
    """The SwAV loss, the same crops and steps, on all weights: lr 0.15 per 64, cosine, the paper's."""
    given = {key: value for key, value in scene.settings.items() if key != "crops"}
    with opened(base, scene.train) as pool:
        n_dims = pool.net.features(pool.shelf.plain(torch.arange(1), pool.device), {}, {}).shape[1]
        plan = choose_settings(len(pool.shelf), n_dims, "resnet", given={**given, "lr": 0.15, "seed": seed})
        cut = automatic_crops(pool, scene.settings.get("crops"))
        goal = SwavGoal(n_dims, plan, cut, pool.device, seeded(seed, "head"))
        weights = Weights(pool.net.tensors)
        statistics = pool.net.copy_statistics()
        train(pool.net, pool.shelf, weights, goal, plan, statistics, pool.device)
        statistics = measure_statistics(pool.net, pool.shelf, weights.materialise(), pool.device)
    tuned = copy.copy(base)
    tuned.module = copy.deepcopy(base.module)
    tuned.module.load_state_dict({**weights.tensors(), **statistics}, strict=True)
    tuned.module.requires_grad_(False)
    return tuned


def few_labels(scene: Scene, draw: int) -> np.ndarray[Any, Any]:
    """Positions of scene.few pictures per class."""
    rng = np.random.default_rng([7, draw])
    classes = scene.train_classes
    return np.concatenate([rng.permutation(np.flatnonzero(classes == c))[: scene.few] for c in np.unique(classes)])


def adapted(method: str, scene: Scene, seed: int, folder: Path) -> tuple[Backbone, dict[str, Any]]:
    """The network, and facts: bytes that it adds to the base; of masks the verdict, share kept and bits per weight."""
    base = scene.make(seed)
    n_weights = sum(value.numel() for value in base.module.parameters())
    n_statistics = sum(v.numel() for k, v in base.module.named_buffers() if "running" in k)
    if method == "base":
        return base, {"bytes": 0}
    if method == "adabn":
        changed = copy.copy(base)
        changed.module = copy.deepcopy(base.module)
        estimate_statistics(changed, scene.train)
        return changed, {"bytes": 2 * n_statistics}
    if method == "ssl":
        return fine_tuned(base, scene, seed), {"bytes": 4 * n_weights + 2 * n_statistics}
    rows = few_labels(scene, 0)
    labels = {int(row): int(scene.train_classes[row]) for row in rows}
    settings: dict[str, Any] = {**scene.settings, "seed": seed}
    if method in ("supervised", "all_labels"):
        given: Any = labels if method == "supervised" else scene.train_classes.tolist()
        crops = {key: value for key, value in settings.get("crops", {}).items() if key == "flip"}
        epochs = max(1, min(40, round(_STEPS * _BATCH / (0.7 * len(given)))))
        fixed = {"epochs": epochs, "batch_size": _BATCH, "seed": seed, "guard": method == "all_labels"}
        mask = adapt_masks(base, scene.train, labels=given, supervised=True, crops=crops, **fixed)
    else:
        mask = adapt_masks(base, scene.train, labels=labels, checkpoint=folder / f"{seed}.pt", **settings)
    sizes = mask.save(folder / f"{method}-{seed}.safetensors")
    facts: dict[str, Any] = {"bytes": sizes.file_bytes, "masked": sizes.n_weights, "kept": mask.keep_rate}
    if mask.verdict is not None:
        facts |= {"verdict": "go" if mask.verdict.go else "no-go", "reasons": list(mask.verdict.reasons)}
    return mask.apply(base), facts


def whitened(mode: str, scene: Scene, seed: int, folder: Path) -> tuple[Embed, dict[str, Any]]:
    """Features of the base, or of one mode of a cascade, which is trained for the first that asks. Bytes: masks,
    whitening, and the router where pictures are sent to experts."""
    place, base = folder / f"cascade-{seed}", scene.make(seed)
    if mode == "whitened":
        rows = extract(base, scene.train).astype(np.float64)
        own = fit_whitening(rows, min(128, rows.shape[1]), seed)
        n_bytes = own.mean.nbytes + own.directions.nbytes
        return lambda pictures: own(extract(base, pictures).astype(np.float64)), {"bytes": n_bytes}
    if not (place / "router.npz").exists():
        adapt_cascade(base, scene.train, **scene.settings, seed=seed).save(place)
    cascade = load_cascade(place, base)
    whitening, router = cascade.whitenings[mode], cascade.router
    masks = ["dispatcher"] if mode == "dispatcher" else [file.stem for file in place.glob("*.safetensors")]
    arrays = [whitening.mean, whitening.directions]
    if mode == "conditional":
        arrays += [router.whitening.mean, router.whitening.directions, router.means, router.factors, router.logs]
    n_bytes = sum((place / f"{name}.safetensors").stat().st_size for name in masks) + sum(x.nbytes for x in arrays)
    return lambda pictures: cascade.embed(pictures, mode), {"bytes": n_bytes}


def verdict_without_labels(scene: Scene, seed: int, file: Path) -> str:
    """What the guard says of a saved mask by views and RankMe alone; the loss is not looked at."""
    base = scene.make(seed)
    mask = load_mask(file, base)
    with opened(base, scene.train) as pool:
        cut = replace(automatic_crops(pool, scene.settings.get("crops")), n_big=2, n_small=0)
        states: dict[str, Any] = {
            "base": ({}, {}),
            "adabn": ({}, measure_statistics(pool.net, pool.shelf, {}, pool.device)),
            "mask": (mask.tensors(base.module), mask.statistics(base.module)),
        }
        facts = {"keep_rate": mask.keep_rate, "emptied": 0, "loss": 0.0, "ln_k": 1.0}
        return "go" if judge_states(pool, states, cut, None, seed, **facts).go else "no-go"


def fill_in(out: Path) -> None:
    """Verdicts without labels of the cells that have none yet."""
    for name, make in SCENES.items():
        scene: Scene | None = None
        for place in sorted((out / name).glob("smn-*.json")):
            cell = json.loads(place.read_text())
            if "unlabelled" not in cell:
                scene = scene or make()
                seed = int(place.stem.partition("-")[2])
                cell["unlabelled"] = verdict_without_labels(scene, seed, place.with_suffix(".safetensors"))
                write_atomic(place, [json.dumps(cell).encode()])


def measure(embed: Embed, scene: Scene) -> dict[str, Any]:
    known, asked = embed(scene.train), embed(scene.test)
    few = []
    for draw in range(_DRAWS):
        rows = few_labels(scene, draw)
        heads = og.fit_heads(known[rows], scene.train_classes[rows].tolist(), lambdas=3e-4, calibrate=False)
        few.append(float((next(iter(heads.predict(asked).values())) == scene.test_classes).mean()))
    knn = knn_hits(known, scene.train_classes, asked, scene.test_classes, k=20)
    return {"knn": float(knn.mean()), "few": few}


def run(out: Path, scenes: list[str], methods: list[str], seeds: int, minutes: float) -> None:
    began = time.monotonic()
    for name in scenes:
        scene: Scene | None = None
        for seed in range(seeds):
            for method in methods:
                place = out / name / f"{method}-{seed}.json"
                if place.exists():
                    continue
                if time.monotonic() - began > 60 * minutes:
                    print(f"stopped after {minutes:g} minutes; the same command goes on")
                    return
                scene = scene or SCENES[name]()
                place.parent.mkdir(parents=True, exist_ok=True)
                start = time.monotonic()
                if method in WHITENED:
                    embed, facts = whitened(method, scene, seed, place.parent)
                else:
                    network, facts = adapted(method, scene, seed, place.parent)
                    embed = functools.partial(extract, network)
                seconds = time.monotonic() - start
                cell = {**measure(embed, scene), **facts, "seconds": round(seconds, 1)}
                write_atomic(place, [json.dumps(cell).encode()])
                words = f"kNN {cell['knn']:.3f}, few {np.mean(cell['few']):.3f}, {seconds:.0f} s"
                print(f"{name} {method} seed {seed}: {words}", flush=True)


def tables(out: Path) -> str:
    lines = []
    for name in SCENES:
        cells = {m: [json.loads(p.read_text()) for p in sorted((out / name).glob(f"{m}-*.json"))] for m in METHODS}
        if not cells["base"]:
            continue
        n_seeds = len(cells["base"])
        lines += [f"**{name}**, {n_seeds} seed{'s' if n_seeds > 1 else ''}", ""]
        lines += ["| method | kNN | few labels | kept | bytes | bits per masked weight | verdict | without labels |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for method, found in cells.items():
            if found:
                lines.append(f"| {' | '.join(_row(method, found))} |")
        lines.append("")
    return "\n".join(lines)


def _row(method: str, found: list[dict[str, Any]]) -> list[str]:
    masked = [cell for cell in found if "masked" in cell]
    said = [[cell[key] for cell in found if cell.get(key)] for key in ("verdict", "unlabelled")]
    return [
        NAMES[method],
        _cell([cell["knn"] for cell in found]),
        _cell([float(np.mean(cell["few"])) for cell in found]),
        f"{np.mean([cell['kept'] for cell in masked]):.1%}" if masked else "",
        f"{np.mean([cell['bytes'] for cell in found]):,.0f}",
        f"{np.mean([8 * cell['bytes'] / cell['masked'] for cell in masked]):.2f}" if masked else "",
        *(f"{go.count('go')} go, {go.count('no-go')} no-go" if go else "" for go in said),
    ]


def _cell(values: list[float]) -> str:
    if len(values) < 3:
        return f"{np.mean(values):.3f}"
    if max(values) - min(values) < 1e-12:
        return f"{values[0]:.3f}"
    found = mean_interval(values)
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", default="digits,cifar,neu,clean", help=", ".join(SCENES))
    parser.add_argument("--methods", default=",".join(PLAIN), help=", ".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60, help="begin no cell after so many")
    parser.add_argument("--tables", action="store_true")
    asked = parser.parse_args()
    if asked.tables:
        print(tables(asked.out))
    else:
        run(asked.out, asked.scenes.split(","), asked.methods.split(","), asked.seeds, asked.minutes)
        fill_in(asked.out)


if __name__ == "__main__":
    main()
