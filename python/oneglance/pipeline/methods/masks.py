"""Method masks: backbones adapted to the pool without labels, by switching weights off, where that helps."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ...features.backbones import as_backbones
from ...masks import adapt_masks, load_mask
from ...strategies.pool import Pool
from ..steps.base import Context
from .base import MASKS, Adapted, Known, check_pictures, relative, trainings
from .better import the_better
from .heads import adapt as heads_alone


def adapt(ctx: Context, pool: Pool, known: Known) -> Adapted:
    """A mask per backbone, judged by the labels (masks.guard); those with a go are put on. A killed run goes on: a
    finished mask is kept, an unfinished one continues from its checkpoint. Raises InvalidInput without pictures."""
    check_pictures(ctx)
    specs = ctx.specs or []
    cells = trainings(ctx, MASKS)
    labels = known.by_item(pool)
    backbones, notes, deployed, n_go = [], [], 0, 0
    for number, spec in enumerate(specs):
        place = cells.folder / f"mask-{number}"
        train, load = partial(_train, ctx, spec, place, labels), partial(_backbone, spec, place)
        told, backbone = cells.get_with(f"verdict-{number}", train, load)
        notes.append(f"Mask for {backbone.name}: {told['text']}")
        deployed += told["bytes"] if told["go"] else 0
        n_go += told["go"]
        backbones.append(backbone)
    if not n_go:
        base = heads_alone(ctx, pool, known)
        notes.append("No mask has a go: frozen backbones are used.")
        return Adapted(base.heads, base.store, base.test_store, {**base.summary, "notes": notes},
                       (*base.files, relative(cells.folder, ctx.folder)), base.shipped)  # fmt: skip
    return the_better(ctx, pool, known, backbones, relative(cells.folder, ctx.folder), notes, deployed)


def _train(ctx: Context, spec: str, place: Path, labels: dict[str, str]) -> dict[str, Any]:
    given, embedding = ctx.config["adapt"], ctx.config["embed"]
    ctx.say(f"adapt: a mask for {spec}")
    place.mkdir(parents=True, exist_ok=True)
    fixed = {} if given["epochs"] is None else {"epochs": given["epochs"]}
    made = adapt_masks(
        spec,
        ctx.config.source("pool"),
        labels=labels,
        tensors=given["tensors"],
        device=embedding["device"],
        checkpoint=place / "checkpoint",
        keep_checkpoint=True,
        columns=ctx.columns("pool"),
        max_pixels=ctx.config["pool"]["max_pixels"],
        max_bad_fraction=embedding["max_bad_fraction"],
        workers=embedding["workers"] or None,
        progress=ctx.progress or False,
        seed=ctx.config.seed,
        **fixed,
    )
    sizes = made.save(place)
    (place / "checkpoint").unlink(missing_ok=True)  # only now: a mask that could not be saved is not trained again
    verdict = made.verdict
    go = verdict is not None and verdict.go
    text = f"{'go' if go else 'no-go'}. " + ("" if verdict is None else " ".join(verdict.reasons))
    return {"go": go, "text": text, "bytes": sizes.file_bytes}


def _backbone(spec: str, place: Path, told: dict[str, Any]) -> Any:
    """Masked, or as it is."""
    (base,) = as_backbones([spec])
    return load_mask(place, base).apply(base) if told["go"] else base
