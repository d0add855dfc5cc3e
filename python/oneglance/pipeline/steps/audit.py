"""Steps audit and audit_features: what is wrong with the pictures, and then with their features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ...auditing import Audit, audit
from ...auditing.opening import open_material
from ...auditing.plan import plan_audit
from ...auditing.result import FILES
from ...features.progress import clock
from ...store.files import digest
from ..gates import Gate, at_most
from ..record import Outcome, Record
from .base import Context, Step, test_pool

LEFT_OUT = "left out by the audit"
_OPTIONS = ("near", "hamming", "clusters", "permutations", "sample_rows")


def of_pictures(ctx: Context) -> Outcome:
    mine = open_material(ctx.source, None, None, "pool")
    other = ctx.test_source if ctx.has_test else None
    theirs = None if other is None or other.pictures is None else open_material(other, None, None, "test")
    ctx.say(f"audit: {mine.n_items:,} pictures of {mine.where}")
    return _audited(ctx, mine, theirs, "audit")


def of_features(ctx: Context) -> Outcome:
    ctx.say("audit_features: rows of " + ", ".join(ctx.pool().features))
    mine = open_material(ctx.store(), None, ctx.config["select"]["backbones"] or None, "pool")
    theirs = None
    if ctx.has_test and mine.pool is not None:
        other = test_pool(ctx.store_path(test=True), list(mine.pool.features))
        theirs = open_material(other, None, None, "test")
    return _audited(ctx, mine, theirs, "audit_features")


def _audited(ctx: Context, mine: Any, theirs: Any, name: str) -> Outcome:
    given = ctx.config["audit"]
    found = audit(
        mine,
        against=theirs,
        workers=given["workers"],
        max_pixels=ctx.config["pool"]["max_pixels"],
        seed=ctx.config.seed,
        progress=ctx.say,
        picture_progress=ctx.progress,
        **{option: given[option] for option in _OPTIONS},
    )
    found.save(ctx.folder / name)
    return Outcome(summary_of(found), tuple(f"{name}/{file}" for file in FILES))


def summary_of(found: Audit) -> dict[str, Any]:
    """What gates need beside audit.json."""
    left_out = {check: int(rows.size) for check, rows in found.dropped().items()}
    leaked = {int(row) for one in found.findings if one.check == "leakage" for row in one.rows[one.outside].tolist()}
    return {
        "n_items": found.n_items,
        "n_against": found.n_against,
        "n_findings": {name: sum(one.severity == name for one in found.findings) for name in ("error", "warning")},
        "left_out": left_out,
        "n_useless": sum(n for check, n in left_out.items() if "duplicates" not in check),
        "n_repeats": sum(n for check, n in left_out.items() if "duplicates" in check),
        "n_leaked": len(leaked),
        "collapsed": sorted({one.about for one in found.findings if one.check == "collapsed"}),
    }


def left_out_items(ctx: Context) -> dict[str, str]:
    """Item -> why, of what both audits mark to leave out. A repeat stays where the item that stands for it cannot be
    used by the other audit."""
    rows = [
        row
        for name in ("audit", "audit_features")
        if name in ctx.records and ctx.config["audit"]["leave_out"]
        for row in _dropped(ctx.folder / name / FILES[0])
    ]
    useless = {item for item, kept, _ in rows if kept is None}
    out: dict[str, str] = {}
    for item, kept, why in rows:
        if kept not in useless:
            out.setdefault(item, why)
    return out


def left_out_mark(ctx: Context) -> str:
    """What tells one such list from another, for steps whose candidates it decides."""
    return digest(repr(sorted(left_out_items(ctx).items())).encode())


def _dropped(path: Path) -> list[tuple[str, str | None, str]]:
    """(item, the one that stays for it or None, why) of every row that an audit marks to drop."""
    found = pq.read_table(path)
    table = found.select(["drop", "pool", "item_id", "check", "about"]).to_pydict()
    kept = found["kept_id"].to_pylist() if "kept_id" in found.column_names else [None] * found.num_rows
    rows = zip(*(table[name] for name in ("drop", "pool", "item_id", "check", "about")), kept, strict=True)
    return [
        (item, stand, f"{check} ({about})") for drop, pool, item, check, about, stand in rows if drop and pool == "pool"
    ]


def gates(ctx: Context, record: Record) -> list[Gate]:
    told, limits, step = record.summary, ctx.config["gates"], record.step
    n = max(1, told["n_items"])
    useless, repeats = told["n_useless"], told["n_repeats"]
    found = at_most("unusable", step, useless / n, limits, f"{useless:,} of {n:,} items cannot be used")
    found += at_most("duplicates", step, repeats / n, limits, f"{repeats:,} of {n:,} items only repeat others")
    if told["n_against"]:
        leaked, m = told["n_leaked"], told["n_against"]
        found += at_most("leakage", step, leaked / m, limits, f"{leaked:,} of {m:,} test items are in the pool")
    if step == "audit_features":
        found += at_most("collapse", step, len(told["collapsed"]), limits, _collapsed(told))
    return found


def _collapsed(told: Mapping[str, Any]) -> str:
    names = told["collapsed"]
    return "features have collapsed under " + ", ".join(names) if names else "no backbone's features have collapsed"


def estimate(ctx: Context) -> str:
    """Times a few pictures."""
    mine = open_material(ctx.source, None, None, "pool")
    other = ctx.test_source if ctx.has_test else None
    theirs = None if other is None or other.pictures is None else open_material(other, None, None, "test")
    given = ctx.config["audit"]
    costs = {name: given[name] for name in ("sample_rows", "permutations", "workers")}
    plan = plan_audit(mine, theirs, **costs)
    return f"{plan.n_pictures:,} pictures, about {clock(plan.seconds)}"


def _no_pictures(ctx: Context) -> str:
    if not ctx.config["audit"]["pictures"]:
        return "switched off"
    return "" if ctx.has_pictures else "the pool holds no pictures"


def _parts(ctx: Context) -> dict[str, Any]:
    found: dict[str, Any] = {"pool": ctx.content(), **ctx.pixels}
    return {**found, "test set": ctx.content(test=True)} if ctx.has_test else found


AUDIT = Step("audit", "what is wrong with the pictures", 1, ("audit",), (), of_pictures, _parts, gates,
             left_out=_no_pictures, estimate=estimate)  # fmt: skip
AUDIT_FEATURES = Step(
    "audit_features",
    "what is wrong with the features",
    1,
    ("audit",),
    ("embed",),
    of_features,
    lambda ctx: {"backbones": list(ctx.config["select"]["backbones"])},
    gates,
    left_out=lambda ctx: "" if ctx.config["audit"]["features"] else "switched off",
)
