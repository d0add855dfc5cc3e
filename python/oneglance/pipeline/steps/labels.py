"""Step labels: takes in the answers; the run waits here until enough are back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..book import missing
from ..gates import Gate, at_least
from ..record import Outcome, Record
from .base import Context, Step
from .select import item_ids, label_files, write_list

LABELS_GATE = "labels"
_SHOWN = 3


def take_in(ctx: Context, *, keep: bool) -> list[str]:
    """Reads the files into the book; what there is to say about it. keep: on disk as well. Raises InvalidInput."""
    taken = ctx.book.take(label_files(ctx), item_ids(ctx.pool()))
    if keep:
        ctx.book.save()
    said = []
    if taken.n_new:
        said.append(f"labels: {taken.n_new:,} new answers")
    if taken.corrected:
        shown = "; ".join(f"{item}: {old!r} is now {new!r}" for item, (old, new) in list(taken.corrected.items())[:3])
        said.append(f"labels: {len(taken.corrected):,} answers replace earlier ones ({shown})")
    return said


def still_needed(ctx: Context) -> str:
    """How many picks wait for an answer; "" where enough are back."""
    picks = ctx.records["select"].summary["picks"]
    n_without = len(missing(picks, ctx.book.answers))
    enough = len(picks) - n_without >= ctx.config["labels"]["least"] * len(picks)
    return "" if enough else f"{n_without:,} of {len(picks):,} picks have no label yet"


def run(ctx: Context) -> Outcome:
    picks = ctx.records["select"].summary["picks"]
    without = missing(picks, ctx.book.answers)
    unknown = ctx.config["labels"]["unknown"]
    answers = _here(ctx)
    labels = [answer for answer in answers if answer != unknown]
    n_answered = len(picks) - len(without)
    summary: dict[str, Any] = {
        "n_picks": len(picks),
        "n_answered": n_answered,
        "n_labels": len(labels),
        "n_unknown": len(answers) - len(labels),
        "classes": dict(sorted(Counter(labels).items())),
        "missing": without[:20],
    }
    waiting, advice = still_needed(ctx), ""
    if waiting:
        files = label_files(ctx)
        if not files[0].exists():
            write_list(ctx.folder)
        first = ", ".join(without[:_SHOWN])
        advice = (
            f"The first: {first}. Fill in the column label of {files[0]}, or write {files[1]} with the columns item_id "
            f"and label ({unknown!r}: cannot tell); then run again."
        )
    return Outcome(summary, (), f"{ctx.book.digest()} {unknown}", waiting=waiting, advice=advice)


def gates(ctx: Context, record: Record) -> list[Gate]:
    counts = record.summary["classes"]
    limits = ctx.config["gates"]
    found = at_least("classes", "labels", len(counts), limits, f"{len(counts):,} classes among the labels")
    if counts:
        rarest = min(counts, key=lambda name: counts[name])
        what = f"the rarest class, {rarest!r}, has {counts[rarest]:,} labels"
        found += at_least("per_class", "labels", counts[rarest], limits, what)
    return found


def _here(ctx: Context) -> list[str]:
    """Answers to items that the pool still has."""
    known = set(item_ids(ctx.pool()))
    return [answer for item, answer in ctx.book.answers.items() if item in known]


def _parts(ctx: Context) -> dict[str, Any]:
    return {"answers": ctx.book.digest(), "answered items in the pool": len(_here(ctx))}


STEP = Step(LABELS_GATE, "labels come back", 1, ("labels",), ("select",), run, _parts, gates, seeded=False)
