"""What a run has cost so far, step by step: a file that only grows, one line per event."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from ..store.files import explain_os_error

LEDGER, METER = "ledger.jsonl", "meter.json"
_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """wall_s, cpu_s (of this process and the workers it has waited for), gpu_s (wall seconds in which the step held a
    GPU), bytes shipped: what leaves the run for others, that is pictures and list for the people who label, their
    labels, heads and masks that are deployed. runs: how often the step ran, the broken-off times included."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    shipped: int = 0
    runs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, name) + getattr(other, name) for name in Cost.__slots__))

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Cost.__slots__}


class Ledger:
    """Events of all runs in this folder. A line that a killed run left unfinished is cut off before the next one.

    events  dicts with "at" (UTC), "step", "event" ("finished", "failed", "interrupted", "killed", "waiting",
            "forced") and their figures, oldest first
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.meter_path = folder / LEDGER, folder / METER
        self.events: list[dict[str, Any]] = []
        self._whole = 0
        with suppress(OSError):
            for line in self.path.read_bytes().splitlines(keepends=True):
                try:
                    event = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n") or not isinstance(event, dict):
                    break
                self.events.append(event)
                self._whole += len(line)

    def add(self, step: str, event: str, cost: Cost | None = None, **more: Any) -> None:
        """One event, on disk when this returns. Raises StoreError."""
        entry = {"at": _now(), "step": step, "event": event, **(cost.as_dict() if cost else {}), **more}
        line = (json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            with open(self.path, "ab") as file:
                file.truncate(self._whole)  # half a line of a killed run
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise explain_os_error(error, self.path, len(line)) from error
        self._whole += len(line)
        self.events.append(entry)

    def take_up(self) -> None:
        """Books what a killed run had spent by its last sign of life."""
        try:
            left = json.loads(self.meter_path.read_text(encoding="utf-8"))
            cost = Cost(**{name: left["cost"][name] for name in Cost.__slots__})
            step = str(left["step"])
        except (OSError, ValueError, KeyError, TypeError):
            self.meter_path.unlink(missing_ok=True)
            return
        self.add(step, "killed", cost)
        self.meter_path.unlink(missing_ok=True)

    def costs(self) -> dict[str, Cost]:
        """step -> what all its runs cost together."""
        out: dict[str, Cost] = {}
        for event in self.events:
            if "wall_s" in event:
                cost = Cost(**{name: event.get(name, 0) for name in Cost.__slots__})
                out[event["step"]] = out.get(event["step"], Cost()) + cost
        return out

    def forced(self) -> list[dict[str, Any]]:
        """Gates that were passed by force."""
        return [event for event in self.events if event["event"] == "forced"]


def money(costs: Iterable[Cost], n_answers: int, prices: Mapping[str, Any]) -> dict[str, float]:
    """What the prices that were given make of it: hours of labelling, and parts and sum of the money.

    prices  section [costs]; an entry that is None is not counted
    """
    out: dict[str, float] = {}
    spent = list(costs)
    hours = None
    if prices["seconds_per_label"] is not None:
        hours = out["label_hours"] = n_answers * prices["seconds_per_label"] / 3600
    parts = {}
    if prices["price_per_label"] is not None:
        parts["labels"] = n_answers * prices["price_per_label"]
    if prices["price_per_hour"] is not None and hours is not None:
        parts["work"] = hours * prices["price_per_hour"]
    if prices["price_per_cpu_hour"] is not None:
        parts["cpu"] = sum(cost.cpu_s for cost in spent) / 3600 * prices["price_per_cpu_hour"]
    if prices["price_per_gpu_hour"] is not None:
        parts["gpu"] = sum(cost.gpu_s for cost in spent) / 3600 * prices["price_per_gpu_hour"]
    return {**out, **parts, **({"total": sum(parts.values())} if parts else {})}


class Meter:
    """Measures a step; while it runs, writes down every two seconds what it has cost, for the case of kill -9."""

    def __init__(self, path: Path, step: str, gpu: bool) -> None:
        self._path, self._step, self._gpu = path, step, gpu
        self._kept = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._wall, self._cpu = time.perf_counter(), _cpu_s()

    def __enter__(self) -> Meter:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if not self._kept:
            self._path.unlink(missing_ok=True)

    def cost(self, shipped: int = 0) -> Cost:
        """So far."""
        wall = time.perf_counter() - self._wall
        return Cost(round(wall, 3), round(_cpu_s() - self._cpu, 3), round(wall, 3) if self._gpu else 0.0, shipped, 1)

    def keep(self) -> None:
        """The ledger could not take it: leave what is written down to the next run."""
        self._kept = True

    def _beat(self) -> None:
        while not self._done.wait(_EVERY_S):
            self._write()

    def _write(self) -> None:
        temporary = self._path.with_name(self._path.name + ".tmp")
        with suppress(OSError):  # a full disk is the step's to report
            temporary.write_text(json.dumps({"step": self._step, "cost": self.cost().as_dict()}), encoding="utf-8")
            os.replace(temporary, self._path)


def _cpu_s() -> float:
    return sum(os.times()[:4])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
