"""Which item of a group of duplicates stays, so that each one left out has one that stands for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .._types import BoolArray, IntArray
from .findings import Finding, Near

_WINDOW = 256
_PANEL = 8192


class _Chain:
    """One group of near items. Each is asked for once, in ascending order, and told by `add` where it stays.

    The ends of a chain need not be alike: only one that is near an item stands for it. Items near the first one cost
    nothing while that one stays. The others are compared a window at a time: cost, their number times those that stay.
    """

    def __init__(self, members: IntArray, alike: BoolArray, near: Near) -> None:
        self._first = int(members[0])
        self._alike = set(members[alike].tolist())
        self._members, self._near = members, near
        self._stay: list[int] = []
        self._asked: IntArray | None = None  # those that have to be compared
        self._at = -_WINDOW
        self._hit: IntArray = np.empty(0, dtype=np.int64)

    def stand(self, item: int) -> int:
        """The first one that stays and is near the item; -1 where there is none."""
        if item == self._first:
            return -1
        headed = self._stay[:1] == [self._first]
        if headed and item in self._alike:
            return self._first
        if self._asked is None:
            rest = self._members[1:]
            self._asked = rest[[row not in self._alike for row in rest.tolist()]] if headed else rest
        place = int(np.searchsorted(self._asked, item))
        if place >= self._at + _WINDOW:
            self._compare(place)
        place -= self._at
        if self._hit[place] >= 0:
            return int(self._hit[place])
        inside = np.flatnonzero(self._pairs[place, :place] & self._inside[:place])
        return int(self._window[inside[0]]) if inside.size else -1

    def add(self, item: int) -> None:
        """It stays."""
        self._stay.append(item)
        if self._asked is not None and item != self._first:
            self._inside[np.searchsorted(self._window, item)] = True

    def _compare(self, place: int) -> None:
        """The window that begins here, with those that stay before it and with itself."""
        assert self._asked is not None
        self._at, self._window = place, self._asked[place : place + _WINDOW]
        self._pairs, self._inside = self._near(self._window, self._window), np.zeros(self._window.size, dtype=np.bool_)
        self._hit = np.full(self._window.size, -1, dtype=np.int64)
        stay = np.array(self._stay, dtype=np.int64)
        for start in range(0, stay.size, _PANEL):
            panel, open_ = stay[start : start + _PANEL], np.flatnonzero(self._hit < 0)
            near = self._near(self._window[open_], panel)
            found = near.any(axis=1)
            self._hit[open_[found]] = panel[near[found].argmax(axis=1)]


def settled(findings: Sequence[Finding], n_items: int) -> list[Finding]:
    """The findings with `drop` and `kept` such that an item is left out as a repeat only where one that it repeats
    stays: what cannot be used, under any check, stands for nothing. Of two the first in the pool stays."""
    stays = np.ones(n_items, dtype=np.bool_)
    for one in findings:
        stays[one.rows[one.drop & (one.kept < 0) & ~one.outside]] = False
    equal: dict[int, list[tuple[int, int]]] = {}  # item -> (finding, group)
    chains: dict[int, list[tuple[int, _Chain]]] = {}  # item -> (finding, its group)
    for number, one in enumerate(findings):
        if (one.kept < 0).all():
            continue
        if one.near is None:
            for row, group in zip(one.rows.tolist(), one.groups.tolist(), strict=True):
                equal.setdefault(row, []).append((number, group))
            continue
        for part in np.split(np.arange(one.rows.size), np.flatnonzero(np.diff(one.groups)) + 1):
            chain = _Chain(one.rows[part], one.kept[part] == one.groups[part], one.near)
            for row in one.rows[part].tolist():
                chains.setdefault(row, []).append((number, chain))
    first: dict[tuple[int, int], int] = {}  # (finding, group) -> its member that stays
    stand: dict[tuple[int, int], int] = {}  # (finding, item) -> the one that is near it and stays
    for item in sorted({*equal, *chains}):
        keys = equal.get(item, [])
        near = {(number, item): chain.stand(item) for number, chain in chains.get(item, [])}
        stand |= near
        if any(key in first for key in keys) or any(earlier >= 0 for earlier in near.values()):
            stays[item] = False
        elif stays[item]:
            first.update(dict.fromkeys(keys, item))
            for _, chain in chains.get(item, []):
                chain.add(item)
    out = []
    for number, one in enumerate(findings):
        if (one.kept >= 0).any():
            pairs = zip(one.rows.tolist(), one.groups.tolist(), strict=True)
            found = [first.get((number, group), -1) if one.near is None else stand[number, row] for row, group in pairs]
            kept = np.where(np.array(found) < 0, one.rows, found)
            one = replace(one, kept=kept, drop=one.rows != kept, near=None)
        out.append(one)
    return out
