"""Step pretrain: a backbone trained on the pool's own pictures, without labels, beside those that are given."""

from __future__ import annotations

import json
import shutil
from typing import Any

from ...features.specs import BACKBONE_FILE
from ..record import Outcome
from .base import PRETRAINED, Context, Step, on_gpu

_GIVEN = ("method", "encoder", "epochs", "size", "batch_size", "n_classes")


def run(ctx: Context) -> Outcome:
    """Goes on from the checkpoint of a broken-off run of the same."""
    from ...pretraining import pretrain

    arguments = _arguments(ctx)
    ctx.say(f"pretrain: {arguments['method']} on the pictures of the pool -> {PRETRAINED}/")
    made = pretrain(
        ctx.config.source("pool"),
        ctx.folder / PRETRAINED,
        overwrite=True,
        max_bad_fraction=ctx.config["embed"]["max_bad_fraction"],
        max_pixels=ctx.config["pool"]["max_pixels"],
        workers=ctx.config["embed"]["workers"] or None,
        progress=ctx.progress or False,
        **arguments,
    )
    described = json.loads((ctx.folder / PRETRAINED / BACKBONE_FILE).read_text(encoding="utf-8"))
    last = {name: value for name, value in made.curve[-1].items() if isinstance(value, (int, float, str))}
    summary: dict[str, Any] = {
        "method": arguments["method"],
        "n_pictures": made.provenance["pictures"],
        "epochs": len(made.curve),
        "last": last,
        "alarms": list(made.alarms),
    }
    for text in made.alarms:
        ctx.say(f"pretrain: {text}")
    return Outcome(summary, (PRETRAINED,), str(described["weights"]))


def _arguments(ctx: Context) -> dict[str, Any]:
    given, compute = ctx.config["pretrain"], ctx.config["embed"]["compute"]
    return {
        **{name: given[name] for name in _GIVEN if given[name] is not None},
        **({} if given["start"] is None else {"start": ctx.anchored(given["start"])}),
        "seed": ctx.config.seed,
        "columns": ctx.columns("pool"),
        "device": ctx.config["embed"]["device"],
        "compute": "auto" if compute == "float16" else compute,  # which has too narrow a range for gradients
    }


def prepare(ctx: Context) -> None:
    if ctx.before != ctx.parts:
        shutil.rmtree(ctx.folder / PRETRAINED, ignore_errors=True)


def left_out(ctx: Context) -> str:
    if ctx.config["pretrain"]["method"] is None:
        return "[pretrain] method is not set"
    return "" if ctx.has_pictures else "the pool holds no pictures"


def _parts(ctx: Context) -> dict[str, Any]:
    start = ctx.config["pretrain"]["start"]
    found = {"pool": ctx.content(), **ctx.pixels, "embed.compute": ctx.config["embed"]["compute"]}
    return {**found, **({} if start is None else {"start": ctx.mark(start)})}


STEP = Step(
    "pretrain",
    "a backbone from the pool's pictures",
    1,
    ("pretrain",),
    (),
    run,
    _parts,
    prepare=prepare,
    left_out=left_out,
    gpu=on_gpu,
)
