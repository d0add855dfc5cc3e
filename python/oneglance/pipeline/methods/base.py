"""What a way to adapt is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._types import Float64Array, IntArray
from ...errors import InvalidInput
from ...strategies.pool import Pool
from ..cells import Cells
from ..hashing import key_of
from ..steps.base import Context

MASKS, FINETUNED = "masks", "finetuned"
"""Folders of methods that adapt backbones, below the run's."""


_UNBIASED = ("lewis", "random")
_DECIDE = ("code", "seed", "adapt.method", "result of embed", "result of labels")
_SETTINGS = {MASKS: ("epochs", "tensors"), FINETUNED: ("recipe", "steps", "folds")}


@dataclass(frozen=True, eq=False)
class Known:
    """rows int64 (m,) ascending positions; labels (m,) str objects; weights (m,) > 0, of what they are: `weighting`;
    groups (m,) numbers, of items that are held out together, None where there are none."""

    rows: IntArray
    labels: npt.NDArray[np.object_]
    weights: Float64Array
    weighting: str
    groups: IntArray | None = None

    def part(self, chosen: Any) -> Known:
        """Of these entries."""
        groups = None if self.groups is None else self.groups[chosen]
        return Known(self.rows[chosen], self.labels[chosen], self.weights[chosen], self.weighting, groups)

    def by_item(self, pool: Pool) -> dict[str, str]:
        """Item id -> label: of items that the pool has, which a book of answers does not promise."""
        names = self.rows if pool.ids is None else pool.ids[self.rows]
        return {str(item): str(label) for item, label in zip(names.tolist(), self.labels.tolist(), strict=True)}


@dataclass(frozen=True, eq=False)
class Adapted:
    """folder   of heads, below the run's; store, test_store: those that the heads read, below the run's or absolute
    summary    for the report; summary["judged"] is a Judged as a dict
    files      everything written     shipped  bytes of what is deployed"""

    heads: str
    store: str
    test_store: str
    summary: dict[str, Any]
    files: tuple[str, ...]
    shipped: int


Method = Callable[[Context, Pool, Known], Adapted]


def relative(path: Path, folder: Path) -> str:
    """As it is written into records: a moved run finds its own files again."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def uses_weights(ctx: Context) -> bool:
    """Whether the weights of a selection are to count in the loss of heads, where all labels are its picks."""
    how = ctx.config["adapt"]["weights"]
    return bool(how == "selection" or (how == "auto" and ctx.config["select"]["strategy"] in _UNBIASED))


def check_pictures(ctx: Context) -> None:
    """Raises InvalidInput where the method trains on pictures and there are none."""
    name = ctx.config["adapt"]["method"]
    if name != "heads" and not ctx.has_pictures:
        raise InvalidInput(f'[adapt] method = "{name}" trains on pictures, and the pool holds vectors. Use "heads".')


def trainings(ctx: Context, folder: str) -> Cells:
    """What is kept of the trainings of MASKS or FINETUNED: it goes by what decides these, not by the kind of the heads,
    their penalties or the level of an interval."""
    names = (*_DECIDE, *(f"adapt.{name}" for name in _SETTINGS[folder]))
    return Cells(ctx.folder / folder, key_of({name: ctx.parts.get(name) for name in names}))


def head_settings(ctx: Context) -> Mapping[str, Any]:
    """Arguments of og.fit_heads from [adapt]."""
    given = ctx.config["adapt"]
    lambdas = None if given["lambdas"] is None else list(given["lambdas"])
    return {
        "head": given["head"],
        "scale": given["scale"],
        "lambdas": lambdas,
        "folds": given["folds"],
        "classes": list(given["classes"]) or None,
        "seed": ctx.config.seed,
    }
