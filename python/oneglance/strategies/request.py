"""What a strategy is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._types import BoolArray, Float64Array, IntArray
from .explain import Explanation
from .groups import Claims, Groups
from .pool import Pool


@dataclass(frozen=True, eq=False)
class Part:
    """Rows that share one budget: a stratum, or all candidates.

    rows      int64, ascending positions of candidates
    count     picks wanted from them
    labelled  int64, ascending positions of usable items of this part that have a label already
    money     what the picks may cost together, with Request.costs; count is then the most that it can pay
    """

    name: str
    rows: IntArray
    count: int
    labelled: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    money: float | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """pool and candidates (n,) bool; parts with their counts; a callback for one-line progress notes.

    labelled  usable items with a label, ascending, also those of strata that get no picks
    explain   whether who represents whom is asked for: True, False, or None for the strategy's own habit
    priority  (n_items,) finite >= 0, mean 1 over the candidates: how much an item counts. None: all alike
    costs     (n_items,) > 0: the price of an item; parts then have money to spend. None: a budget of items
    groups    that give at most so many picks each; no candidate is of a full one
    nested    the strategy's promise that the picks of a budget are the first of a larger one's
    """

    pool: Pool
    candidates: BoolArray
    parts: tuple[Part, ...]
    labelled: IntArray
    seed: int
    note: Callable[[str], None]
    explain: bool | None = None
    priority: Float64Array | None = None
    costs: Float64Array | None = None
    groups: Groups | None = None
    nested: bool = False

    def claims(self) -> Claims | None:
        """Claims of the parts on room in the groups, anew; None without groups."""
        if self.groups is None:
            return None
        needs = [0 if part.money is not None else part.count for part in self.parts]
        return Claims(self.groups, [part.rows for part in self.parts], needs)


@dataclass(frozen=True, eq=False)
class Picks:
    """A strategy's answer, aligned: positions, weights, inclusion probabilities, scores, reasons.

    in_order     the picks come in the order of their rank; else certain ones go first, then higher scores
    explanation  who represents whom, where it was asked for
    """

    indices: IntArray
    weights: Float64Array
    inclusion_prob: Float64Array
    scores: Float64Array
    reasons: list[str]
    certificate: dict[str, Any] = field(default_factory=dict)
    in_order: bool = False
    explanation: Explanation | None = None
