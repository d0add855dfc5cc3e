"""NNCLR: a view's positive is not the other view but that view's nearest neighbour among earlier pictures.

Neighbours bring the variety that changes of colour bring elsewhere, so that cuts and mirror images do.
Source: arXiv 2104.14548.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..masks.crops import Crops
from .contrastive import HEAD_OPTIONS, RECIPE, Perceptron, head_sizes, measures, need_others, two_views
from .contrastive_losses import NeighbourQueue, nnclr_loss
from .objective import Batch, Encoder, Facts, Method, Objective, Stage
from .options import as_count, as_number, choose_options
from .ranks import gather_rows

LONGEST = 65_536
OPTIONS = {
    "temperature": "of the comparison, 0.15",
    "queue": "earlier pictures among which neighbours are looked for, a quarter of the pool",
    "top_k": "a positive is drawn from so many nearest neighbours, 1",
    **HEAD_OPTIONS,
}


class NnclrObjective(Objective):
    """InfoNCE of predictions against neighbours. Projection, prediction and queue are thrown away in the end."""

    def __init__(self, encoder: Encoder, facts: Facts, chosen: Mapping[str, Any], method: str = "nnclr") -> None:
        super().__init__(encoder)
        need_others(facts, method)
        self.temperature = as_number(chosen.get("temperature", 0.15), "temperature")
        self.top_k = as_count(chosen.get("top_k", 1), "top_k")
        length = min(LONGEST, max(facts.batch_size, facts.n_pictures // 4))
        self._sizes = n_hidden, n_projected = head_sizes(encoder.width, chosen)
        self.projector = Perceptron(encoder.width, n_hidden, n_projected)
        self.predictor = Perceptron(n_projected, n_hidden, n_projected)
        self.queue = NeighbourQueue(as_count(chosen.get("queue", length), "queue"), n_projected)
        self.recipe = RECIPE
        self._newest: Tensor | None = None

    def crops(self, size: tuple[int, int]) -> Crops:
        return two_views(size)

    def features(self, pictures: Tensor) -> Tensor:
        """(B, width) of the encoder."""
        out: Tensor = self.encoder(pictures)
        return out

    def looked_up(self, features: Tensor, projected: Tensor) -> Tensor:
        """(B, p): what neighbours are looked up by, and what the queue keeps; without gradient."""
        return projected.detach()

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        features = self.features(batch.big)
        projected = self.projector(features).float()
        predicted = self.predictor(projected).float()
        asked = self.looked_up(features, projected)
        ranks = torch.randint(self.top_k, (2 * batch.n,), generator=batch.random) if self.top_k > 1 else None
        found = self.queue.positives(asked, self.top_k, ranks)
        a, b, near_a, near_b = (
            gather_rows(rows) for part in (predicted, found) for rows in (part[: batch.n], part[batch.n :])
        )
        loss = nnclr_loss((a, b), (near_a, near_b), self.temperature)
        self._newest = gather_rows(asked[: batch.n])
        return loss, measures(loss, len(a), self._newest)

    def after(self, step: int) -> None:
        if self._newest is not None:
            self.queue.push(self._newest)
            self._newest = None

    def settings(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "queue": len(self.queue.rows),
            "top_k": self.top_k,
            "n_hidden": self._sizes[0],
            "n_projected": self._sizes[1],
        }


def build(encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> Objective:
    """An NnclrObjective for any encoder with a width."""
    return NnclrObjective(cast(Encoder, encoder), facts, choose_options("nnclr", OPTIONS, given))


METHOD = Method("nnclr", (Stage("nnclr", 1.0, build),), OPTIONS)
