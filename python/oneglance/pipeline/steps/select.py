"""Step select: what to label, and the list for the people who label."""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..._run_head import run_head
from ...adapt.item_files import column_digest, read_items, read_strata
from ...store.files import file_digest, make_folder, write_atomic
from ...strategies import Pool, Selection, select
from ...strategies.budget import parse_budget
from ...strategies.candidates import available, gone
from ...strategies.run_files import RUN_FILE, SELECTED, write_run
from ..gates import Gate
from ..methods.base import check_pictures
from ..record import Outcome, Record
from ..trial import check_truth
from .audit import LEFT_OUT, left_out_items, left_out_mark
from .base import Context, Step

FOLDER = "selection"
TO_LABEL, LABELS = "to_label.csv", "labels.csv"
"""In the run's folder: item_id, path, rank, weight, reason, label (empty)."""

COLUMNS = ("item_id", "path", "rank", "weight", "reason", "label")


def label_files(ctx: Context) -> list[Path]:
    """Where answers may be: the list itself, filled in, and the files of [labels]."""
    given = ctx.config["labels"]["file"]
    if given is None:
        return [ctx.folder / TO_LABEL, ctx.folder / LABELS]
    named = [given] if isinstance(given, str) else list(given)
    return [ctx.folder / TO_LABEL, *(ctx.config.path_of(name) for name in named)]


def run(ctx: Context) -> Outcome:
    """Picks what is missing to the budget: answers that are there count, and their items are labelled already."""
    pool, given = ctx.pool(), ctx.config["select"]
    check_pictures(ctx)
    check_truth(ctx, pool)
    ctx.book.take(label_files(ctx), item_ids(pool))  # the list itself is written anew below
    ctx.book.save()
    known = set(item_ids(pool))
    answered = [item for item in ctx.book.answers if item in known]
    labels = ctx.book.labels(ctx.config["labels"]["unknown"])
    labelled, exclude = _read(ctx, "labelled", pool), _read(ctx, "exclude", pool)
    out = left_out_items(ctx)
    usable = [item for item in out if item in known]
    unwanted = np.union1d(pool.positions(exclude, "exclude"), pool.positions(_array(usable), "audit"))
    _, counts = available(pool, pool.positions(labelled, "labelled"), unwanted)
    budget = parse_budget(given["budget"], counts["n_candidates"], gone(counts))
    with_label = [item for item in answered if item in labels]
    n_earlier = len(with_label)
    done = np.union1d(pool.positions(labelled, "labelled"), pool.positions(_array(with_label), "answers"))
    nobody_knows = [item for item in answered if item not in labels]
    unwanted = np.union1d(unwanted, pool.positions(_array(nobody_knows), "answers"))
    why = ", ".join(f"{n:,} {check}" for check, n in Counter(out.values()).items())
    ctx.say(f"select: {budget:,} of {counts['n_candidates']:,} items by {given['strategy']}"
            + (f"; {n_earlier:,} labels are there already" if n_earlier else "")
            + (f"; left out: {why}" if why else ""))  # fmt: skip
    spread = None if given["strata"] is None else read_strata(ctx.column(given["strata"]), pool)
    asked: dict[str, Any] = {
        "seed": ctx.config.seed,
        "strata": spread,
        "quotas": given["quotas"] or None,
        "dedup": given["dedup"],
        **({} if given["groups"] is None else {"groups": given["groups"], "per_group": given["per_group"]}),
        **given["params"],
    }
    summary: dict[str, Any] = {
        "budget": budget,
        "n_earlier": n_earlier,
        "strategy": given["strategy"],
        "n_candidates": counts["n_candidates"],
        "n_left_out": len(out),
        "left_out": dict(Counter(out.values())),
        "warnings": [],
    }
    folder = ctx.folder / FOLDER
    make_folder(folder)
    if n_earlier >= budget:
        for name in (*SELECTED, RUN_FILE):
            (folder / name).unlink(missing_ok=True)
        write_list(ctx.folder)
        return Outcome({**summary, "n_picked": 0, "picks": [], "certificate": {}})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen = select(
            pool, budget - n_earlier, given["strategy"], labelled=done, exclude=unwanted, progress=ctx.say, **asked
        )
    request = {
        "command": "run",
        "input": [str(ctx.store_path())],
        "input_hash": ctx.store().content_hash(),
        "budget": given["budget"],
        "strategy": given["strategy"],
        "answered": answered,
        **{**asked, "strata": given["strata"], "strata_hash": column_digest(spread)},
    }
    write_run(folder, run_head(request), chosen)
    paths = write_list(ctx.folder)
    summary |= {
        "n_picked": len(chosen),
        "picks": _names(pool, chosen),
        "certificate": _short(chosen.certificate),
        "warnings": [str(warning.message) for warning in caught],
    }
    for text in summary["warnings"]:
        ctx.say(f"warning: {text}")
    return Outcome(
        summary, (FOLDER,), file_digest(folder / SELECTED[0]), _shipped(paths) + (ctx.folder / TO_LABEL).stat().st_size
    )


