"""Stage gates: may the run go on, and why (not)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .schema import KEYS

GATES = tuple(KEYS["gates"])


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate as judged.

    name, step  which, after which step
    go          False: the run stops here       value, threshold  what was compared; None where nothing could be
    reason      a sentence                      forced            it was passed by force
    """

    name: str
    step: str
    go: bool
    value: float | None
    threshold: Any
    reason: str
    forced: bool = False

    @property
    def word(self) -> str:
        return "go" if self.go else "forced" if self.forced else "no-go"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.word}


def at_most(name: str, step: str, value: float, thresholds: Mapping[str, Any], what: str) -> list[Gate]:
    """A gate whose value must not exceed the threshold; none where it is off. what: "{value} ..." as a sentence."""
    limit = thresholds[name]
    if limit is None:
        return []
    go = value <= limit
    return [Gate(name, step, go, value, limit, f"{what}; {'at most' if go else 'more than'} {limit:g}")]


def at_least(name: str, step: str, value: float, thresholds: Mapping[str, Any], what: str) -> list[Gate]:
    """The same the other way."""
    limit = thresholds[name]
    if limit is None:
        return []
    go = value >= limit
    return [Gate(name, step, go, value, limit, f"{what}; {'at least' if go else 'less than'} {limit:g}")]
