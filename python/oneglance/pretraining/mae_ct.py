"""MAE followed by contrastive tuning: what masked reconstruction has learnt is ordered by content afterwards.

Features of masked reconstruction alone are poor neighbours. Behind it, a head learns by neighbours (NNCLR) on the
frozen encoder; then the upper half of the encoder learns along. Cuts and mirror images are the only changes.
Source: arXiv 2304.10520.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..masks.crops import Crops
from .contrastive_losses import follow
from .mae import OPTIONS as MAE_OPTIONS
from .mae import build as build_mae
from .nnclr import OPTIONS as NNCLR_OPTIONS
from .nnclr import NnclrObjective
from .objective import Facts, Method, Objective, PatchEncoder, Recipe, Stage, need_patches
from .options import as_count, as_number, as_share, choose_options

OPTIONS = {
    **NNCLR_OPTIONS,
    "top_k": "a positive of the second stage is drawn from so many nearest neighbours, 1 per 100 of the queue up to 20",
    "layer_decay": "factor of lr from block to block downwards, 0.65",
    "momentum": "of the head that looks up neighbours, 0.99",
}
MOST = 20


class HeadObjective(NnclrObjective):
    """The head alone learns; the encoder is frozen, its norms included."""

    def __init__(self, encoder: PatchEncoder, facts: Facts, chosen: Mapping[str, Any]) -> None:
        super().__init__(encoder, facts, {**chosen, "top_k": 1}, "mae-ct")
        self.encoder.requires_grad_(False)
        self.recipe = Recipe("adamw", LR * max(1.0, 768 / encoder.width) ** (5 / 3), 1e-5, warm_up=0.2)

    def train(self, mode: bool = True) -> HeadObjective:
        super().train(mode)
        self.encoder.eval()
        return self

    def crops(self, size: tuple[int, int]) -> Crops:
        return Crops(size, size, n_small=0, scale_big=(0.2, 1.0), jitter=0.0, grey=0.0, blur=0.0)

    def features(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return super().features(pictures)


class TuneObjective(HeadObjective):
    """Head and the upper half of the blocks learn; a slowly following copy of the projection looks up neighbours."""

    def __init__(self, encoder: PatchEncoder, facts: Facts, chosen: Mapping[str, Any]) -> None:
        super().__init__(encoder, facts, chosen)
        length = len(self.queue.rows)
        self.top_k = as_count(chosen.get("top_k", max(1, min(MOST, length // 100))), "top_k")
        self.decay = as_share(chosen.get("layer_decay", 0.65), "layer_decay")
        self.momentum = as_number(chosen.get("momentum", 0.99), "momentum", low_ok=True, high=1.0)
        self.target = copy.deepcopy(self.projector).requires_grad_(False)
        self.upper: list[nn.Module] = list(encoder.blocks)[len(encoder.blocks) // 2 :]
        for part in (*self.upper, getattr(encoder, "norm", None)):
            if part is not None:
                part.requires_grad_(True)

    def train(self, mode: bool = True) -> TuneObjective:
        super().train(mode)
        self.encoder.train(mode)
        return self

    def features(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.encoder(pictures)
        return out

    @torch.no_grad()
    def looked_up(self, features: Tensor, projected: Tensor) -> Tensor:
        out: Tensor = self.target(features.detach()).float()
        return out

    def after(self, step: int) -> None:
        super().after(step)
        follow(self.target, self.projector, self.momentum)

    def go_on_from(self, before: Objective) -> None:
        """Head and queue of the first stage."""
        if isinstance(before, HeadObjective):
            for mine, theirs in (
                (self.projector, before.projector),
                (self.predictor, before.predictor),
                (self.queue, before.queue),
                (self.target, before.projector),
            ):
                mine.load_state_dict(theirs.state_dict())

    def rates(self) -> Mapping[str, float]:
        below = {
            id(parameter): self.decay**depth
            for depth, block in enumerate(reversed(self.upper), 1)
            for parameter in block.parameters()
        }
        return {name: below[id(value)] for name, value in self.named_parameters() if id(value) in below}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "layer_decay": self.decay, "momentum": self.momentum}


LR = 1e-4
"""At width 768; smaller networks take more, as in masked reconstruction."""


def build_head(encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> Objective:
    """A HeadObjective. Raises InvalidInput for an encoder without patches."""
    return HeadObjective(need_patches(encoder, "mae-ct"), facts, _own(given))


def build_tune(encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> Objective:
    """A TuneObjective. Raises InvalidInput for an encoder without patches."""
    return TuneObjective(need_patches(encoder, "mae-ct"), facts, _own(given))


def build_first(encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> Objective:
    """A MaeObjective with those of the options that are its own."""
    return build_mae(encoder, facts, {name: value for name, value in given.items() if name not in OPTIONS})


def _own(given: Mapping[str, Any]) -> dict[str, Any]:
    chosen = choose_options("mae-ct", METHOD.options, given)
    return {name: value for name, value in chosen.items() if name not in MAE_OPTIONS}


METHOD = Method(
    "mae-ct",
    (Stage("mae", 0.6, build_first), Stage("head", 0.1, build_head), Stage("tune", 0.3, build_tune)),
    {**MAE_OPTIONS, **OPTIONS},
    needs_patches=True,
)
