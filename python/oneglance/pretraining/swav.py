"""SwAV around any encoder: two big views predict each other's codes over prototypes, small views those of both.

The head, the queue, the codes and the loss are those of masks/swav.py. Source: arXiv 2006.09882.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..masks.crops import Crops, crops_for
from ..masks.settings import choose_settings
from ..masks.swav import N_CODED, Queue, SwavHead, swav_loss
from ..masks.train import seeded
from .contrastive_losses import exact
from .monitors import used_share
from .objective import Batch, Facts, Method, Objective, Recipe, Stage
from .options import as_count, as_number, choose_options
from .ranks import gather_rows, mean_of_ranks, rank

OPTIONS = {
    "n_prototypes": "2 sqrt(n), or 8 per class; never more than a batch and the queue can use evenly",
    "n_projected": "dimensions in which views are compared, 128 at most",
    "queue": "earlier embeddings that join the codes of a batch: 8 batches, none for tiny pools",
    "queue_from": "step from which the queue is used; a fifth of all",
    "freeze_steps": "steps in which the prototypes stay as drawn; two epochs at most",
    "eps": "temperature of the codes, 0.03; from 20,000 pictures on 0.05",
    "temperature": "of the loss, 0.1",
}
_COUNTS = {"n_prototypes": 2, "n_projected": 1, "queue": 0, "queue_from": 0, "freeze_steps": 0}
_USE_MEMORY = 0.98


class SwavObjective(Objective):
    """The loss of SwAV. Its head and prototypes are thrown away in the end."""

    use: Tensor
    fixed_views = ("n_big",)

    def __init__(self, encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> None:
        super().__init__(encoder)
        chosen: dict[str, Any] = {}
        for name, value in choose_options("swav", OPTIONS, given).items():
            chosen[name] = as_count(value, name, least=_COUNTS[name]) if name in _COUNTS else as_number(value, name)
        epochs = max(1, facts.n_steps // facts.per_epoch)
        width = int(self.encoder.width)
        given = {"epochs": epochs, "batch_size": facts.batch_size, "seed": facts.seed, **chosen}
        self.plan = choose_settings(facts.n_pictures, width, "resnet", n_classes=facts.n_classes, given=given)
        plan = self.plan
        if plan.queue > facts.n_steps * facts.batch_size:
            raise InvalidInput(
                f"queue={plan.queue} never fills: {facts.n_steps} steps of {facts.batch_size} pictures bring "
                f"{facts.n_steps * facts.batch_size}. Take a shorter one, or more epochs."
            )
        self.head = SwavHead(width, plan.n_projected, plan.n_prototypes, seeded(facts.seed, "head"))
        self.queue = Queue(plan.queue, plan.n_projected, torch.device("cpu"))
        self.register_buffer("use", torch.full((plan.n_prototypes,), 1.0 / plan.n_prototypes))
        self._coded: list[Tensor] = []
        patches = hasattr(encoder, "tokens")
        self.recipe = (
            Recipe("adamw", 1e-3, 0.05, (0.9, 0.999), warm_up=0.1, last=1e-3)
            if patches
            else Recipe("sgd", 0.6, 1e-6, (0.9, 0.0), warm_up=0.0, last=1e-3)
        )

    def crops(self, size: tuple[int, int]) -> Crops:
        """Two big views and small ones; the small ones get the big size where the encoder takes no other."""
        cut = crops_for(size, int(getattr(self.encoder, "patch", 1)))
        takes = getattr(self.encoder, "takes", None)
        return cut if takes is None or takes(cut.small) else replace(cut, small=cut.big)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        self.head.renormalise()
        embeddings: list[Tensor] = []
        for views in (batch.big, batch.small):
            if views is not None:
                features = self.encoder(views).float()
                with exact(features):
                    embeddings += self.head(features).split(batch.n)
        self._coded = embeddings[:N_CODED]
        if self.queue.rows.device != embeddings[0].device:
            self.queue.rows = self.queue.rows.to(embeddings[0].device)
        queue = self.queue if step >= self.plan.queue_from else None
        with exact(embeddings[0]):
            loss, _ = swav_loss(self.head, embeddings, self.plan.eps, self.plan.temperature, queue, _of_all)
        with torch.no_grad():  # the nearest prototypes: codes are in even use by construction
            nearest = self.head.scores(torch.cat(self._coded)).argmax(dim=1)
            share = torch.bincount(nearest, minlength=len(self.use)) / len(nearest)
            self.use.mul_(_USE_MEMORY).add_(mean_of_ranks(share), alpha=1 - _USE_MEMORY)
        seen = loss.detach() / math.log(len(self.use))
        count = torch.tensor(float(len(self.use)), device=seen.device)
        return loss, {"loss_over_ln_k": seen, "prototypes_used": used_share(self.use), "n_prototypes": count}

    def between(self, step: int) -> None:
        if step < self.plan.freeze_steps:
            self.head.prototypes.grad = None

    def after(self, step: int) -> None:
        self.queue.push([gather_rows(view.detach()) for view in self._coded])

    def get_extra_state(self) -> dict[str, Tensor]:
        """The queue, for the checkpoint."""
        return {"rows": self.queue.rows, "filled": torch.tensor(self.queue.filled)}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.queue.rows = state["rows"].to(self.use.device)
        self.queue.filled = int(state["filled"])

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self.plan, name) for name in OPTIONS}


def _of_all(scores: Tensor) -> tuple[Tensor, int]:
    return gather_rows(scores), rank() * len(scores)


def build(encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> Objective:
    """A SwavObjective for any encoder."""
    return SwavObjective(encoder, facts, given)


METHOD = Method("swav", (Stage("swav", 1.0, build),), OPTIONS)
