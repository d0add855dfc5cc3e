"""What a call of finetune would do, known before the first picture is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .._check import positive_int
from ..errors import InvalidInput
from ..features.backbones import Backbone, as_backbones
from ..features.listfile import Columns
from ..features.source import Source, open_source
from ..masks.network import norms_of
from ..masks.pool import classes_of
from ..masks.rules import family_of
from .folds import Cell, check_counts, group_numbers, make_cells, remarks
from .labelled import Labels, as_labels
from .lora import peft_library
from .recipes import Recipe, choose_recipes
from .settings import Tuning, choose_tuning


@dataclass(frozen=True, eq=False)
class Plan:
    """recipes, why   what is tried, the probe first, and the rule's reason      tuning  settings of every training
    cells  divisions of the labels; none: no verdict is possible               notes   what the labels do not tell
    groups  of all pictures, None where none are given
    """

    base: Backbone
    source: Source
    labels: Labels
    recipes: list[Recipe]
    why: str
    tuning: Tuning
    cells: list[Cell]
    notes: tuple[str, ...]
    groups: list[Any] | None = None

    @property
    def n_trainings(self) -> int:
        """By gradient: of every cell, and at most one more for the recipe in use."""
        kinds = {(one.start, one.training) for one in self.recipes if one.training != "probe"}
        return len(kinds) * len(self.cells) * len(self.tuning.lr) + bool(kinds)

    @property
    def self_masking(self) -> bool:
        return any(one.start == "self_mask" for one in self.recipes)

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "pictures": len(self.source.items),
            "labels": int(self.labels.rows.size),
            "classes": [str(name) for name in self.labels.names],
            "recipes": [recipe.name for recipe in self.recipes],
            "why": self.why,
            "cells": len(self.cells),
            "trainings": self.n_trainings,
            "pictures_seen": self.n_trainings * self.tuning.steps * self.tuning.batch_size,
            "notes": list(self.notes),
            **self.tuning.as_dict(),
        }

    def lines(self) -> list[tuple[str, str]]:
        """For people: what, and how much."""
        tuning, n_pictures = self.tuning, len(self.source.items)
        seen = self.n_trainings * tuning.steps * tuning.batch_size
        found = [
            ("pictures", f"{n_pictures:,}, {self.source.info.description}"),
            ("labels", f"{self.labels.rows.size:,} of {len(self.labels.names)} classes"),
            ("recipes", ", ".join(recipe.name for recipe in self.recipes)),
            ("why", self.why),
            ("divisions", f"{len(self.cells)} of the labels"),
            ("trainings", f"{self.n_trainings}, each {tuning.steps} steps of {tuning.batch_size}: {seen:,} pictures"),
        ]
        if self.self_masking:
            found.append(
                ("self-masking", f"{tuning.mask_epochs} readings of {n_pictures:,} pictures, in several views")
            )
        return [*found, *(("note", note) for note in self.notes)]


def plan_finetune(
    backbone: Any,
    images: Any,
    labels: Any,
    *,
    recipe: str | Sequence[str] = "auto",
    counts: Sequence[int] = (),
    folds: int = 5,
    repeats: int = 2,
    groups: Sequence[Any] | Mapping[str, Any] | None = None,
    columns: Columns | None = None,
    **settings: Any,
) -> Plan:
    """The plan of `finetune` with the same arguments; what can be wrong with them is found here.

    Labelled pictures that turn out to be unreadable are still counted. Raises InvalidInput, MissingDependency.
    """
    (base,) = as_backbones([backbone])
    source = open_source(images, columns, for_backbones=True)
    own = None if source.items.labels is None else list(source.items.labels)
    known = as_labels(classes_of(labels, list(source.items.ids), own, source.info.description))
    recipes, why = choose_recipes(
        recipe,
        n_labels=known.rows.size,
        n_classes=len(known.names),
        n_pictures=len(source.items),
        batch_norm=bool(norms_of(base.module)),
    )
    if isinstance(base.module, torch.jit.ScriptModule) and any(one.name != "probe" for one in recipes):
        raise InvalidInput(
            "backbone is a TorchScript module, whose weights cannot be trained here. Give the nn.Module, or use "
            "oneglance.fit_heads on its features."
        )
    if any(one.training == "lora" for one in recipes):
        peft_library()
    tuning = choose_tuning(known.rows.size, family_of(base.module), settings)
    parts = check_counts(tuple(counts), known.rows.size)
    shared = _groups_of(source, groups)
    together = group_numbers(known.rows, shared)
    n_folds, n_repeats = positive_int(folds, "folds"), positive_int(repeats, "repeats")
    cells = make_cells(known.codes, n_folds, n_repeats, parts, tuning.seed, together)
    notes = tuple(remarks(known.codes, known.names, cells, together, parts))
    return Plan(base, source, known, recipes, why, tuning, cells, notes, shared)


def _groups_of(source: Source, given: Sequence[Any] | Mapping[str, Any] | None) -> list[Any] | None:
    if given is None:
        return None if source.items.groups is None else list(source.items.groups)
    if isinstance(given, Mapping):
        ids = list(source.items.ids)
        if strange := sorted(set(given) - set(ids)):
            raise InvalidInput(f"groups: no picture {strange[0]!r} in {source.info.description} of {len(ids)}.")
        return [given.get(item) for item in ids]
    shared = list(given)
    if len(shared) != len(source.items):
        raise InvalidInput(
            f"groups must have one entry per picture ({len(source.items)}), None for one of its own, got {len(shared)}."
        )
    return shared
