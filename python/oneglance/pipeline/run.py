"""run_pipeline(): the steps in order, each only where its inputs, settings or code are others than last time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, StoreError
from ..features.progress import Callback
from ..store.files import json_bytes, make_folder, write_atomic
from ..store.lock import only_writer
from .book import BOOK, Book
from .config import Config, read_config
from .gates import GATES, Gate
from .hashing import HASHES, Hashes, key_of
from .ledger import Ledger, Meter
from .planning import mark_of, planned
from .reasons import parts_of, why_run
from .record import Outcome, Record, begin, begun_path, finished, read_begun, read_record, write_record
from .report import write_report
from .result import FINISHED, LABELS_NEEDED, STOPPED, PipelineRun, StepState, totals
from .steps.base import Context, Step
from .steps.labels import LABELS_GATE, take_in
from .table import NAMES, STEPS

MARK = "pipeline.json"
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
        return planned(config, rerun, verify, until=until)[1]
    _claim(config)
    with only_writer(config.folder, "[pipeline] out"):
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
                mark = mark_of(gate)
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


def _speaker(progress: bool | Callable[[str], None] | None) -> Callable[[str], None]:
    if callable(progress):
        return progress
    return (lambda text: print(text, file=sys.stderr, flush=True)) if progress else (lambda _: None)
