"""What an audit says about one fault: what, where, how bad, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from .._types import BoolArray, Float64Array, IntArray

SEVERITIES = ("error", "warning", "note")
"""error: these items cannot be used, or an evaluation with them is wrong; warning: look before you label; note."""

Near: TypeAlias = Callable[[IntArray, IntArray], BoolArray]
"""(m,) and (k,) positions -> (m, k): whether one[i] and other[j] are near each other."""

_NO_ROWS: IntArray = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Finding:
    """One fault.

    check        its name, such as "exact duplicates"         about     "pictures", or a backbone
    severity     one of SEVERITIES                           what      a sentence
    value, threshold, measure   how bad: the number, the one it is held against, and what both measure
    advice       what to do
    rows         int64 (m,), positions of the items in the pool; of `against` where `outside` is True
    values       float64 (m,) per item, NaN where there is none    groups  int64 (m,), duplicates of one group share a
    details      (m,) str per item, "" for none                            number (a row), -1 for none
    drop         (m,) bool: leave the item out of a selection      outside  (m,) bool
    kept         int64 (m,), of duplicates to leave out the item that each one is near or equal to, itself where it is
                 the one to keep; -1 where nothing is left out as a duplicate
    near         of near duplicates until it is settled which of them stay
    """

    check: str
    severity: str
    about: str
    what: str
    value: float
    threshold: float
    measure: str
    advice: str
    rows: IntArray = field(default_factory=lambda: _NO_ROWS, repr=False)
    values: Float64Array = field(default_factory=lambda: np.empty(0), repr=False)
    groups: IntArray = field(default_factory=lambda: _NO_ROWS, repr=False)
    details: tuple[str, ...] = field(default=(), repr=False)
    drop: BoolArray = field(default_factory=lambda: np.empty(0, dtype=np.bool_), repr=False)
    outside: BoolArray = field(default_factory=lambda: np.empty(0, dtype=np.bool_), repr=False)
    kept: IntArray = field(default_factory=lambda: _NO_ROWS, repr=False)
    near: Near | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.severity}: {self.what} {self.advice}"

    @property
    def n_items(self) -> int:
        return int(self.rows.size)


def finding(
    check: str,
    severity: str,
    about: str,
    what: str,
    *,
    value: float,
    threshold: float,
    measure: str,
    advice: str,
    rows: Any = (),
    values: Any = None,
    groups: Any = None,
    details: Sequence[str] | None = None,
    drop: Any = False,
    outside: Any = False,
    kept: Any = None,
    near: Near | None = None,
) -> Finding:
    """A Finding with its columns filled in: scalars count for every row."""
    where = np.asarray(rows, dtype=np.int64)
    m = where.size

    def column(given: Any, empty: Any, dtype: Any) -> Any:
        return np.array(np.broadcast_to(np.asarray(empty if given is None else given, dtype=dtype), (m,)))

    return Finding(
        check,
        severity,
        about,
        what,
        float(value),
        float(threshold),
        measure,
        advice,
        where,
        column(values, np.nan, np.float64),
        column(groups, -1, np.int64),
        tuple(details) if details is not None else ("",) * m,
        column(drop, False, np.bool_),
        column(outside, False, np.bool_),
        column(kept, -1, np.int64),
        near,
    )


def of_groups(lowest: IntArray, among: IntArray) -> tuple[IntArray, IntArray, BoolArray]:
    """Members of groups of two and more among these rows: rows, groups (their lowest member), and whether a row is
    another than that. lowest: (n,) the lowest member of every row's group."""
    sizes = np.bincount(lowest[among], minlength=lowest.size)
    rows = among[sizes[lowest[among]] > 1]
    rows = rows[np.lexsort((rows, lowest[rows]))]
    return rows, lowest[rows], np.asarray(rows != lowest[rows])


def counted(n: int, one: str, many: str = "") -> str:
    """ "1 item", "1,234 items"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
