"""A copy of a backbone with a linear head on top, to be trained; the backbone itself is never changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._types import Float64Array, FloatArray, IntArray
from ..adapt.head import scale_rows
from ..features.backbones import Backbone, resting
from ..features.pooling import has_channels_last, pick_output, pool_output, prefix_tokens
from ..masks.shelf import Shelf
from .penalties import unit


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits are u W + b for features u at unit length. coef (d, K), intercept (K,) float64, of the classes that had
    labels: codes (K,), ascending."""

    coef: Float64Array
    intercept: Float64Array
    codes: IntArray

    def logits(self, features: FloatArray) -> Float64Array:
        """(m, K) float64 of features as they are."""
        return np.asarray(scale_rows(features, "normalise") @ self.coef + self.intercept)

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        coef, intercept = (torch.from_numpy(part.astype(np.float32)) for part in (self.coef, self.intercept))
        return coef.to(device), intercept.to(device)


class Tunable:
    """The copy and its head. `module`, `coef` (d, K) and `intercept` (K,) may be changed."""

    def __init__(self, base: Backbone, head: LinearHead, device: torch.device, module: nn.Module | None = None) -> None:
        self.backbone = copy.copy(base)
        self.backbone.module = copy.deepcopy(base.module) if module is None else module
        self.backbone.module.eval().requires_grad_(False).to(device)
        self.coef, self.intercept = head.on(device)
        self.codes, self.device = head.codes, device
        self._n_prefix = prefix_tokens(base.module)

    @property
    def module(self) -> nn.Module:
        return self.backbone.module

    def features(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, d) float32, with gradients."""
        tensor, where = pick_output(
            self.backbone.answer(pictures), self.backbone.name, self.backbone.output, self.backbone.pool
        )
        name, last = self.backbone.name, has_channels_last(self.module)
        return pool_output(tensor, name, where, self.backbone.pool, self._n_prefix, last)[0].float()

    def logits(self, features: Tensor) -> Tensor:
        """(B, d) -> (B, K)."""
        return unit(features) @ self.coef + self.intercept

    @torch.no_grad()
    def predict(self, shelf: Shelf, numbers: IntArray, batch_size: int) -> npt.NDArray[np.float32]:
        """(m, K) logits of plain pictures, so many at a time, everything at rest."""
        found = []
        with resting(self.module):
            for part in torch.from_numpy(numbers).split(batch_size):  # type: ignore[no-untyped-call]
                found.append(self.logits(self.features(shelf.plain(part, self.device))).cpu())
        return np.asarray(torch.cat(found).numpy(), dtype=np.float32)

    def state(self) -> dict[str, Tensor]:
        """Copies of all tensors, the head's as "head.coef" and "head.intercept" ("head" is no module's name here)."""
        own = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        own |= {"head.coef": self.coef, "head.intercept": self.intercept}
        return {name: value.detach().clone() for name, value in own.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """The inverse."""
        for name, value in self.module.state_dict().items():
            value.copy_(state[f"module.{name}"])
        self.coef.copy_(state["head.coef"])
        self.intercept.copy_(state["head.intercept"])

    def head(self) -> LinearHead:
        """The head as it is now."""
        coef, intercept = (part.detach().cpu().numpy().astype(np.float64) for part in (self.coef, self.intercept))
        return LinearHead(coef, intercept, self.codes)


def interpolate(start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) start + alpha end of every tensor, buffers too; counters are the end's. The ends are exact.

    Source: WiSE-FT, arXiv 2109.01903.
    """
    if alpha in (0.0, 1.0):
        return dict(start if alpha == 0.0 else end)
    return {
        name: torch.lerp(start[name], value, alpha) if value.is_floating_point() else value
        for name, value in end.items()
    }
