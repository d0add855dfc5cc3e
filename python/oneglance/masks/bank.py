"""Several masks of one base in one batch: every picture says whose mask it wants."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._check import positive_int
from ..errors import InvalidInput
from ..features.backbones import Backbone, resting
from .network import Network
from .self_mask import SelfMask


class MaskBank:
    """One base network and its masks by name, e.g. one per site or expert.

    base    an nn.Module or a Backbone; it runs in eval mode, and is never changed
    masks   name -> SelfMask of this base
    ready   how many masks are kept as full weights; the rest are packed bits, unpacked when asked for
    Called with (B, C, H, W) and one name per picture (None: the base itself) it returns (B, d) features, in order.
    Cost: one forward pass per name in the batch. Raises InvalidInput for another base, a mask without the statistics
    that it needs, and an unknown name.
    """

    def __init__(self, base: Any, masks: Mapping[str, SelfMask], *, ready: int = 8) -> None:
        backbone = base if isinstance(base, Backbone) else Backbone(base)
        self._module: nn.Module = backbone.module
        for name, mask in masks.items():
            mask.check_base(self._module)
            if mask.state.metadata.get("bn") == "re-estimate":
                raise InvalidInput(
                    f"masks: {name!r} was saved without statistics of the batch norms, which are measured on pictures. "
                    'Save it with statistics="stored".'
                )
        self._net = Network(backbone)
        self._masks = dict(masks)
        self._ready: OrderedDict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = OrderedDict()
        self._n_ready = positive_int(ready, "ready")

    @property
    def names(self) -> list[str]:
        return list(self._masks)

    @torch.no_grad()
    def __call__(self, pictures: Tensor, names: Sequence[str | None]) -> Tensor:
        if len(names) != len(pictures):
            raise InvalidInput(f"names must hold one name per picture ({len(pictures)}), got {len(names)}.")
        wanted = list(dict.fromkeys(names))
        for name in wanted:
            if name is not None and name not in self._masks:
                close = difflib.get_close_matches(str(name), self._masks, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"There are {self.names}."
                raise InvalidInput(f"names: no mask {name!r}. {hint}")
        out: Tensor | None = None
        for name in wanted:
            rows = torch.tensor([row for row, own in enumerate(names) if own == name], device=pictures.device)
            tensors, statistics = ({}, {}) if name is None else self._of(name)
            with resting(self._module):  # else norms would take statistics of the batch, and write down the base's
                features = self._net.features(pictures[rows], tensors, statistics)
            if out is None:
                out = features.new_empty(len(names), features.shape[1])
            out[rows] = features
        if out is None:
            raise InvalidInput("pictures must hold at least one picture.")
        return out

    def _of(self, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if name not in self._ready:
            mask = self._masks[name]
            self._ready[name] = mask.tensors(self._module), mask.statistics(self._module)
            if len(self._ready) > self._n_ready:
                self._ready.popitem(last=False)
        self._ready.move_to_end(name)
        return self._ready[name]
