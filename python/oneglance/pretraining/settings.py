"""Settings of a pretraining: what the caller fixes, and what follows from the pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .._check import positive_int, positive_number, seed_int
from ..errors import InvalidInput
from ..masks.crops import Crops
from .objective import Facts, Method, Objective, Recipe, Stage
from .ranks import world

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

    def cut(self, own: Crops) -> Crops:
        """The method's views with what the caller fixes."""
        unknown = sorted(set(self.crops) - set(Crops.__dataclass_fields__))
        if unknown:
            raise InvalidInput(f"crops: no field {unknown[0]!r}; there are {list(Crops.__dataclass_fields__)}.")
        return replace(own, **self.crops)


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
    """Automatic: batches of 64 per process (at most a quarter of the pool, 2 at least), and as many epochs as make
    3,000 steps, 20 at least and 400 at most. Batches are rounded down to a multiple of the processes.

    Raises InvalidInput.
    """
    if n_pictures < 2:
        raise InvalidInput(f"images: pretraining needs 2 pictures at least, got {n_pictures}.")
    own = min(64 * world(), max(2, n_pictures // 4))
    batch = own if batch_size is None else positive_int(batch_size, "batch_size")
    batch = min(batch, n_pictures) // world() * world()
    if batch < world():
        raise InvalidInput(f"batch_size must be at least the {world()} processes, got {batch_size or n_pictures}.")
    per_epoch = max(1, n_pictures // batch)
    many = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, math.ceil(_STEPS / per_epoch)))
    for name, value in (("lr", lr), ("weight_decay", weight_decay)):
        if value is not None:
            positive_number(value, name, zero_ok=name == "weight_decay")
    if warm_up is not None and not 0 <= warm_up < 1:
        raise InvalidInput(f"warm_up must lie in [0, 1), got {warm_up!r}.")
    return Settings(
        epochs=many if epochs is None else positive_int(epochs, "epochs"),
        batch_size=batch,
        lr=lr,
        weight_decay=weight_decay,
        warm_up=warm_up,
        seed=seed_int(seed),
        n_classes=None if n_classes is None else positive_int(n_classes, "n_classes"),
        options=dict(options or {}),
        crops=dict(crops or {}),
    )


def stage_epochs(method: Method, epochs: int) -> list[int]:
    """Epochs of every stage: their shares, one at least."""
    total = sum(stage.share for stage in method.stages)
    return [max(1, round(epochs * stage.share / total)) for stage in method.stages]


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


def build_objective(stage: Stage, encoder: torch.nn.Module, facts: Facts, options: Mapping[str, Any]) -> Objective:
    """The objective, drawn from the facts' seed; all of the encoder may learn unless it says otherwise."""
    encoder.requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(facts.seed)
        return stage.build(encoder, facts, options)
