"""Labelled pictures that are the same picture: a network must not be judged on one whose copy it has learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from .._types import IntArray
from ..auditing.findings import counted
from ..auditing.links import Groups
from ..masks.shelf import Shelf
from .labelled import Labels

_AT_ONCE = 64
_SHOWN = 3


def first_copies(shelf: Shelf, numbers: IntArray) -> IntArray:
    """(m,) of each picture, as the network gets it, the position of the first that is equal to the bit: its own where
    there is none."""
    first: dict[bytes, int] = {}
    found = np.empty(numbers.size, dtype=np.int64)
    for start in range(0, numbers.size, _AT_ONCE):
        part = torch.from_numpy(numbers[start : start + _AT_ONCE])
        for place, picture in enumerate(shelf.plain(part, torch.device("cpu")).numpy(), start):
            found[place] = first.setdefault(hashlib.sha256(picture.tobytes()).digest(), place)
    return found


def with_copies(groups: IntArray | None, first: IntArray) -> IntArray | None:
    """The groups, and copies in the group of their first; groups that share a copy become one. None where every
    picture is alone."""
    if (first == np.arange(first.size)).all():
        return groups
    own = np.arange(first.size) if groups is None else groups
    linked = Groups(int(own.max()) + 1)
    linked.link(own, own[first])
    return linked.lowest()[own]


def copy_remarks(known: Labels, first: IntArray, ids: Sequence[str]) -> list[str]:
    """What copies say of the labels, one sentence each."""
    copies = np.flatnonzero(first != np.arange(first.size))
    if not copies.size:
        return []
    shows = "shows" if copies.size == 1 else "show"
    told = f"{counted(copies.size, 'labelled picture')} {shows} the same as another one; copies are held out together."
    torn = copies[known.codes[copies] != known.codes[first[copies]]]
    if not torn.size:
        return [told]
    pairs = "; ".join(
        " and ".join(f"{ids[known.rows[k]]} ({known.names[known.codes[k]]})" for k in (first[place], place))
        for place in torn[:_SHOWN].tolist()
    )
    more = "; ..." if torn.size > _SHOWN else ""
    of = "of another class than its copy" if torn.size == 1 else "of another class than their copies"
    return [told, f"{counted(torn.size, 'label')} {'is' if torn.size == 1 else 'are'} {of}: {pairs}{more}. Mend them."]
