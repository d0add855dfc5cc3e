"""SimCLR: two views of a picture are told from those of all other pictures of the batch. And what contrastive methods
share: head, views and measures.

Source: arXiv 2002.05709.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..masks.crops import Crops
from .contrastive_losses import nt_xent, unit
from .objective import Batch, Encoder, Facts, Method, Objective, Recipe, Stage
from .options import as_count, as_number, choose_options
from .ranks import gather_rows

SMALL = 96
"""Pictures below so many pixels get larger cuts and weaker changes of colour: a twentieth of them shows nothing."""

HEAD_OPTIONS = {
    "n_projected": "dimensions in which views are compared, 128",
    "n_hidden": "width of the head's hidden layer, 4 times the encoder's up to 2048",
}
OPTIONS = {"temperature": "of the comparison, 0.2", **HEAD_OPTIONS}


class Perceptron(nn.Sequential):
    """(B, n_in) -> (B, n_out): a linear map, a batch norm, ReLU, a linear map. The norm knows batches only, as the head
    is thrown away in the end: nothing is kept for later."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        super().__init__(
            nn.Linear(n_in, n_hidden, bias=False),
            nn.BatchNorm1d(n_hidden, track_running_stats=False),
            nn.ReLU(inplace=True),
            nn.Linear(n_hidden, n_out),
        )


def head_sizes(width: int, chosen: Mapping[str, Any]) -> tuple[int, int]:
    """(n_hidden, n_projected)."""
    hidden = as_count(chosen.get("n_hidden", min(2048, 4 * width)), "n_hidden")
    return hidden, as_count(chosen.get("n_projected", 128), "n_projected", least=2)


def two_views(size: tuple[int, int]) -> Crops:
    """Two big views; larger cuts and weaker colours for small pictures."""
    if min(size) >= SMALL:
        return Crops(size, size, n_small=0)
    return Crops(size, size, n_small=0, scale_big=(0.3, 1.0), jitter=0.5, blur=0.0)


def need_others(facts: Facts, method: str) -> None:
    """Raises InvalidInput for batches of one picture."""
    if facts.batch_size < 2:
        raise InvalidInput(
            f"method {method} tells pictures of a batch from each other and needs batch_size >= 2, got "
            f"{facts.batch_size}. Use 64 or more."
        )


def measures(loss: Tensor, n_choices: int, rows: Tensor) -> dict[str, Tensor]:
    """loss_over_ln_k: 1 tells nothing apart; feature_std: root mean square over dimensions of the deviation of unit
    rows times sqrt(p), 1 for directions all over the sphere and 0 for rows that are all alike."""
    with torch.no_grad():
        mean = unit(rows.detach().float()).mean(dim=0)
        spread = (1 - (mean * mean).sum()).clamp(min=0).sqrt()
    return {"loss_over_ln_k": loss.detach() / math.log(n_choices), "feature_std": spread}


class SimclrObjective(Objective):
    """NT-Xent of the projections of two views. Its projection is thrown away in the end."""

    def __init__(self, encoder: Encoder, facts: Facts, given: Mapping[str, Any]) -> None:
        super().__init__(encoder)
        need_others(facts, "simclr")
        chosen = choose_options("simclr", OPTIONS, given)
        self.temperature = as_number(chosen.get("temperature", 0.2), "temperature")
        self._sizes = head_sizes(encoder.width, chosen)
        self.projector = Perceptron(encoder.width, *self._sizes)
        self.recipe = RECIPE

    def crops(self, size: tuple[int, int]) -> Crops:
        return two_views(size)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        rows = self.projector(self.encoder(batch.big)).float()
        a, b = gather_rows(rows[: batch.n]), gather_rows(rows[batch.n :])
        loss = nt_xent(a, b, self.temperature)
        return loss, measures(loss, 2 * len(a) - 1, a)

    def settings(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "n_hidden": self._sizes[0], "n_projected": self._sizes[1]}


RECIPE = Recipe("adamw", 4e-3, 1e-4, (0.9, 0.999), warm_up=0.1)


def build(encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> Objective:
    """A SimclrObjective for any encoder with a width."""
    return SimclrObjective(cast(Encoder, encoder), facts, given)


METHOD = Method("simclr", (Stage("simclr", 1.0, build),), OPTIONS)
