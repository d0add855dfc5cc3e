"""Adapted backbones against the frozen ones: features of the pool anew, heads on them, and the better of the two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...adapt.files import ARRAYS, FACTS
from ...features.embedding import embed
from ...strategies.pool import Pool
from ..steps.base import STORE, TEST_STORE, Context
from ..trial import mean_dict
from . import heads as plain
from .base import Adapted, Known, head_settings
from .judge import cross_validated, fit


def the_better(
    ctx: Context, pool: Pool, known: Known, backbones: Sequence[Any], place: str, notes: Sequence[str], deployed: int
) -> Adapted:
    """Heads on the frozen backbones, and on these in their place; the adapted are used where they surely name more of
    the labels right that are held out in turn, in the same folds. In doubt the frozen ones are.

    backbones  Backbone objects, as many as there are     place  folder for stores and heads, below the run's
    notes      sentences for the report                   deployed  bytes of what they need beside the frozen ones
    Cost: one more embedding of the pool and of the test set, and the cross-validations.
    """
    base = plain.adapt(ctx, pool, known)
    embed_with(ctx, backbones, f"{place}/{STORE}", test=False)
    if ctx.has_test:
        embed_with(ctx, backbones, f"{place}/{TEST_STORE}", test=True)
    settings = {**head_settings(ctx), "backbones": [backbone.name for backbone in backbones]}
    level = ctx.config["evaluate"]["level"]
    store = ctx.folder / place / STORE
    before = cross_validated(ctx.store(), known, {**settings, "backbones": list(pool.features)}, level)
    after = cross_validated(str(store), known, settings, level)
    found = fit(str(store), known, settings)
    found.save(ctx.folder / place / plain.FOLDER)
    difference = after.right.astype(np.float64) - before.right
    better = mean_dict(difference, level, groups=after.groups) if after.n else None
    use = better is not None and better["low"] > 0
    told = "too few labels to compare them" if better is None else _in_words(better)
    verdict = f"{'Adapted' if use else 'Frozen'} backbones are used: held out in turn, adapted less frozen {told}."
    both = {"frozen": before.as_dict(), "adapted": after.as_dict(), "difference": better}
    summary = {**base.summary, "notes": [*notes, verdict], "compared": both}
    files = (*base.files, place)
    if not use:
        return Adapted(base.heads, base.store, base.test_store, summary, files, base.shipped)
    heads = f"{place}/{plain.FOLDER}"
    summary |= {
        "judged": after.as_dict(),
        "heads": {
            name: {"temperature": float(head.temperature), "penalty": head.info.get("lambda")}
            for name, head in found.items()
        },
    }
    shipped = deployed + sum((ctx.folder / heads / name).stat().st_size for name in (ARRAYS, FACTS))
    return Adapted(heads, f"{place}/{STORE}", f"{place}/{TEST_STORE}", summary, files, shipped)


def _in_words(better: dict[str, float]) -> str:
    return f"{better['mean']:+.3f} [{better['low']:+.3f}, {better['high']:+.3f}]"


def embed_with(ctx: Context, backbones: Sequence[Any], name: str, *, test: bool) -> None:
    """The pool, or the test set, under these Backbone objects, into this folder below the run's; goes on."""
    given, pool = ctx.config["embed"], ctx.config["pool"]
    columns = {f"{role}_column": name for role, name in ctx.named("test" if test else "pool").items()}
    embed(
        ctx.config.source("test" if test else "pool"),
        list(backbones),
        ctx.folder / name,
        max_pixels=pool["max_pixels"],
        progress=ctx.progress or False,
        **{key: value for key, value in given.items() if key != "patterns"},
        **columns,
    )
