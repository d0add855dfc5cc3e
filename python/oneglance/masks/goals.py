"""What the scores are trained for: SwAV on views without labels, or classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from .crops import Crops, make_views
from .layer import make_scores, materialise
from .settings import Settings
from .shelf import Shelf
from .swav import N_CODED, Queue, SwavHead, swav_loss

Forward: TypeAlias = Callable[[Tensor], Tensor]
"""Network input (B, C, H, W) -> features (B, d), under this step's tensors."""

_USE_MEMORY = 0.98


class Goal(Protocol):
    """The loss of one step, and the tensors that it trains besides the network's scores.

    use  mean share of every prototype or class lately, (K,)
    """

    use: Tensor

    def tensors(self) -> dict[str, Tensor]: ...

    def rates(self, settings: Settings) -> tuple[float, float]:
        """lr and weight decay of these tensors."""
        ...

    def loss(self, forward: Forward, shelf: Shelf, numbers: Tensor, random: torch.Generator, step: int) -> Tensor: ...

    def between(self, step: int) -> None:
        """After the backward pass, before the optimiser."""
        ...

    def after(self) -> None:
        """After the optimiser."""
        ...

    def go_on_from(self, tensors: dict[str, Tensor]) -> None:
        """Tensors of an earlier goal of the same kind; those of another shape stay as drawn."""
        ...

    def state(self) -> dict[str, Tensor]: ...

    def load(self, state: dict[str, Tensor]) -> None: ...


class SwavGoal:
    """Views of a picture predict each other's codes."""

    def __init__(
        self, n_dims: int, settings: Settings, crops: Crops, device: torch.device, random: torch.Generator
    ) -> None:
        self._settings, self._crops, self._device = settings, crops, device
        self.head = SwavHead(n_dims, settings.n_projected, settings.n_prototypes, random).to(device)
        self.queue = Queue(settings.queue, settings.n_projected, device)
        self.use = torch.full((settings.n_prototypes,), 1.0 / settings.n_prototypes, device=device)
        self._coded: list[Tensor] = []

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.head.named_parameters())

    def rates(self, settings: Settings) -> tuple[float, float]:
        return settings.head_lr, settings.head_decay

    def loss(self, forward: Forward, shelf: Shelf, numbers: Tensor, random: torch.Generator, step: int) -> Tensor:
        self.head.renormalise()
        big, small = make_views(shelf.unit(numbers, self._device), self._crops, random)
        embeddings: list[Tensor] = []
        for views in (big, small):
            if views is not None:
                found = self.head(forward(shelf.levels.to_input(views)))
                embeddings += found.split(len(numbers))
        self._coded = embeddings[:N_CODED]
        queue = self.queue if step >= self._settings.queue_from else None
        loss, use = swav_loss(self.head, embeddings, self._settings.eps, self._settings.temperature, queue)
        self.use = _USE_MEMORY * self.use + (1 - _USE_MEMORY) * use
        return loss

    def between(self, step: int) -> None:
        if step < self._settings.freeze_steps:
            self.head.prototypes.grad = None

    def after(self) -> None:
        self.queue.push(self._coded)

    def go_on_from(self, tensors: dict[str, Tensor]) -> None:
        _copy_fitting(tensors, self.tensors())

    def state(self) -> dict[str, Tensor]:
        return {
            "queue": self.queue.rows,
            "filled": torch.tensor(self.queue.filled),
            "use": self.use,
            **{f"head.{name}": value.detach() for name, value in self.tensors().items()},
        }

    def load(self, state: dict[str, Tensor]) -> None:
        self.queue.rows, self.queue.filled = state["queue"].to(self._device), int(state["filled"])
        self.use = state["use"].to(self._device)
        with torch.no_grad():
            for name, value in self.tensors().items():
                value.copy_(state[f"head.{name}"])


class LabelGoal:
    """Cross-entropy of a linear head without bias that is random, frozen and masked like the network.

    Pictures are seen once per step: a cut of at least half their area, mirrored and changed in colour.
    codes  (n,) class numbers 0 .. n_classes - 1 of the shelf's pictures
    """

    def __init__(
        self,
        n_dims: int,
        codes: Tensor,
        n_classes: int,
        crops: Crops,
        device: torch.device,
        random: torch.Generator,
    ) -> None:
        self._codes, self._crops, self._device = codes.to(device), crops, device
        weight = (torch.rand(n_classes, n_dims, generator=random) * 2 - 1) * n_dims**-0.5
        self._weights = {"head": weight.to(device)}
        self.scores = make_scores(self._weights)
        self.use = torch.full((n_classes,), 1.0 / n_classes, device=device)

    def tensors(self) -> dict[str, Tensor]:
        return self.scores

    def rates(self, settings: Settings) -> tuple[float, float]:
        return settings.lr, 0.0

    def loss(self, forward: Forward, shelf: Shelf, numbers: Tensor, random: torch.Generator, step: int) -> Tensor:
        views, _ = make_views(shelf.unit(numbers, self._device), self._crops, random)
        logits = functional.linear(
            forward(shelf.levels.to_input(views)), materialise(self._weights, self.scores)["head"]
        )
        share = logits.detach().softmax(dim=1).mean(dim=0)
        self.use = _USE_MEMORY * self.use + (1 - _USE_MEMORY) * share
        return functional.cross_entropy(logits, self._codes[numbers.to(self._device)])

    def between(self, step: int) -> None:
        return None

    def after(self) -> None:
        return None

    def go_on_from(self, tensors: dict[str, Tensor]) -> None:
        _copy_fitting(tensors, self.tensors())

    def state(self) -> dict[str, Tensor]:
        return {"use": self.use, "head": self.scores["head"].detach()}

    def load(self, state: dict[str, Tensor]) -> None:
        self.use = state["use"].to(self._device)
        with torch.no_grad():
            self.scores["head"].copy_(state["head"])


def _copy_fitting(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in target.items():
            if name in source and source[name].shape == value.shape:
                value.copy_(source[name])
