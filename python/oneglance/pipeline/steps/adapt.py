"""Step adapt: from the labels to heads, by one of the methods, and whether anything was learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ...errors import InvalidInput
from ...finetuning.folds import group_numbers
from ...strategies.pool import Pool
from ...strategies.run_files import SELECTED
from ..gates import Gate
from ..methods import Known, method_of
from ..methods.base import FINETUNED, MASKS, trainings, uses_weights
from ..record import Outcome, Record
from .base import Context, Step, on_gpu
from .select import FOLDER as SELECTION


def known_labels(ctx: Context, pool: Pool) -> Known:
    """Every label of the book on an item with features, and its weight. Raises InvalidInput."""
    labels = ctx.book.labels(ctx.config["labels"]["unknown"])
    if pool.ids is None:
        row_of = {str(row): row for row in range(pool.n_items)}
    else:
        row_of = {item: row for row, item in enumerate(pool.ids.tolist())}
    found = sorted((row_of[item], label) for item, label in labels.items() if item in row_of)
    usable = [(row, label) for row, label in found if pool.valid[row]]
    if not usable:
        raise InvalidInput("labels: no labelled item has features, there is nothing to fit. Label some.")
    rows = np.array([row for row, _ in usable], dtype=np.int64)
    values = np.array([*(label for _, label in usable), None], dtype=object)[:-1]
    weights, weighting = _weights(ctx, rows)
    groups = pool.columns.get("group")
    return Known(rows, values, weights, weighting, group_numbers(rows, None if groups is None else groups.tolist()))


def _weights(ctx: Context, rows: Any) -> tuple[Any, str]:
    how = ctx.config["adapt"]["weights"]
    path = ctx.folder / SELECTION / SELECTED[0]
    own: dict[int, float] = {}
    if how != "equal" and path.exists():
        table = pq.read_table(path, columns=["row_id", "weight"]).to_pydict()
        own = dict(zip(table["row_id"], table["weight"], strict=True))
    strange = [row for row in rows.tolist() if row not in own]
    if how == "selection" and strange:
        raise InvalidInput(
            f'[adapt] weights = "selection": {len(strange)} labels are of items outside the selection (of an earlier '
            'one, or given beside it), which have no weight. Use "auto" or "equal".'
        )
    if strange or not uses_weights(ctx):
        return np.ones(rows.size), "equal"
    return np.array([own[row] for row in rows.tolist()]), "of the selection"


def run(ctx: Context) -> Outcome:
    pool = ctx.pool()
    known = known_labels(ctx, pool)
    name = ctx.config["adapt"]["method"]
    ctx.say(f"adapt: {name} from {known.rows.size:,} labels, weights {known.weighting}")
    found = method_of(name)(ctx, pool, known)
    counts = np.unique(known.labels.astype(str), return_counts=True)
    summary = {
        "method": name,
        "n_labels": int(known.rows.size),
        "weights": known.weighting,
        "classes": {str(label): int(count) for label, count in zip(*counts, strict=True)},
        "heads_folder": found.heads,
        "store": found.store,
        "test_store": found.test_store,
        **found.summary,
    }
    return Outcome(summary, found.files, shipped=found.shipped)


def prepare(ctx: Context) -> None:
    for name in (MASKS, FINETUNED):
        trainings(ctx, name).forget(own=ctx.before is None)


def gates(ctx: Context, record: Record) -> list[Gate]:
    limit = ctx.config["gates"]["majority"]
    if limit is None:
        return []
    judged = record.summary["judged"]
    gain = judged["gain"]
    if gain is None:
        why = "too few labels to hold any out: two classes with two labels each are needed. Label more"
        return [Gate("majority", "adapt", False, None, limit, why)]
    accuracy = judged["accuracy"]
    go = gain["low"] > limit
    why = (
        f"held out in turn, {accuracy['mean']:.1%} of {judged['n']:,} labels are named right, {judged['majority']:.1%} "
        f"by naming the largest class; the gain is {gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    )
    why += "" if go else f", which is not surely above {limit:g}"
    return [Gate("majority", "adapt", go, gain["low"], limit, why)]


STEP = Step(
    "adapt",
    "from labels to heads",
    2,
    ("adapt",),
    ("embed", "select", "labels"),
    run,
    lambda ctx: {"level": ctx.config["evaluate"]["level"]},
    gates,
    prepare=prepare,
    gpu=lambda ctx: ctx.config["adapt"]["method"] != "heads" and on_gpu(ctx),
)
