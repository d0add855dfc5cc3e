"""What run_pipeline() returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .gates import Gate
from .ledger import Cost, Ledger, money
from .steps.base import Context
from .table import NAMES

FINISHED, LABELS_NEEDED, STOPPED, PLANNED = "finished", "labels needed", "stopped", "planned"


@dataclass(frozen=True, slots=True)
class StepState:
    """state: "done" (ran now; of a plan: earlier), "kept", "left out", "waiting", "not reached", "to run"; why; of a
    plan what it takes: items, disk, time."""

    name: str
    what: str
    state: str
    why: str
    takes: str = ""


@dataclass(frozen=True, eq=False)
class PipelineRun:
    """How far a pipeline is.

    state    "finished", "labels needed", "stopped" (by a gate), or "planned" (dry_run=True, pipeline_status)
    folder   of the run           message  what happened, and what to do
    steps    in order             gates    as judged
    ledger   "steps": name -> wall_s, cpu_s, gpu_s, shipped, runs, stored; "total"; "answers", "labels"; "money", where
             there are prices; "forced": gates passed by force. Over all runs in this folder
    """

    state: str
    folder: Path
    message: str
    steps: tuple[StepState, ...]
    gates: tuple[Gate, ...]
    ledger: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"PipelineRun({self.folder}, {self.state}: {self.message})"

    @property
    def ran(self) -> tuple[str, ...]:
        """Names of the steps that ran in this call."""
        return tuple(step.name for step in self.steps if step.state == "done") if self.state != PLANNED else ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "state": self.state,
            "folder": str(self.folder),
            "message": self.message,
            "steps": [asdict(step) for step in self.steps],
            "gates": [gate.as_dict() for gate in self.gates],
            "ledger": dict(self.ledger),
        }


def totals(ctx: Context, ledger: Ledger) -> dict[str, Any]:
    """The ledger added up."""
    costs = ledger.costs()
    if "labels" in costs:  # what came back, once, in however many files
        back = sum(len(f"{item},{answer}\n".encode()) for item, answer in ctx.book.answers.items())
        costs["labels"] = replace(costs["labels"], shipped=back)
    labels = ctx.book.labels(ctx.config["labels"]["unknown"])
    stored = {name: record.n_bytes for name, record in ctx.records.items()}
    steps = {
        name: {**costs.get(name, Cost()).as_dict(), "stored": stored.get(name, 0)}
        for name in NAMES
        if name in costs or name in stored
    }
    total = sum(costs.values(), Cost())
    out: dict[str, Any] = {
        "steps": steps,
        "total": {**total.as_dict(), "stored": sum(stored.values())},
        "answers": len(ctx.book.answers),
        "labels": len(labels),
        "forced": ledger.forced(),
    }
    spent = money(costs.values(), len(ctx.book.answers), ctx.config["costs"])
    return {**out, "money": {**spent, "currency": ctx.config["costs"]["currency"]}} if spent else out
