"""A part's search under limits that it knows nothing of: room in groups, and money."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from .._types import BoolArray, Float64Array, IntArray
from ..errors import InvalidInput
from ..search.kernel import n_paid
from .groups import PartClaims
from .space import Space

_GUESSES = 3  # of the count by what picks cost so far, before bisection


@dataclass(frozen=True, eq=False)
class Chosen:
    """Picks of one part in their order; NaN and -1 where a distance to earlier picks is not known."""

    items: IntArray
    distances: Float64Array
    nearest: IntArray
    reasons: list[str]
    readings: float


@dataclass(frozen=True, eq=False)
class Task:
    """One part as its search sees it: a space, and positions in it.

    priority, costs  of the items of the space, as in Request
    money            what the picks may cost together; count is then the most that it can pay. A search that keeps to
                     it answers as many as it pays (`coverage(by_cost=True)`); others are asked for other counts
    nested           the search answers a smaller count with the first picks of a larger one's
    """

    space: Space
    mask: BoolArray | None
    labelled: IntArray
    start: IntArray
    count: int
    seed: int
    priority: Float64Array | None = None
    costs: Float64Array | None = None
    money: float | None = None
    nested: bool = False

    @property
    def n_items(self) -> int:
        return len(self.space.rows) if self.space.offsets is None else self.space.offsets.size - 1

    @property
    def free(self) -> BoolArray:
        """(n_items,) what may be picked; a new array."""
        return np.ones(self.n_items, dtype=np.bool_) if self.mask is None else self.mask.copy()

    @property
    def used(self) -> BoolArray:
        """(n_items,) what may be picked, and labelled items; a new array."""
        used = self.free
        used[self.labelled] = True
        return used


def in_rounds(task: Task, search: Callable[[Task], Chosen], claims: PartClaims | None, by_cost: bool) -> Chosen:
    """As many picks as the limits allow, by asking the search again for what is missing.

    claims   on room in groups; None: no limit
    by_cost  the search heeds task.money itself

    Picks are accepted in their order while their group takes them and the money pays for them. Then what is barred or
    too dear is masked, accepted ones count as labelled, and the search is asked for the rest; every round accepts an
    item or bars a group. Without `by_cost` the first round is the largest number of picks that the money pays
    (guessed, then bisected: some ten searches, or one or two where they are nested); what it leaves over is spent in
    further rounds.
    """
    if claims is None and (task.money is None or by_cost):
        return search(task)
    free = task.free
    found, items, reasons, readings = None, list[int](), list[str](), 0.0
    while True:
        if claims is not None:
            free &= claims.open()
        asked = _still_wanted(task, free, items, first=found is None)
        if asked.count == 0:
            break
        if found is None and not by_cost and asked.costs is not None and asked.money is not None:
            found = _as_many_as_paid(asked, search, asked.costs, asked.money)
        else:
            found = search(asked) if not items else _again(asked, search)
        taken = _accepted(asked, found.items, claims)
        items += found.items[taken].tolist()
        reasons += [found.reasons[place] for place in taken]
        readings += found.readings
        if len(taken) == len(items) == task.count:
            return found
        free[items] = False
    unknown = np.full(len(items), np.nan)
    return Chosen(np.array(items, dtype=np.int64), unknown, np.full(len(items), -1), reasons, readings)


def _again(task: Task, search: Callable[[Task], Chosen]) -> Chosen:
    """A further round; parameters that do not fit what is left are told as such."""
    try:
        return search(task)
    except InvalidInput as error:
        left = int(np.count_nonzero(task.free))
        raise InvalidInput(
            f"{error} This came up when {task.count} picks were missing and groups and costs had left {left} items."
        ) from None


def n_payable(costs: Float64Array, money: float) -> int:
    """The most items that the money pays: the cheapest first."""
    return n_paid(np.sort(costs), money)


def _still_wanted(task: Task, free: BoolArray, items: list[int], *, first: bool) -> Task:
    """The task less the items accepted; `free` loses those that are too dear. count 0: there is nothing left to do."""
    count, money = task.count - len(items), task.money
    if money is not None and task.costs is not None:
        money -= math.fsum(task.costs[items])
        free &= task.costs <= money
        most = n_payable(task.costs[free], money)
        if not first and most:
            most = max(1, min(most, int(money / task.costs[free].mean())))
        count = min(count, most)
    if first and not free[task.start].all():
        raise InvalidInput("start holds an item that costs more than the budget, or of a full group. Leave it out.")
    count = min(count, int(np.count_nonzero(free)))
    labelled = np.union1d(task.labelled, np.array(items, dtype=np.int64))
    start = task.start if first else np.empty(0, dtype=np.int64)
    mask = None if free.all() else free.copy()
    return replace(task, mask=mask, labelled=labelled, start=start, count=count, money=money)


def _accepted(task: Task, offered: IntArray, claims: PartClaims | None) -> list[int]:
    """Places of the offered items that are taken."""
    taken: list[int] = []
    spent, money = Fraction(0), task.money
    for place, item in enumerate(offered.tolist()):
        price = Fraction(0) if task.costs is None else Fraction(float(task.costs[item]))
        dear = money is not None and float(spent + price) > money
        if not dear and (claims is None or claims.take(item)):
            taken.append(place)
            spent += price
        elif item in task.start:
            what = "costs more than the budget" if dear else "belongs to a group that is full"
            raise InvalidInput(f"start holds an item that {what}. Leave it out.")
    return taken


def _as_many_as_paid(task: Task, search: Callable[[Task], Chosen], costs: Float64Array, money: float) -> Chosen:
    """The search's answer for the largest count whose cost the money pays, as far as bisection finds it."""
    guess = int(money / (costs if task.mask is None else costs[task.mask]).mean())
    if task.nested:
        return _first_paid(task, search, costs, money, guess)
    best = search(replace(task, count=1, start=task.start[:1]))
    low, high, tries = 1, task.count, 0
    while low < high:
        count = min(max(guess, low + 1), high) if tries < _GUESSES else (low + high + 1) // 2
        found = search(replace(task, count=count, start=task.start[:count]))
        cost = math.fsum(costs[found.items])
        if cost <= money:
            low, best = count, found
        else:
            high = count - 1
        guess, tries = int(count * money / cost), tries + 1
    return best


def _first_paid(task: Task, search: Callable[[Task], Chosen], costs: Float64Array, money: float, guess: int) -> Chosen:
    """The same of a nested search: the picks that the money pays are the first of a large enough answer."""
    count = min(max(task.start.size, guess, 1), task.count)
    while True:
        found = search(replace(task, count=count))
        paid = n_paid(costs[found.items], money)
        if paid < count or count == task.count:
            first = slice(0, paid)
            kept = found.items[first], found.distances[first], found.nearest[first], found.reasons[first]
            return Chosen(*kept, found.readings)
        count = min(task.count, 2 * count)
