"""`oneglance evaluate --protocol one-shot`: options of its own, the plan, the tables and the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..evaluation.one_shot.heads import CLASSIFIERS, REGRESSORS
from ..evaluation.one_shot.job import OneShotJob
from ..evaluation.one_shot.prepare import INITIAL, TASKS
from ..evaluation.one_shot.report import head_tables, notes_of, reading_aid, sentences, tables
from ..evaluation.one_shot.result import OneShot
from ..evaluation.one_shot.rounds import ITERATIVE
from ..store.files import json_bytes, write_atomic
from .output import duration, print_json, print_table, say
from .pool_options import adding

_RUNS, _TEXT = "runs.parquet", "one_shot.json"
OF_ONE_SHOT = ("task", "p", "initial")
NOT_OF_ONE_SHOT = ("baseline_budgets", "plot")

one_shot_options = adding(
    (
        click.option(
            "--protocol",
            type=click.Choice(("curves", "one-shot")),
            default="curves",
            show_default=True,
            help="curves: each backbone and all stacked. one-shot: initial labels, one selection for the heads of all "
            f"backbones, T(k), kappa, and the iterative strategies {' and '.join(ITERATIVE)}.",
        ),
        click.option(
            "--task",
            type=click.Choice(TASKS),
            default=TASKS[0],
            show_default=True,
            help="one-shot: what heads learn; labels of a regression are numbers.",
        ),
        click.option(
            "--p",
            type=float,
            default=2.0,
            show_default=True,
            help="one-shot: norm of a regression's loss and of the Lewis weights. Example: --p 1.5",
        ),
        click.option(
            "--initial",
            default=INITIAL,
            show_default=True,
            help="one-shot: random labels before the selection, the same for all strategies. Example: --initial 500",
        ),
    )
)


def head_of(heads: tuple[str, ...] | None, task: str) -> str | None:
    """--heads of this protocol: one kind, which every backbone gets; None for the default."""
    if heads is None:
        return None
    known = REGRESSORS if task == "regression" else CLASSIFIERS
    if len(heads) != 1 or heads[0] not in known:
        raise click.UsageError(
            f"--heads of --protocol one-shot --task {task} is one of {', '.join(known)} (every backbone gets one); got "
            f"{', '.join(heads)}."
        )
    return heads[0]


def print_plan(job: OneShotJob, plan: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json({"plan": {**plan, "n_pool": job.n_pool, "n_test": job.n_test}, "notes": list(job.notes)})
        return
    kind = "targets" if job.task.regression else "classes"
    rows = [
        ("items", f"{len(job.labels):,} with labels, {job.task.n_outputs} {kind}"),
        ("splits", f"{len(job.splits)}: pool {job.n_pool:,}, test rows {job.n_test:,}"),
        ("labels", f"{job.n_initial:,} initial, then {', '.join(f'{budget:,}' for budget in job.budgets)}"),
        ("cells", f"{plan['n_cells']:,} (strategy, budget, seed), {plan['n_done']:,} of them in {out}"),
        ("heads", f"{plan['n_heads']:,} to fit, on {len(job.features)} backbones"),
        ("time", f"about {duration(plan['seconds'])}, a rough guess"),
    ]
    print_table(("plan", ""), rows)
    for text in job.notes:
        say(f"note: {text}.")


def write(found: OneShot, out: Path, as_json: bool, per_head: bool) -> None:
    """runs.parquet, one_shot.json, and what is printed."""
    found.to_parquet(out / _RUNS)
    said, warned = sentences(found), notes_of(found)
    document = {"out": str(out), **found.as_dict(), "conclusions": said, "warnings": warned, "files": [_RUNS, _TEXT]}
    write_atomic(out / _TEXT, [json_bytes(document)])
    if as_json:
        print_json(document)
        return
    for title, header, rows in (*tables(found), *(head_tables(found) if per_head else ())):
        print_table(header, rows, title)
        say("")
    for text in (*reading_aid(found), *said):
        say(text)
    for text in warned:
        say(f"note: {text}.")
    say(f"-> {out / _RUNS}, {out / _TEXT}")
