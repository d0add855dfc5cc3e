"""Step embed: features of the pool and of the test set, once."""

from __future__ import annotations

from typing import Any

from ...features.embedding import embed
from ...features.plan import plan_embed
from ...features.progress import clock
from ...store import FeatureStore
from ...store.files import human_bytes
from ...store.folder import clear_store
from ..gates import Gate, at_most
from ..record import Outcome, Record
from .base import STORE, TEST_STORE, Context, Step, on_gpu


def prepare(ctx: Context) -> None:
    """Removes a store that cannot be gone on with. What a broken-off run finished is kept, and so are backbones that
    are there when others are added; anything else that changed begins the store anew."""
    for name, other in ((STORE, "test set"), (TEST_STORE, "pool")):
        if (ctx.folder / name).exists() and not _goes_on(ctx.before, ctx.parts, other):
            clear_store(ctx.folder / name)


def _goes_on(before: dict[str, Any] | None, now: dict[str, Any], other: str) -> bool:
    if before is None:
        return False
    same = all(before.get(name) == value for name, value in now.items() if name not in ("backbones", "code", other))
    return same and all(mark in now["backbones"] for mark in before.get("backbones", []))


def run(ctx: Context) -> Outcome:
    files = []
    summary: dict[str, Any] = {}
    for test in (False, True) if ctx.has_test else (False,):
        source = ctx.test_source if test else ctx.source
        name = TEST_STORE if test else STORE
        if source is not None:
            ctx.say(f"embed: {len(source.items):,} items of {source.info.description} -> {name}/")
            store = _embed(ctx, test)
            files.append(name)
        else:
            store = ctx.store(test)
        summary[name] = {
            "n_items": store.n_items,
            "n_bad": int(store.manifest["n_bad"]),
            "content_hash": store.content_hash(),
            "backbones": {backbone: store.n_dims(backbone) for backbone in store.backbones},
        }
    mark = " ".join(entry["content_hash"] for entry in summary.values())
    return Outcome(summary, tuple(files), mark)


def _embed(ctx: Context, test: bool) -> FeatureStore:
    given, pool = ctx.config["embed"], ctx.config["pool"]
    source = ctx.test_source if test else ctx.source
    pictures = source is not None and source.pictures is not None
    columns = {f"{role}_column": name for role, name in ctx.named("test" if test else "pool").items()}
    return embed(
        ctx.config.source("test" if test else "pool"),
        ctx.specs if pictures else None,
        ctx.store_path(test),
        patterns=True if given["patterns"] else None,
        vector_columns=ctx.config["test" if test else "pool"]["vector_columns"],
        max_pixels=pool["max_pixels"],
        progress=ctx.progress or False,
        **{name: value for name, value in given.items() if name != "patterns"},
        **columns,
    )


def estimate(ctx: Context) -> str:
    """Of the pool; the test set comes on top. Loads the backbones and times a few pictures."""
    if ctx.source is None:
        return "a store already"
    given, pool = ctx.config["embed"], ctx.config["pool"]
    plan = plan_embed(
        ctx.config.source("pool"),
        ctx.specs if ctx.has_pictures else None,
        ctx.store_path(),
        columns=ctx.columns("pool"),
        max_pixels=pool["max_pixels"],
        patterns=True if given["patterns"] else None,
        **{name: given[name] for name in ("batch_size", "workers", "device", "compute", "dtype", "shard_rows")},
    )
    time = "" if plan.time_s is None else f", about {clock(plan.time_s)}"
    return f"{plan.n_items:,} items, {human_bytes(plan.disk_bytes)} on disk, {human_bytes(plan.ram_bytes)} of RAM{time}"


def parts_of(ctx: Context) -> dict[str, Any]:
    found: dict[str, Any] = {"pool": ctx.content(), "backbones": ctx.marks(), **ctx.pixels}
    if ctx.has_test:
        found["test set"] = ctx.content(test=True)
    return found


def gates(ctx: Context, record: Record) -> list[Gate]:
    pool = record.summary[STORE]
    share = pool["n_bad"] / pool["n_items"]
    what = f"{pool['n_bad']:,} of {pool['n_items']:,} items have no features"
    return at_most("unusable", "embed", share, ctx.config["gates"], what)


STEP = Step(
    "embed",
    "frozen backbones over the pool",
    1,
    ("embed",),
    (),
    run,
    parts_of,
    gates,
    seeded=False,
    prepare=prepare,
    gpu=on_gpu,
    estimate=estimate,
)
