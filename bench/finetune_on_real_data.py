"""What tuning on few labels is worth on real pictures: recipes of `finetune` against the plain probe, on test data.

Run:  python bench/finetune_on_real_data.py --out FOLDER            (finished cells are kept; repeat to go on)
      python bench/finetune_on_real_data.py --out FOLDER --tables   (Markdown of what is there)

A cell is a pool, a number of labels per class and a seed, which draws the labels (smaller numbers are parts of larger
ones) and everything else. In it every recipe is cross-validated as `finetune` does, trained on all its labels with the
variant that was chosen, and then measured once on the test part. "chosen" is what `finetune` would use, rolled back to
the probe where no recipe is better for certain; "auto" the same among the recipes of its rule. Gains over the probe are
paired by seed. Pools: those of mask_scenes.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mask_scenes import SCENES, Scene
from oneglance._types import IntArray
from oneglance.evaluation import mean_interval, paired_difference, verdict
from oneglance.features import Backbone, extract
from oneglance.finetuning.choosing import choose
from oneglance.finetuning.folds import make_cells, nested_order
from oneglance.finetuning.recipes import choose_recipes, parse_recipe
from oneglance.finetuning.settings import choose_tuning
from oneglance.finetuning.trials import Trials
from oneglance.finetuning.workshop import Start, Workshop
from oneglance.masks.job import automatic_crops
from oneglance.masks.pool import opened
from oneglance.masks.rules import family_of
from oneglance.store.files import make_folder, write_atomic

COUNTS = {"digits": (3, 10, 30), "neu": (3, 10), "cifar": (5, 20)}
RECIPES = "adabn,self_mask,lp_ft,wise_ft,bitfit"
_FOLDS, _STEPS = 5, (40, 80)


def labelled(scene: Scene, per_class: int, seed: int) -> IntArray:
    """Rows with labels, so many of every class; those of smaller numbers are among them."""
    order = nested_order(scene.train_classes, seed)
    return np.sort(order[: per_class * len(np.unique(scene.train_classes))])


def cell(
    scene: Scene,
    per_class: int,
    seed: int,
    names: Sequence[str],
    repeats: int,
    folder: Path,
    masked: dict[int, Any],
) -> Any:
    """Test accuracy of every recipe, of the chosen and of the automatic one, and what cross-validation said."""
    base, rows = scene.make(seed), labelled(scene, per_class, seed)
    codes = scene.train_classes[rows]
    steps = int(np.clip(20 * len(rows) // 32, *_STEPS))
    given = {"steps": steps, "seed": seed, "mask_epochs": scene.settings["epochs"], "stops": (0.5, 1.0)}
    with opened(base, scene.train, device="cpu") as pool:
        plan = choose_tuning(len(rows), family_of(base.module), given)
        cut = automatic_crops(pool, {"flip": 0.0} if "crops" in scene.settings else {}, supervised=True)
        shop = Workshop(pool, rows, codes, len(np.unique(codes)), plan, cut)
        trials = Trials(shop, folder)
        shop.checkpoint = None
        if any("self_mask" in name for name in names):
            if seed not in masked:  # needs no labels: one for all their numbers
                masked[seed] = shop.start("self_mask").backbone
            shop.starts["self_mask"] = Start(masked[seed], shop.features(masked[seed], rows))
        recipes = [parse_recipe(name) for name in ("probe", *names)]
        cells = make_cells(codes, _FOLDS, repeats, (), seed)
        scores, _ = trials.run(recipes, cells)
        facts = {"labels": len(rows), "steps": steps, "recipes": {}}
        accuracy: dict[str, float] = {}
        for recipe, found in zip(recipes, scores, strict=True):
            if found.variant is None:
                facts["recipes"][recipe.name] = {"failed": found.failed}
                continue
            network, head, _ = shop.final(recipe, found.variant)
            accuracy[recipe.name] = tested(network, head, scene)
            facts["recipes"][recipe.name] = {
                "test": accuracy[recipe.name],
                "held_out": found.accuracy.mean if found.accuracy else None,
                "verdict": found.verdict,
                "variant": str(found.variant),
            }
        rule, why = choose_recipes(
            "auto", n_labels=len(rows), n_classes=len(np.unique(codes)), n_pictures=len(scene.train), batch_norm=True
        )
        among = [one for one in recipes if one in rule]
        for name, tried, found in (("chosen", recipes, scores), ("auto", among, trials.run(among, cells)[0])):
            used, _ = choose(found, tried, plan, True)
            facts[name] = {"recipe": used.recipe.name, "test": accuracy[used.recipe.name]}
        facts["why"] = why
    return facts


def tested(network: Backbone, head: Any, scene: Scene) -> float:
    guess = head.codes[head.logits(extract(network, scene.test)).argmax(axis=1)]
    return float((guess == scene.test_classes).mean())


def run(
    out: Path,
    scenes: Sequence[str],
    counts: Sequence[int],
    names: Sequence[str],
    repeats: int,
    seeds: int,
    minutes: float,
) -> None:
    began = time.monotonic()
    made: dict[str, Scene] = {}
    masked: dict[str, dict[int, Any]] = {}
    for seed in range(seeds):
        for name in scenes:
            for per_class in counts or COUNTS[name]:
                place = out / name / f"{per_class}-{seed}.json"
                if place.exists():
                    continue
                if time.monotonic() - began > 60 * minutes:
                    print(f"stopped after {minutes:g} minutes; the same command goes on")
                    return
                if name not in made:
                    made[name] = SCENES[name]()
                make_folder(place.parent)
                start = time.process_time()
                kept = masked.setdefault(name, {})
                found = cell(made[name], per_class, seed, names, repeats, out / name / "cells", kept)
                found["seconds"] = round(time.process_time() - start, 1)
                write_atomic(place, [json.dumps(found).encode()])
                words = ", ".join(
                    f"{key} {value.get('test', float('nan')):.3f}" for key, value in found["recipes"].items()
                )
                print(f"{name} {per_class} a class, seed {seed}: {words}; {found['seconds']:.0f} s", flush=True)


def tables(out: Path) -> str:
    lines: list[str] = []
    for name, counts in COUNTS.items():
        for per_class in counts:
            cells = [json.loads(path.read_text()) for path in sorted((out / name).glob(f"{per_class}-*.json"))]
            if len(cells) < 3:
                continue
            seconds = np.mean([found["seconds"] for found in cells])
            lines += [
                f"**{name}**, {per_class} labels a class ({cells[0]['labels']}), {len(cells)} seeds, "
                f"{seconds:.0f} s of one core per seed",
                "",
                "| recipe | test accuracy | less the probe's | verdict over seeds | verdicts by cross-validation |",
                "|---|---|---|---|---|",
            ]
            probe = [found["recipes"]["probe"]["test"] for found in cells]
            for recipe in cells[0]["recipes"]:
                own = [found["recipes"][recipe] for found in cells]
                if all("test" in one for one in own):
                    said = [one["verdict"] for one in own]
                    lines.append(_row(recipe, [one["test"] for one in own], probe, _counted(said)))
            for entrant in ("chosen", "auto"):
                own = [found[entrant] for found in cells]
                used = _counted([one["recipe"] for one in own])
                lines.append(_row(f"*{entrant}*", [one["test"] for one in own], probe, used))
            lines.append("")
    return "\n".join(lines)


def _row(name: str, values: Sequence[float], probe: Sequence[float], said: str) -> str:
    found = mean_interval(values)
    cells = [name, f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"]
    if list(values) == list(probe):
        cells += ["", ""]
    else:
        change = paired_difference(values, probe)
        cells += [f"{change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})"]
        cells += [verdict(change, higher_is_better=True)]
    return f"| {' | '.join([*cells, said])} |"


def _counted(words: Sequence[str]) -> str:
    return ", ".join(f"{list(words).count(word)} {word}" for word in dict.fromkeys(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", default="digits,neu", help=", ".join(COUNTS))
    parser.add_argument("--counts", default="", help="labels per class, else those of the pool")
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--repeats", type=int, default=2, help="of the folds")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60, help="begin no cell after so many")
    parser.add_argument("--tables", action="store_true")
    asked = parser.parse_args()
    if asked.tables:
        print(tables(asked.out))
        return
    torch.set_num_threads(1)
    counts = [int(part) for part in asked.counts.split(",") if part]
    run(asked.out, asked.scenes.split(","), counts, asked.recipes.split(","), asked.repeats, asked.seeds, asked.minutes)


if __name__ == "__main__":
    main()
