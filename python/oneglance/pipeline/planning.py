"""What a run would do, and what is done, without doing anything."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, OneglanceError, StoreError
from ..store.files import digest
from .book import BOOK, Book
from .config import Config, read_config
from .gates import Gate
from .hashing import HASHES, Hashes
from .ledger import Ledger
from .reasons import BROKEN_OFF, NEVER_RUN, parts_of, why_run
from .record import Record, read_begun, read_record
from .report import REPORTS, write_report
from .result import PLANNED, PipelineRun, StepState, totals
from .steps.base import Context, Step
from .steps.labels import LABELS_GATE, still_needed, take_in
from .table import STEPS


def mark_of(gate: Gate) -> str:
    """A gate is passed by force for this value and threshold only."""
    return digest(repr((gate.value, gate.threshold, gate.reason)).encode())


def pipeline_status(path: str | PathLike[str]) -> PipelineRun:
    """What is done so far, from the records alone: reads no pool and writes nothing. Raises InvalidInput."""
    return planned(read_config(Path(path)), None, False, look=False)[1]


def report_pipeline(path: str | PathLike[str]) -> tuple[Path, ...]:
    """Writes report.html, report.md and report.json anew from what is done so far; their paths. Runs nothing.

    Raises InvalidInput (settings; a pipeline that has not begun), StoreError.
    """
    config = read_config(Path(path))
    ctx, found = planned(config, None, False, look=False)
    if not ctx.records:
        raise InvalidInput(f"{path}: no step is done yet, there is nothing to report. First: oneglance run {path}")
    try:
        write_report(ctx, found)
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: {error.filename} is missing. Make it anew: oneglance run {path}") from None
    return tuple(config.folder / name for name in REPORTS)


def planned(
    config: Config, rerun: str | None, verify: bool, *, until: str | None = None, look: bool = True
) -> tuple[Context, PipelineRun]:
    """The run as steps see it, with the records that are there; and the plan, as far as `until`. look: compare with
    what the steps read now, as a run would."""
    folder = config.folder
    ctx = Context(config, Hashes(folder / HASHES), Book(folder / BOOK), lambda _: None)
    states, gates, to_run, again, beyond = [], [], False, False, False
    for step in STEPS:
        again = again or step.name == rerun
        record, begun = read_record(folder, step.name), read_begun(folder, step.name)
        try:
            state, why = _foreseen(ctx, step, record, begun, verify, look)
        except (StoreError, FileNotFoundError):
            if not to_run:
                raise
            state, why = ("to run", NEVER_RUN) if record is None else ("done", "")  # what it reads comes first
        if again and state != "left out":
            state, why = "to run", "asked for"
        if beyond and state in ("to run", "waiting"):
            state, why = "not reached", ""
        beyond = beyond or step.name == until
        takes = _estimate(ctx, step) if look and state == "to run" else ""
        if state == "done" and to_run:
            why = "kept if the results of earlier steps stay the same"
        to_run = to_run or state in ("to run", "waiting")
        states.append(StepState(step.name, step.what, state, why, takes))
        if record is not None and state != "left out":
            ctx.records[step.name] = record
            for gate in step.gates(ctx, record):
                gates.append(replace(gate, forced=not gate.go and record.forced.get(gate.name) == mark_of(gate)))
    if not look:
        states = _without_gaps(states)
    message = next((f"next: {one.name}" for one in states if one.state in ("to run", "waiting")), "nothing to do")
    return ctx, PipelineRun(PLANNED, folder, message, tuple(states), tuple(gates), totals(ctx, Ledger(folder)))


def _estimate(ctx: Context, step: Step) -> str:
    """What the step will take; "" where that cannot be told, or where the step will say itself what is wrong."""
    try:
        return step.estimate(ctx)
    except (OneglanceError, ImportError):
        return ""


def _without_gaps(states: list[StepState]) -> list[StepState]:
    """A step that never ran although a later one did was left out."""
    last = max((i for i, one in enumerate(states) if one.state == "done"), default=-1)
    return [
        replace(one, state="left out", why="") if i < last and one.why == NEVER_RUN else one
        for i, one in enumerate(states)
    ]


def _foreseen(
    ctx: Context, step: Step, record: Record | None, begun: dict[str, Any] | None, verify: bool, look: bool
) -> tuple[str, str]:
    if look and (why := step.left_out(ctx)):
        return "left out", why
    if record is None and step.name == LABELS_GATE and "select" in ctx.records:
        if look:
            take_in(ctx, keep=False)
        why = still_needed(ctx)
        return ("waiting", why) if why else ("to run", "answers are there")
    if record is None:
        return "to run", BROKEN_OFF if begun is not None else NEVER_RUN
    if not look:
        return "done", ""
    if any(need not in ctx.records for need in step.needs):
        return "to run", "an earlier step comes first"
    if step.name == LABELS_GATE:
        take_in(ctx, keep=False)
    why = why_run(ctx, record, begun, parts_of(ctx, step), verify)
    return ("to run", why) if why else ("done", "kept")
