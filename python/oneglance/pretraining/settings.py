"""Settings of a pretraining: what the caller fixes, and what follows from the pool."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

import torch

from .._check import positive_int, positive_number, seed_int
from ..errors import InvalidInput
from ..masks.crops import Crops
from .objective import Facts, Method, Objective, Recipe, Stage
from .options import as_count, as_number, choose_options
from .ranks import expected

_STEPS, _LEAST_EPOCHS, _MOST_EPOCHS = 3000, 20, 400


@dataclass(frozen=True)
class Settings:
    """Of one pretraining. None: chosen by the method or the pool.

    epochs       readings of the pictures, all stages together      batch_size   of a step, all processes together
    lr           at a batch of 256, scaled linearly                 weight_decay, warm_up  see Recipe
    options      of the method                                      crops        fields of Crops to change
    """

    epochs: int
    batch_size: int
    lr: float | None = None
    weight_decay: float | None = None
    warm_up: float | None = None
    seed: int = 0
    n_classes: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    crops: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, own: Recipe) -> Recipe:
        """The method's recipe with what the caller fixes."""
        given = {name: getattr(self, name) for name in ("lr", "weight_decay", "warm_up")}
        return replace(own, **{name: value for name, value in given.items() if value is not None})

    def cut(self, objective: Objective, size: tuple[int, int]) -> Crops:
        """The method's views with what the caller changes, in plain numbers. Raises InvalidInput, also for a number
        that the loss is made for."""
        own = objective.crops(size)
        unknown = sorted(set(self.crops) - set(Crops.__dataclass_fields__))
        if unknown:
            raise InvalidInput(f"crops: no field {unknown[0]!r}; there are {list(Crops.__dataclass_fields__)}.")
        given = {name: _like(getattr(own, name), value, f"crops: {name}") for name, value in self.crops.items()}
        for name in objective.fixed_views:
            if given.get(name, getattr(own, name)) != getattr(own, name):
                raise InvalidInput(
                    f"crops: {name} is {getattr(own, name)} for this method and cannot be changed, got {given[name]}. "
                    "Leave it out."
                )
        return replace(own, **given)


def _like(own: Any, value: Any, name: str) -> Any:
    """`value` as a field of the kind of `own`: an integer, a number, or two of these."""
    if isinstance(own, tuple):
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise InvalidInput(f"{name} must be two numbers like {own}, got {value!r}.")
        return tuple(_like(own[0], one, name) for one in value)
    return as_count(value, name, least=0) if isinstance(own, int) else as_number(value, name, low_ok=True)


def choose_settings(
    n_pictures: int,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    warm_up: float | None = None,
    seed: int = 0,
    n_classes: int | None = None,
    options: Mapping[str, Any] | None = None,
    crops: Mapping[str, Any] | None = None,
) -> Settings:
    """Automatic: batches of 64 per process (at most a quarter of the pool, but 2 and one per process), and as many
    epochs as make 3,000 steps, 20 at least and 400 at most. Batches are rounded down to a multiple of the processes.

    Raises InvalidInput.
    """
    if n_pictures < 2:
        raise InvalidInput(
            f"images: pretraining needs 2 pictures at least, got {n_pictures}. Give more, or take a pretrained "
            "backbone as it is."
        )
    processes = expected()
    if n_pictures < processes:
        raise InvalidInput(
            f"images: {processes} processes need as many pictures at least, got {n_pictures}. Start fewer."
        )
    own = min(64 * processes, max(2, processes, n_pictures // 4))
    batch = own if batch_size is None else positive_int(batch_size, "batch_size")
    if batch < processes:
        raise InvalidInput(f"batch_size must be at least the {processes} processes, got {batch}. Start fewer of them.")
    batch = min(batch, n_pictures) // processes * processes
    per_epoch = max(1, n_pictures // batch)
    many = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, math.ceil(_STEPS / per_epoch)))
    if warm_up is not None and not 0 <= positive_number(warm_up, "warm_up", zero_ok=True) < 1:
        raise InvalidInput(f"warm_up must lie in [0, 1), got {warm_up!r}.")
    return Settings(
        epochs=many if epochs is None else positive_int(epochs, "epochs"),
        batch_size=batch,
        lr=None if lr is None else positive_number(lr, "lr"),
        weight_decay=None if weight_decay is None else positive_number(weight_decay, "weight_decay", zero_ok=True),
        warm_up=None if warm_up is None else float(warm_up),
        seed=seed_int(seed),
        n_classes=None if n_classes is None else positive_int(n_classes, "n_classes"),
        options=dict(options or {}),
        crops=dict(crops or {}),
    )


def stage_epochs(method: Method, epochs: int) -> list[int]:
    """Epochs of every stage, `epochs` together: their shares, one at least. InvalidInput where that cannot be."""
    n_stages = len(method.stages)
    if epochs < n_stages:
        raise InvalidInput(f"epochs must be {n_stages} or more for {method.name}, one for each stage, got {epochs}.")
    total = sum(stage.share for stage in method.stages)
    ends = [round(epochs * share / total) for share in accumulate(stage.share for stage in method.stages)]
    counts = [end - start for start, end in pairwise([0, *ends])]
    while min(counts) < 1:
        counts[counts.index(max(counts))] -= 1
        counts[counts.index(min(counts))] += 1
    return counts


def facts_of(
    settings: Settings, n_pictures: int, epochs: int, size: tuple[int, int], n_channels: int, number: int
) -> Facts:
    """Of stage `number`, whose seed is its own."""
    per_epoch = max(1, n_pictures // settings.batch_size)
    return Facts(
        n_pictures=n_pictures,
        batch_size=settings.batch_size,
        per_epoch=per_epoch,
        n_steps=per_epoch * epochs,
        size=size,
        n_channels=n_channels,
        n_classes=settings.n_classes,
        seed=settings.seed + number,
    )


@dataclass(frozen=True, eq=False)
class Planned:
    """One stage with all that is chosen for it; cut: its views."""

    stage: Stage
    epochs: int
    facts: Facts
    objective: Objective
    recipe: Recipe
    cut: Crops

    def as_dict(self) -> dict[str, Any]:
        """For the record."""
        chosen = {"name": self.stage.name, "epochs": self.epochs, **vars(self.recipe), **self.objective.settings()}
        return {**chosen, "crops": vars(self.cut)}


def plan_stages(
    method: Method,
    settings: Settings,
    encoder: torch.nn.Module,
    n_pictures: int,
    size: tuple[int, int],
    n_channels: int,
) -> Iterator[Planned]:
    """The stages one after another, each built when it is asked for: building says which parts of the encoder learn.
    Going through all of them without training finds every error in the settings. Raises InvalidInput."""
    choose_options(method.name, method.options, settings.options)
    for number, (stage, count) in enumerate(zip(method.stages, stage_epochs(method, settings.epochs), strict=True)):
        facts = facts_of(settings, n_pictures, count, size, n_channels, number)
        objective = build_objective(stage, encoder, facts, settings.options)
        yield Planned(stage, count, facts, objective, settings.recipe(objective.recipe), settings.cut(objective, size))


def build_objective(stage: Stage, encoder: torch.nn.Module, facts: Facts, options: Mapping[str, Any]) -> Objective:
    """The objective, drawn from the facts' seed; all of the encoder may learn unless it says otherwise."""
    encoder.requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(facts.seed)
        return stage.build(encoder, facts, options)
