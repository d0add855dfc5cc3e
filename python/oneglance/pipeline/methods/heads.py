"""Method heads: a head on every frozen backbone."""

from __future__ import annotations

from ...adapt.files import ARRAYS, FACTS, heads_library
from ...strategies.pool import Pool
from ..steps.base import STORE, TEST_STORE, Context
from .base import Adapted, Known, head_settings, relative
from .judge import cross_validated, fit

FOLDER = "heads"


def adapt(ctx: Context, pool: Pool, known: Known) -> Adapted:
    heads_library()
    settings = head_settings(ctx)
    store = ctx.store()
    names = list(pool.features)
    judged = cross_validated(store, known, {**settings, "backbones": names}, ctx.config["evaluate"]["level"])
    found = fit(store, known, {**settings, "backbones": names})
    found.save(ctx.folder / FOLDER)
    files = tuple(f"{FOLDER}/{name}" for name in (ARRAYS, FACTS))
    summary = {
        "judged": judged.as_dict(),
        "heads": {
            name: {"temperature": float(head.temperature), "penalty": head.info.get("lambda")}
            for name, head in found.items()
        },
        "notes": [],
    }
    test = relative(ctx.store_path(test=True), ctx.folder) if ctx.has_test else TEST_STORE
    here = relative(ctx.store_path(), ctx.folder) if ctx.source is None else STORE
    shipped = sum((ctx.folder / name).stat().st_size for name in files)
    return Adapted(FOLDER, here, test, summary, files, shipped)
