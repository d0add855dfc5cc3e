"""Everything about a pretraining that is known before its first step: settings, memory, time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..features.listfile import Columns
from ..features.pictures import MAX_PIXELS
from ..masks.crops import Crops
from ..masks.shelf import MAX_RAM_BYTES
from .methods import choose_method
from .objective import Batch, Facts, Objective, Recipe
from .preparing import prepare
from .ranks import expected
from .schedule import make_optimiser, set_lr
from .settings import Settings, choose_settings, plan_stages


@dataclass(frozen=True)
class PretrainPlan:
    """What a run would do. seconds: of all steps, from a few trial steps here; bytes: of working memory, pictures and
    the largest stage's weights, gradients, moments and activations."""

    source: str
    n_pictures: int
    method: str
    encoder: str
    size: tuple[int, int]
    n_channels: int
    n_weights: int
    n_steps: int
    stages: tuple[dict[str, Any], ...]
    settings: Settings
    seconds: float | None
    n_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "size": list(self.size), "stages": list(self.stages)}


def trial(objective: Objective, recipe: Recipe, cut: Crops, facts: Facts, rounds: int = 2) -> tuple[float, int]:
    """(seconds per step, bytes) of steps on random pictures, this process's share of a batch. The objective changes."""
    n = max(1, facts.batch_size // expected())
    random = torch.Generator().manual_seed(0)
    saved: dict[int, int] = {}

    def pack(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return value

    optimiser = make_optimiser(objective, recipe)
    set_lr(optimiser, 0.0)
    objective.train()
    times = []
    for _ in range(rounds + 1):
        big = torch.rand(cut.n_big * n, facts.n_channels, *cut.big, generator=random)
        small = torch.rand(cut.n_small * n, facts.n_channels, *cut.small, generator=random) if cut.n_small else None
        saved.clear()
        began = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            loss, _ = objective(Batch(big, small, n, random), 0)
        loss.backward()
        objective.between(0)
        optimiser.step()
        objective.after(0)
        optimiser.zero_grad()
        times.append(time.perf_counter() - began)
    weights = sum(value.numel() for value in objective.parameters() if value.requires_grad)
    views = 4 * (big.numel() + (0 if small is None else small.numel()))
    # Measured: a step holds half as much again as it saves for the gradients, and views are changed in copies.
    return min(times[1:]), 3 * sum(saved.values()) // 2 + 16 * weights + 3 * views


def plan_pretrain(
    images: Any,
    *,
    method: str = "mae",
    encoder: str = "auto",
    start: Any = None,
    size: Any = None,
    patch: int | None = None,
    columns: Columns | None = None,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    measured: bool = True,
    **settings: Any,
) -> PretrainPlan:
    """What pretrain() with the same arguments would do; reads a few pictures and makes three trial steps per stage on
    the CPU (measured=False: none, and says no time and memory).

    settings  those of choose_settings, and the method's options. Raises InvalidInput.
    """
    chosen = choose_method(method)
    ready = prepare(
        images, chosen, encoder=encoder, start=start, size=size, patch=patch, seed=seed, columns=columns,
        max_pixels=max_pixels,
    )  # fmt: skip
    named = ("epochs", "batch_size", "lr", "weight_decay", "warm_up", "n_classes", "crops")
    own = {name: settings.pop(name) for name in named if name in settings}
    plan = choose_settings(ready.n_pictures, seed=seed, options=settings, **own)
    seconds, n_bytes, steps, stages = 0.0, 0, 0, []
    n_weights = sum(value.numel() for value in ready.encoder.parameters())
    for planned in plan_stages(chosen, plan, ready.encoder, *ready.seen):
        facts, objective = planned.facts, planned.objective
        per_step, needed = trial(objective, planned.recipe, planned.cut, facts) if measured else (0.0, 0)
        seconds, n_bytes, steps = seconds + per_step * facts.n_steps, max(n_bytes, needed), steps + facts.n_steps
        own = {"name": planned.stage.name, "epochs": planned.epochs, "steps": facts.n_steps}
        stages.append({**own, **objective.settings()})
    kept = ready.n_pictures * ready.n_channels * ready.size[0] * ready.size[1] * (4 if ready.floats else 1)
    return PretrainPlan(
        ready.source.info.description,
        ready.n_pictures,
        chosen.name,
        ready.words,
        ready.size,
        ready.n_channels,
        n_weights,
        steps,
        tuple(stages),
        plan,
        seconds if measured else None,
        n_bytes + (kept if kept <= MAX_RAM_BYTES else 0) if measured else None,
    )
