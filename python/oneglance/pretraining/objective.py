"""What every way of training without labels has in common: views in, a loss out.

A method is a chain of stages (MAE-CT has three, the others one); a stage builds an objective around the encoder, and
the trainer knows nothing else of it. A new method is one module with an objective and one line in methods.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..masks.crops import Crops


class Encoder(Protocol):
    """A module (B, C, H, W) -> (B, width). One with patches has tokens() and blocks as well, see PatchEncoder."""

    width: int

    def __call__(self, pictures: Tensor) -> Tensor: ...


class PatchEncoder(Encoder, Protocol):
    """blocks  the transformer's blocks, first to last."""

    blocks: nn.ModuleList

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of a picture (height, width)."""
        ...

    def tokens(self, pictures: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, 1 + L, width): class token, then patches row after row. keep (B, K): only these patches are seen."""
        ...

    def standardised(self, pictures: Tensor) -> Tensor:
        """The pictures with mean 0 and standard deviation 1 over the pool, per channel."""
        ...


def need_patches(encoder: nn.Module, method: str) -> PatchEncoder:
    """The encoder, if it has patches. Raises InvalidInput with the cure."""
    if not hasattr(encoder, "tokens"):
        raise InvalidInput(
            f"method {method!r} hides patches and needs a vision transformer with tokens, got "
            f"{type(encoder).__name__}. Take encoder='vit' or a transformer, or another method (swav, simclr, nnclr)."
        )
    return cast(PatchEncoder, encoder)


@dataclass(frozen=True)
class Facts:
    """What automatic settings may depend on.

    n_pictures   of the pool                    batch_size   of one step, all ranks together
    per_epoch    steps per reading              n_steps      of this stage
    size         (height, width)                n_channels   of the pictures
    n_classes    roughly, where it is known     seed         of everything random
    """

    n_pictures: int
    batch_size: int
    per_epoch: int
    n_steps: int
    size: tuple[int, int]
    n_channels: int = 3
    n_classes: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """How the parameters move.

    optimiser     "adamw" (betas) or "sgd" (momentum betas[0])
    lr            at a batch of 256; the linear rule scales it by batch_size / 256
    weight_decay  of tensors with two dimensions and more; none of biases, norms and tokens
    warm_up       share of the steps in which lr rises from 0; then half a cosine down to the share `last`
    """

    optimiser: str
    lr: float
    weight_decay: float
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: float = 0.1
    last: float = 0.0


@dataclass(frozen=True)
class Batch:
    """The views of one step on this rank; pictures are 0..1 or as they came, the encoder standardises.

    big      (n_big * B, C, H, W), view after view: all first views, then all second ones
    small    (n_small * B, C, h, w), or None
    n        B, pictures on this rank
    random   this step's own generator on the CPU, another one on every rank
    """

    big: Tensor
    small: Tensor | None
    n: int
    random: torch.Generator


class Objective(nn.Module, ABC):
    """A loss around an encoder. Whatever it must remember is a parameter, a buffer or in get_extra_state(): the
    checkpoint is state_dict().

    encoder   the module that is kept in the end           recipe  how its and the objective's parameters move
    Drawn from torch's random state, which the trainer seeds before it builds one.
    """

    recipe: Recipe
    fixed_views: tuple[str, ...] = ("n_big", "n_small")
    """Fields of its Crops that the loss is made for; the caller may change the others."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder: Any = encoder

    @abstractmethod
    def crops(self, size: tuple[int, int]) -> Crops:
        """The views it wants of pictures of that size."""

    @abstractmethod
    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """A scalar to go down, and scalars to look at (detached; the trainer averages them over the steps of an epoch).

        Well-known names: "loss_over_ln_k", "prototypes_used", "feature_std"; see monitors.py.
        """

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """loss(), so that torch's DistributedDataParallel can stand around it."""
        return self.loss(batch, step)

    def between(self, step: int) -> None:
        """After the backward pass, before the optimiser: gradients may be dropped here."""
        return None

    def after(self, step: int) -> None:
        """After the optimiser: queues are filled and averages moved here."""
        return None

    def go_on_from(self, before: Objective) -> None:
        """Called once, where a stage follows another of the same training and has no checkpoint of its own yet: what a
        head has learnt is taken over here."""
        return None

    def rates(self) -> Mapping[str, float]:
        """Parameter name -> factor of lr, where it is not 1 (layer-wise decay, slower heads). Parameters with
        requires_grad=False are left alone."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What was chosen, for the record: plain numbers and texts."""
        return {}


Build: TypeAlias = Callable[[nn.Module, Facts, Mapping[str, Any]], Objective]


@dataclass(frozen=True)
class Stage:
    """One training of a method.

    name    for progress and the record           share  of the method's epochs
    build   (encoder, facts, given options) -> Objective; raises InvalidInput for an encoder or option that cannot be
    """

    name: str
    share: float
    build: Build


@dataclass(frozen=True)
class Method:
    """name on the command line; stages in order; options: names that `given` may hold, with a default in words."""

    name: str
    stages: tuple[Stage, ...]
    options: Mapping[str, str]
    needs_patches: bool = False
