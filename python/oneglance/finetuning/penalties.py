"""What holds a network near its start while it is tuned on few labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

TINY = 1e-12


def l2_sp(weights: Mapping[str, Tensor], start: Mapping[str, Tensor], strength: float) -> Tensor:
    """strength / 2 times the squared distance of the weights from their start, over the names of `start` (at least
    one); its gradient is strength * (weight - start). Source: L2-SP, arXiv 1802.01483."""
    parts = [(weights[name] - start[name]).square().sum() for name in start]
    return 0.5 * strength * torch.stack(parts).sum()


def distortion(features: Tensor, start: Tensor) -> Tensor:
    """Mean over pictures of |u - u0|^2, with u and u0 the features (B, d) of the network and of its start at unit
    length, so that a strength means the same for every backbone. Source: after arXiv 2409.07582."""
    return (unit(features) - unit(start)).square().sum(dim=1).mean()


def unit(features: Tensor) -> Tensor:
    """Rows at unit length, as heads read them; rows of zeros stay."""
    return functional.normalize(features, dim=1, eps=TINY)
