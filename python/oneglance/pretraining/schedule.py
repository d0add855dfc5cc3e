"""Learning rates over the steps, and the optimiser of a stage."""

from __future__ import annotations

import math

import torch

from .objective import Objective, Recipe


def rate(recipe: Recipe, step: int, n_steps: int) -> float:
    """lr of a step as a share of the full one: linear from 0 (reached after the warm-up), then half a cosine down to
    recipe.last."""
    warm = round(recipe.warm_up * n_steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(1, n_steps - warm)
    return recipe.last + (1 - recipe.last) * 0.5 * (1 + math.cos(math.pi * done))


def full_lr(recipe: Recipe, batch_size: int) -> float:
    """lr at the top: linear in the batch, recipe.lr at 256."""
    return recipe.lr * batch_size / 256


def make_optimiser(objective: Objective, recipe: Recipe) -> torch.optim.Optimizer:
    """One group per factor of lr, with and without weight decay (none on vectors and tokens); lr is set by set_lr.

    Parameters without requires_grad are left out."""
    factors = objective.rates()
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, value in objective.named_parameters():
        if value.requires_grad:
            decay = recipe.weight_decay if value.ndim >= 2 and not name.endswith(("token", "tokens")) else 0.0
            groups.setdefault((factors.get(name, 1.0), decay), []).append(value)
    described = [
        {"params": values, "weight_decay": decay, "factor": factor} for (factor, decay), values in groups.items()
    ]
    if recipe.optimiser == "sgd":
        # torch's fused SGD fails where a parameter gets its first gradient later than others: frozen prototypes
        return torch.optim.SGD(described, lr=0.0, momentum=recipe.betas[0], foreach=True)
    return torch.optim.AdamW(described, lr=0.0, betas=recipe.betas, fused=True)


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """lr of every group, by its factor."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"]
