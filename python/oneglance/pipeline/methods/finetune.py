"""Method finetune: networks tuned on the labelled pictures where that beats the plain probe for certain."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...adapt import Head, Heads
from ...adapt.files import ARRAYS, FACTS
from ...features.specs import parse_spec
from ...finetuning import finetune, load_finetuned
from ...finetuning.folder import Loaded
from ...strategies.pool import Pool
from ..steps.base import STORE, TEST_STORE, Context
from .base import FINETUNED, Adapted, Known, check_pictures, relative, trainings
from .better import embed_with
from .heads import FOLDER as HEADS
from .heads import adapt as heads_alone

PROBE = "probe"
NETWORKS = "networks"
"""A folder of their own: a backbone may be called like one of those beside it."""


def adapt(ctx: Context, pool: Pool, known: Known) -> Adapted:
    """og.finetune for every backbone: recipes by the number of labels, each judged on labels it did not see. The pool
    is embedded anew with what comes out, and each network keeps the head it was tuned with. The learning curve stays
    that of heads on frozen backbones: tuned features have seen all labels. A killed run goes on. Raises InvalidInput.
    """
    check_pictures(ctx)
    specs = ctx.specs or []
    base = heads_alone(ctx, pool, known)
    cells = trainings(ctx, FINETUNED)
    labels = known.by_item(pool)
    told: list[dict[str, Any]] = []
    networks: list[Any] = []
    heads: dict[str, Head] = {}
    for number, spec in enumerate(specs):
        place = cells.folder / NETWORKS / parse_spec(spec).name  # its head is called by its folder
        tune, load = partial(_tune, ctx, spec, place, labels), partial(_loaded, place)
        one, made = cells.get_with(f"told-{number}", tune, load)
        told.append(one)
        networks.append(made.backbone)
        heads |= dict(made.heads)
        classes = made.heads.classes
    notes = [f"{spec}: {one['text']}" for spec, one in zip(specs, told, strict=True)]
    here = relative(cells.folder, ctx.folder)
    if all(one["recipe"] == PROBE for one in told):
        notes.append("No recipe beats the probe for certain: frozen backbones are used.")
        summary = {**base.summary, "notes": notes}
        return Adapted(base.heads, base.store, base.test_store, summary, (*base.files, here), base.shipped)
    if known.weighting != "equal":
        notes.append("Tuned networks and their heads count all labels alike; only the frozen ones use weights.")
    embed_with(ctx, networks, f"{here}/{STORE}", test=False)
    if ctx.has_test:
        embed_with(ctx, networks, f"{here}/{TEST_STORE}", test=True)
    found = Heads(heads, "classification", classes)
    found.save(cells.folder / HEADS)
    summary = {
        **base.summary,
        "judged": _judged(told, known),
        "notes": notes,
        "compared": {"frozen": base.summary["judged"], "tuned": told},
        "curve_store": base.store,
    }
    shipped = sum(one["bytes"] for one in told if one["recipe"] != PROBE)
    shipped += sum((cells.folder / HEADS / name).stat().st_size for name in (ARRAYS, FACTS))
    return Adapted(f"{here}/{HEADS}", f"{here}/{STORE}", f"{here}/{TEST_STORE}", summary, (*base.files, here), shipped)


def _loaded(place: Path, _: Any) -> Loaded:
    return load_finetuned(place)


def _tune(ctx: Context, spec: str, place: Path, labels: dict[str, str]) -> dict[str, Any]:
    given, embedding = ctx.config["adapt"], ctx.config["embed"]
    ctx.say(f"adapt: recipes for {spec}")
    recipe = given["recipe"] if isinstance(given["recipe"], str) else list(given["recipe"])
    made = finetune(
        spec,
        ctx.config.source("pool"),
        labels,
        recipe=recipe[0] if recipe in (["auto"], ["all"]) else recipe,
        folds=given["folds"],
        device=embedding["device"],
        checkpoint=place.with_name(f"{place.name}.trainings"),
        columns=ctx.columns("pool"),
        max_pixels=ctx.config["pool"]["max_pixels"],
        max_bad_fraction=embedding["max_bad_fraction"],
        workers=embedding["workers"] or None,
        progress=ctx.progress or False,
        seed=ctx.config.seed,
        **({} if given["steps"] is None else {"steps": given["steps"]}),
    )
    sizes = made.save(place)
    interval = next((score.accuracy for score in made.scores if score.recipe == made.recipe), None)
    accuracy = None if interval is None else {"mean": interval.mean, "low": interval.low, "high": interval.high}
    text = f"{made.recipe}. " + " ".join(made.reason)
    return {"recipe": made.recipe, "text": text, "accuracy": accuracy, "bytes": sum(sizes.values())}


def _judged(told: list[dict[str, Any]], known: Known) -> dict[str, Any]:
    """Of the backbone that does worst: the mean of several was not judged."""
    judged = [one["accuracy"] for one in told if one["accuracy"] is not None]
    counts = np.unique(known.labels.astype(str), return_counts=True)[1]
    majority = float(counts.max() / counts.sum())
    if not judged:
        return {"accuracy": None, "majority": majority, "gain": None, "by_backbone": {}, "n": 0}
    worst = min(judged, key=lambda one: one["low"])
    return {
        "accuracy": worst,
        "majority": majority,
        "gain": {name: value - majority for name, value in worst.items()},
        "by_backbone": {},
        "n": int(known.rows.size),
    }
