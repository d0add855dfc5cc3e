"""run_pipeline(): the steps in order, each only where its inputs, settings or code are others than last time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, OneglanceError, StoreError
from ..features.progress import Callback
from ..store.files import digest, json_bytes, make_folder, write_atomic
from ..store.lock import StoreLock
from .book import BOOK, Book
from .config import Config, read_config
from .gates import GATES, Gate
from .hashing import Hashes, key_of
from .ledger import Ledger, Meter
from .reasons import BROKEN_OFF, NEVER_RUN, parts_of, why_run
from .record import Outcome, Record, begin, begun_path, finished, read_begun, read_record, write_record
from .report import write_report
from .result import FINISHED, LABELS_NEEDED, PLANNED, STOPPED, PipelineRun, StepState, totals
from .steps.base import Context, Step
from .steps.labels import LABELS_GATE, still_needed, take_in
from .table import NAMES, STEPS

MARK, HASHES = "pipeline.json", "hashes.json"
FORCEABLE = (*GATES, LABELS_GATE)


def run_pipeline(
    path: str | PathLike[str],
    *,
    until: str | None = None,
    rerun: str | None = None,
    force: Sequence[str] = (),
    verify: bool = False,
    dry_run: bool = False,
    progress: bool | Callable[[str], None] | None = None,
    item_progress: Callback | None = None,
) -> PipelineRun:
    """Audit, embed, select, wait for labels, adapt, evaluate, report: as pipeline.toml says.

    path      the file; `oneglance run FILE --init` writes one with every key
    until     the last step to do                   rerun    do this step and those after it again, whatever is there
    force     gates to pass although they say no-go; the ledger keeps it. "labels": go on with those that are there
    verify    hash all outputs of steps that are kept, instead of comparing sizes
    dry_run   only say what would be done and why; writes nothing
    progress  called with one-line notes; True prints them on stderr.  item_progress  gets Progress objects

    A step is kept if the contents of what it reads, its settings and its code are those of its last run, and its
    outputs are there. Otherwise it runs, and long steps go on where a broken-off run of the same stopped. One run at a
    time per folder. Returns with state "labels needed" or "stopped" (by a gate) where a person has to act.
    Raises InvalidInput (settings, labels), BadData, StoreError (disk full, folder in use), MissingDependency.
    """
    config = read_config(Path(path))
    for name, given in (("until", until), ("rerun", rerun)):
        if given is not None and given not in NAMES:
            raise InvalidInput(f"{name} must be one of the steps {', '.join(NAMES)}, got {given!r}.")
    for gate in force:
        if gate not in FORCEABLE:
            raise InvalidInput(f"force: there is no gate {gate!r}, only {', '.join(FORCEABLE)}.")
    say = _speaker(progress)
    if dry_run:
        return _planned(config, rerun, verify)
    _claim(config)
    with _locked(config.folder):
        ledger = Ledger(config.folder)
        ledger.take_up()
        hashes = Hashes(config.folder / HASHES)
        ctx = Context(config, hashes, Book(config.folder / BOOK), say, item_progress)
        try:
            found = _Run(ctx, ledger, tuple(force), rerun, verify).go(until)
        finally:
            with suppress(StoreError):  # a memory, nothing more
                hashes.save()
        write_report(ctx, found)
        return found


class _Run:
    def __init__(self, ctx: Context, ledger: Ledger, force: tuple[str, ...], rerun: str | None, verify: bool) -> None:
        self.ctx, self.ledger, self.force, self.rerun, self.verify = ctx, ledger, force, rerun, verify
        self.states: list[StepState] = []
        self.gates: list[Gate] = []

    def go(self, until: str | None) -> PipelineRun:
        again = False
        for step in STEPS:
            again = again or step.name == self.rerun
            stopped = self._step(step, again)
            if stopped is not None:
                return self._result(*stopped)
            if step.name == until:
                return self._result(FINISHED, f"done as far as {until}, as asked for")
        return self._result(FINISHED, "all steps are done")

    def _step(self, step: Step, again: bool) -> tuple[str, str] | None:
        """Keeps or runs it; (state, message) where the run has to stop."""
        ctx, folder = self.ctx, self.ctx.folder
        left_out = step.left_out(ctx)
        if left_out:
            self.states.append(StepState(step.name, step.what, "left out", left_out))
            return None
        if step.name == LABELS_GATE:
            for text in take_in(ctx, keep=True):
                ctx.say(text)
        parts = parts_of(ctx, step)
        record, begun = read_record(folder, step.name), read_begun(folder, step.name)
        why = "asked for" if again else why_run(ctx, record, begun, parts, self.verify)
        if not why and record is not None:
            self.states.append(StepState(step.name, step.what, "kept", "nothing it depends on has changed"))
        else:
            ctx.say(f"{step.name}: runs, {why}")
            ctx.before, ctx.parts = None if again else dict(record.parts) if record else begun, parts
            outcome = self._run(step, parts)
            if isinstance(outcome, Outcome):
                self.states.append(StepState(step.name, step.what, "waiting", outcome.waiting))
                return LABELS_NEEDED, f"{outcome.waiting}. {outcome.advice}"
            record = outcome
            self.states.append(StepState(step.name, step.what, "done", why))
        ctx.records[step.name] = record
        return self._judge(step, record)

    def _run(self, step: Step, parts: dict[str, Any]) -> Record | Outcome:
        """The record, or what a step hands back that has to wait."""
        ctx, folder = self.ctx, self.ctx.folder
        step.prepare(ctx)
        begin(folder, step.name, parts)
        with Meter(self.ledger.meter_path, step.name, step.gpu(ctx)) as meter:
            try:
                outcome = step.run(ctx)
                forced = bool(outcome.waiting) and LABELS_GATE in self.force
                if outcome.waiting and not forced:
                    begun_path(folder, step.name).unlink(missing_ok=True)  # it is whole, for what is there
                    self.ledger.add(step.name, "waiting", meter.cost(), why=outcome.waiting)
                    return outcome
                record = finished(folder, step.name, key_of(parts), parts, outcome)
                if forced:
                    self.ledger.add(step.name, "forced", gate=LABELS_GATE, reason=outcome.waiting)
                write_record(folder, record)
                self.ledger.add(step.name, "finished", meter.cost(outcome.shipped), stored=record.n_bytes)
                return record
            except BaseException as error:
                event = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                why = f"{type(error).__name__}: {error}"[:500]
                try:
                    self.ledger.add(step.name, event, meter.cost(), why=why)
                except StoreError:  # a full disk: what the meter wrote down last is booked by the next run
                    meter.keep()
                raise

    def _judge(self, step: Step, record: Record) -> tuple[str, str] | None:
        forced = dict(record.forced)
        blocked: list[Gate] = []
        for gate in step.gates(self.ctx, record):
            if not gate.go:
                mark = _mark(gate)
                if forced.get(gate.name) != mark and gate.name in self.force:
                    forced[gate.name] = mark
                    self.ledger.add(step.name, "forced", gate=gate.name, value=gate.value,
                                    threshold=gate.threshold, reason=gate.reason)  # fmt: skip
                gate = replace(gate, forced=forced.get(gate.name) == mark)
                if not gate.forced:
                    blocked.append(gate)
            self.gates.append(gate)
            if not gate.go or self.states[-1].state == "done":
                self.ctx.say(f"gate {gate.name}: {gate.word}. {gate.reason}")
        if forced != record.forced:
            write_record(self.ctx.folder, replace(record, forced=forced))
        if blocked:
            names = " ".join(f"--force {gate.name}" for gate in blocked)
            reasons = "; ".join(f"{gate.name}: {gate.reason}" for gate in blocked)
            return STOPPED, f"after {step.name}: {reasons}. Mend that, change [gates], or go on with {names}."
        return None

    def _result(self, state: str, message: str) -> PipelineRun:
        reached = {one.name for one in self.states}
        rest = [StepState(step.name, step.what, "not reached", "") for step in STEPS if step.name not in reached]
        return PipelineRun(state, self.ctx.folder, message, (*self.states, *rest), tuple(self.gates),
                           totals(self.ctx, self.ledger))  # fmt: skip


def _mark(gate: Gate) -> str:
    """A gate is passed by force for this value and threshold only."""
    return digest(repr((gate.value, gate.threshold, gate.reason)).encode())


def pipeline_status(path: str | PathLike[str]) -> PipelineRun:
    """What is done so far, from the records alone: reads no pool and writes nothing. Raises InvalidInput."""
    return _planned(read_config(Path(path)), None, False, look=False)


def _planned(config: Config, rerun: str | None, verify: bool, *, look: bool = True) -> PipelineRun:
    """look: compare with what the steps read now, as a run would."""
    folder = config.folder
    ctx = Context(config, Hashes(folder / HASHES), Book(folder / BOOK), lambda _: None)
    states, gates, to_run, again = [], [], False, False
    for step in STEPS:
        again = again or step.name == rerun
        record, begun = read_record(folder, step.name), read_begun(folder, step.name)
        state, why = _foreseen(ctx, step, record, begun, verify, look)
        if again and state != "left out":
            state, why = "to run", "asked for"
        takes = _estimate(ctx, step) if look and state == "to run" else ""
        if state == "done" and to_run:
            why = "kept if the results of earlier steps stay the same"
        to_run = to_run or state in ("to run", "waiting")
        states.append(StepState(step.name, step.what, state, why, takes))
        if record is not None and state != "left out":
            ctx.records[step.name] = record
            for gate in step.gates(ctx, record):
                gates.append(replace(gate, forced=not gate.go and record.forced.get(gate.name) == _mark(gate)))
    if not look:
        states = _without_gaps(states)
    message = next((f"next: {one.name}" for one in states if one.state in ("to run", "waiting")), "nothing to do")
    return PipelineRun(PLANNED, folder, message, tuple(states), tuple(gates), totals(ctx, Ledger(folder)))


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


def _claim(config: Config) -> None:
    """Takes up the folder, or makes it. Raises InvalidInput for somebody else's."""
    folder = config.folder
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"[pipeline] out: {folder} is a file, a folder is needed.")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise InvalidInput(
            f"[pipeline] out: {folder} is not empty and was not made by `oneglance run` (no {MARK}). Give another."
        )
    make_folder(folder)
    if not (folder / MARK).exists():
        write_atomic(folder / MARK, [json_bytes({"format": 1, "made_by": "oneglance run"})])


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A lock of the operating system's: what a killed run leaves behind holds nobody up."""
    lock = StoreLock(folder)
    try:
        lock.acquire()
    except StoreError as error:
        text = str(error).replace("being written", "in use").partition(" Wait for")[0]
        raise StoreError(f"{text} Wait for it to end, or give another folder with [pipeline] out.") from None
    try:
        yield
    finally:
        lock.release()


def _speaker(progress: bool | Callable[[str], None] | None) -> Callable[[str], None]:
    if callable(progress):
        return progress
    return (lambda text: print(text, file=sys.stderr, flush=True)) if progress else (lambda _: None)
