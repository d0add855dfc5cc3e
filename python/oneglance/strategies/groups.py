"""Groups of items (scene, patient, film) that give at most so many picks each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import positive_int
from .._types import BoolArray, IntArray
from ..errors import InvalidInput
from .columns import column, texts
from .pool import Pool


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of every item, and how many picks it still takes.

    of     int64 (n_items,), group numbers 0 .. ; an item without a group has one of its own
    names  (n_items,) str or None objects, as given
    room   int64 (number of groups,), the limit less the labelled items
    """

    of: IntArray
    names: npt.NDArray[np.object_]
    room: IntArray
    limit: int

    def sizes(self, rows: IntArray) -> IntArray:
        """Items of every group among these rows."""
        return np.bincount(self.of[rows], minlength=self.room.size).astype(np.int64)

    def full(self) -> BoolArray:
        """(n_items,) bool: items of groups that take no more."""
        full: BoolArray = self.room[self.of] == 0
        return full


def read_groups(pool: Pool, given: Any, per_group: Any, labelled: IntArray) -> Groups | None:
    """Groups from one value per item or a column's name; missing and empty values stand alone.

    labelled  positions of items that have a label: they count. Raises InvalidInput.
    """
    limit = positive_int(per_group, "per_group")
    if given is None:
        if limit != 1:
            raise InvalidInput(f"per_group is {limit}, but groups= does not say which group an item belongs to.")
        return None
    names = texts(column(pool, given, "groups", "group"))
    number: dict[str | int, int] = {}
    keys: list[str | int] = [row if name is None else name for row, name in enumerate(names)]
    of = np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)
    held = np.bincount(of[labelled], minlength=len(number))
    return Groups(of, np.array([*names, None], dtype=object)[:-1], np.maximum(0, limit - held).astype(np.int64), limit)


class Claims:
    """Room in groups, handed out so that every part still gets its count.

    A group with items of one part only gives while it has room. One whose items belong to several parts (strata)
    gives to one part only if the others can still be served: as much of its room as they cannot do without is held
    for them, and moved to other groups where that helps (augmenting paths). What is refused once stays refused.

    rows   positions of every part
    needs  picks of every part, 0 where their number is open

    possible is how many of the picks needed there is room for.
    """

    def __init__(self, groups: Groups, rows: Sequence[IntArray], needs: Sequence[int]) -> None:
        self._of, self._room = groups.of, groups.room.copy()
        sizes = [groups.sizes(part) for part in rows]
        self._is_shared = np.sum([size > 0 for size in sizes], axis=0) > 1
        shared = np.flatnonzero(self._is_shared)
        self._left = [{int(g): int(size[g]) for g in shared if size[g]} for size in sizes]
        self._held: list[Counter[int]] = [Counter() for _ in rows]
        self._used: Counter[int] = Counter()
        self._short = []  # what a part needs from shared groups
        self._closed = [np.zeros(groups.room.size, dtype=np.bool_) for _ in rows]
        self.possible = 0
        for part, (size, need) in enumerate(zip(sizes, needs, strict=True)):
            own = int(np.minimum(size, self._room)[~self._is_shared].sum())
            self._short.append(max(0, need - own))
            served = self._take_spare(part)
            while served < self._short[part] and self._place(part):
                served += 1
            self.possible += min(need, own) + served

    @property
    def any_shared(self) -> bool:
        return bool(self._is_shared.any())

    def open_to(self, part: int, items: IntArray) -> BoolArray:
        """Whether the groups of these items may still give to the part."""
        groups = self._of[items]
        return (self._room[groups] > 0) & ~self._closed[part][groups]

    def take(self, part: int, item: int) -> bool:
        """Gives a place of the item's group to the part, if that leaves enough for all; else closes it to the part."""
        group = int(self._of[item])
        if self._room[group] == 0 or (self._is_shared[group] and not self._give_shared(part, group)):
            self._closed[part][group] = True
            return False
        self._room[group] -= 1
        return True

    def _give_shared(self, part: int, group: int) -> bool:
        """Takes a place of a shared group out of what is held; its room is not lowered yet."""
        held, after = self._held[part], max(0, self._short[part] - 1)
        if held[group]:
            self._drop(part, group)
        elif self._used[group] == self._room[group]:
            other = next(number for number, theirs in enumerate(self._held) if theirs[group])
            self._drop(other, group)
            self._room[group] -= 1
            moved = self._place(other, part if self._short[part] else None)
            self._room[group] += 1
            if not moved:
                self._held[other][group] += 1
                self._used[group] += 1
                return False
        if sum(held.values()) > after:
            self._drop(part, next(number for number, count in held.items() if count))
        self._short[part] = after
        self._left[part][group] -= 1
        return True

    def _take_spare(self, part: int) -> int:
        """Holds places that nobody holds, as many as the part is short of; how many there were."""
        held = 0
        for group, size in self._left[part].items():
            more = min(size, int(self._room[group]) - self._used[group], self._short[part] - held)
            self._held[part][group] += more
            self._used[group] += more
            held += more
        return held

    def _drop(self, part: int, group: int) -> None:
        self._held[part][group] -= 1
        self._used[group] -= 1

    def _place(self, part: int, giving: int | None = None) -> bool:
        """Holds one more place for the part, moving what others hold; the part `giving` may lose one."""
        queue, wanted_by, loses = [part], dict[int, int](), {part: -1}
        for reached in queue:
            for group, size in self._left[reached].items():
                if group in wanted_by or self._held[reached][group] >= size:
                    continue
                wanted_by[group] = reached
                if self._used[group] == self._room[group] and giving is not None and self._held[giving][group]:
                    self._drop(giving, group)
                if self._used[group] < self._room[group]:
                    self._move(group, wanted_by, loses)
                    return True
                for other, theirs in enumerate(self._held):
                    if theirs[group] and other not in loses:
                        loses[other] = group
                        queue.append(other)
        return False

    def _move(self, group: int, wanted_by: dict[int, int], loses: dict[int, int]) -> None:
        """Along the path found: each part on it gets the next group for the one that it loses."""
        self._used[group] += 1
        while group >= 0:
            part = wanted_by[group]
            self._held[part][group] += 1
            group = loses[part]
            if group >= 0:
                self._held[part][group] -= 1


@dataclass(frozen=True, eq=False)
class PartClaims:
    """The claims of one part, by positions in `members`."""

    claims: Claims
    part: int
    members: IntArray

    def take(self, position: int) -> bool:
        return self.claims.take(self.part, int(self.members[position]))

    def open(self) -> BoolArray:
        return self.claims.open_to(self.part, self.members)
