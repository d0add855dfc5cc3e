"""Who is trained on and who is held out: stratified folds, nested parts of the labels, and what cannot be known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._rng import Purpose, uniforms
from .._types import IntArray
from ..adapt.classify import make_folds
from ..errors import InvalidInput

LEAST_JUDGED = 10
"""Labels that have to be held out at least for a verdict."""
_LEAST_CELLS = 3
_PERHAPS_UNKNOWN = {"?", "nan", "NaN", "none", "None", "n/a", "N/A"}
_WORDS = {1: "one label", 2: "two labels"}


@dataclass(frozen=True, eq=False)
class Cell:
    """One division: positions among the labelled pictures.

    count   labels trained on, None: all that the fold leaves; smaller counts are parts of larger ones
    n_left  labels that the fold leaves
    units   (h,) what of the held-out labels counts as one for chance: the position, or the number of its group
    """

    repeat: int
    fold: int
    count: int | None
    train: IntArray
    held: IntArray
    n_left: int
    units: IntArray


def nested_order(codes: IntArray, seed: int) -> IntArray:
    """An order of the rows whose every beginning has classes as evenly as it can: one of each class in random order,
    then a second one, and so on. Beginnings are nested parts."""
    draw = uniforms(seed, Purpose.SPLIT, np.arange(codes.size))
    order = np.argsort(draw, kind="stable")
    turn = np.empty(codes.size, dtype=np.int64)
    for code in np.unique(codes):
        own = order[codes[order] == code]
        turn[own] = np.arange(own.size)
    return np.lexsort((draw, turn)).astype(np.int64)


def make_cells(
    codes: IntArray,
    folds: int,
    repeats: int,
    counts: tuple[int, ...],
    seed: int,
    groups: IntArray | None = None,
) -> list[Cell]:
    """Every fold of every repeat, with all its labels and with each of `counts` that all folds leave more of.

    groups  (m,) numbers; pictures of one group (a scene, a patient) are held out together: else a picture would be
            judged by a network that has seen its likes
    None at all where the labels do not allow a verdict: fewer than ten that can be held out, or fewer than three cells.
    """
    units = np.arange(codes.size) if groups is None else groups
    divisions: list[tuple[int, int, IntArray, IntArray]] = []
    n_judged = 0
    for repeat in range(repeats):
        places = make_folds(codes, folds, seed + repeat, groups)
        if places is None:
            return []
        n_judged = int((places >= 0).sum())
        for fold in range(int(places.max()) + 1):
            held, train = np.flatnonzero(places == fold), np.flatnonzero(places != fold)
            divisions.append((repeat, fold, train[nested_order(codes[train], seed + repeat)], held))
    if n_judged < LEAST_JUDGED or len(divisions) < _LEAST_CELLS:
        return []
    least = min(order.size for _, _, order, _ in divisions)
    fitting = sorted({int(count) for count in counts if count < least})
    return [
        Cell(repeat, fold, count, order[:count], held, order.size, units[held])
        for repeat, fold, order, held in divisions
        for count in (*fitting, None)
    ]


def check_counts(counts: tuple[int, ...], n_labels: int) -> tuple[int, ...]:
    """The same. Raises InvalidInput unless they are numbers of labels that there are."""
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 2 <= count <= n_labels:
            raise InvalidInput(f"counts must be numbers of labels from 2 to {n_labels}, got {count!r}.")
    return counts


def group_numbers(rows: IntArray, groups: Sequence[Any] | None) -> IntArray | None:
    """Of these rows of a source whose groups are given: a number per group, and for a row without one its own. None
    where no two of them share one."""
    if groups is None:
        return None
    named = [
        f"row {row}" if groups[row] in (None, "") or groups[row] != groups[row] else f"group {groups[row]}"
        for row in rows.tolist()
    ]
    number = {name: place for place, name in enumerate(dict.fromkeys(named))}
    return None if len(number) == len(named) else np.array([number[name] for name in named], dtype=np.int64)


def remarks(
    codes: IntArray,
    names: npt.NDArray[np.object_],
    cells: list[Cell],
    groups: IntArray | None = None,
    counts: tuple[int, ...] = (),
) -> Iterator[str]:
    """What the labels do not tell, one sentence each."""
    sizes = np.bincount(codes, minlength=len(names))
    if names.dtype.kind == "i" and (names == -1).any():
        n_minus = int(sizes[names == -1].sum())
        yield f"-1 is a class like the others, with {n_minus} labels. Give None where it stands for unknown."
    for name in _PERHAPS_UNKNOWN.intersection(map(str, names)):
        yield f"{name!r} is a class like the others. Leave the label out where it stands for unknown."
    if groups is not None:
        yield f"{codes.size} labels are of {np.unique(groups).size} groups, which are held out as wholes."
        within = np.array([np.unique(groups[codes == code]).size for code in range(len(names))])
        lone = (sizes > 1) & (within == 1)
        if lone.any():
            told = _few_names(names[lone])
            yield f"{int(lone.sum())} of {len(names)} classes are in one group only ({told}): it is never held out."
        sizes = np.where(lone, 0, sizes)
    endings = {1: "it is never held out, so accuracy says nothing about it", 2: "each is judged by a head that saw one"}
    for size, ending in endings.items():
        few = sizes == size
        if few.any():
            told = _few_names(names[few])
            yield f"{int(few.sum())} of {len(names)} classes have {_WORDS[size]} ({told}): {ending}."
    left_out = sorted(set(counts) - {cell.count for cell in cells})
    if cells and left_out:
        least = min(cell.n_left for cell in cells)
        told = ", ".join(map(str, left_out))
        yield f"counts {told}: not tried, a fold leaves {least} labels to train on."
    if not cells:
        yield (
            f"Too few labels to judge by: {LEAST_JUDGED} in at least two classes of two, and three folds, are needed. "
            "The plain probe is used."
        )


def _few_names(names: npt.NDArray[np.object_]) -> str:
    return ", ".join(str(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