def item_ids(pool: Pool) -> list[str]:
    return [str(row) for row in range(pool.n_items)] if pool.ids is None else pool.ids.tolist()


def _array(items: Sequence[str]) -> Any:
    return np.array([*items, None], dtype=object)[:-1]


def _names(pool: Pool, chosen: Selection) -> list[str]:
    return [str(item) for item in (chosen.indices if pool.ids is None else chosen.ids).tolist()]


def _read(ctx: Context, key: str, pool: Pool) -> Any:
    given = ctx.config["select"][key]
    return None if given is None else read_items(ctx.config.path_of(given), f"[select] {key}", pool)


def write_list(folder: Path) -> list[str]:
    """Writes the list to fill in, from the selection's file; returns the paths of its pictures. Raises StoreError."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    paths: list[str] = []
    if (folder / FOLDER / SELECTED[0]).exists():
        for pick in pq.read_table(folder / FOLDER / SELECTED[0]).to_pylist():
            paths.append(pick.get("source") or "")
            weight = f"{pick['weight']:.6g}"
            writer.writerow([pick["item_id"], paths[-1], pick["rank"], weight, pick["reason"], ""])
    write_atomic(folder / TO_LABEL, [text.getvalue().encode()])
    return paths


def _shipped(paths: list[str]) -> int:
    """Bytes of the pictures that the people who label have to see."""
    return sum(Path(path).stat().st_size for path in paths if Path(path).is_file())


def _short(certificate: dict[str, Any]) -> dict[str, Any]:
    """Without long lists, which run.json has."""
    return {
        name: {key: entry for key, entry in value.items() if not isinstance(entry, list) or len(entry) <= 20}
        if isinstance(value, dict)
        else value
        for name, value in certificate.items()
        if not isinstance(value, list) or len(value) <= 20
    }


def gates(ctx: Context, record: Record) -> list[Gate]:
    if not ctx.config["gates"]["certificate"]:
        return []
    told = record.summary
    wanted = told["budget"] - told["n_earlier"]
    backbones = told["certificate"].get("backbones", {})
    failed = [name for name, one in backbones.items() if isinstance(one, dict) and one.get("converged") is False]
    if failed:
        why = (
            f"Lewis weights have not converged under {', '.join(failed)}: raise max_passes or ridge in [select] params"
        )
        return [Gate("certificate", "select", False, float(len(failed)), 0, why)]
    short = max(0, wanted - told["n_picked"])
    why = f"{told['n_picked']:,} picks" + (f", {short:,} fewer than asked for" if short else " as asked for")
    if backbones:
        why += ", weights converged under every backbone"
    return [Gate("certificate", "select", short == 0, float(short), 0, why)]


def _parts(ctx: Context) -> dict[str, Any]:
    given = ctx.config["select"]
    found = {name: ctx.hashes.of(ctx.config.path_of(given[name])) for name in ("labelled", "exclude") if given[name]}
    return {**found, "strata": ctx.column_mark(given["strata"]), LEFT_OUT: left_out_mark(ctx)}


STEP = Step("select", "what to label", 1, ("select",), ("embed",), run, _parts, gates)
