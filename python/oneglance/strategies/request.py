"""What a strategy is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._types import BoolArray, Float64Array, IntArray
from .pool import Pool


@dataclass(frozen=True, eq=False)
class Part:
    """Rows that share one budget: a stratum, or all candidates.

    rows   int64, ascending positions of candidates
    count  picks wanted from them
    """

    name: str
    rows: IntArray
    count: int


@dataclass(frozen=True, eq=False)
class Request:
    """pool and candidates (n,) bool; parts with their counts; a callback for one-line progress notes."""

    pool: Pool
    candidates: BoolArray
    parts: tuple[Part, ...]
    seed: int
    note: Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Picks:
    """A strategy's answer, aligned: positions, weights, inclusion probabilities, scores, reasons."""

    indices: IntArray
    weights: Float64Array
    inclusion_prob: Float64Array
    scores: Float64Array
    reasons: list[str]
    certificate: dict[str, Any] = field(default_factory=dict)
