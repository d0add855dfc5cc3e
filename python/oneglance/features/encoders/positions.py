"""Fixed sine-cosine positions of a grid of patches."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import InvalidInput


def sincos_positions(height: int, width: int, n_dims: int) -> Tensor:
    """(height * width, n_dims) float32, row after row: the first half of the dimensions tells the row, the second the
    column; each half is sines, then cosines, of position / 10000^(i / (n_dims / 4)).

    Computed in float64. Raises InvalidInput unless n_dims is a multiple of 4.
    Source: arXiv 2111.06377; oracle: reference.mae.sincos_positions.
    """
    if n_dims % 4 or n_dims < 4:
        raise InvalidInput(f"positions need a width that is a multiple of 4, got {n_dims}.")
    rates = 10000.0 ** (-torch.arange(n_dims // 4, dtype=torch.float64) / (n_dims // 4))
    halves = []
    for places in torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (height, width)), indexing="ij"):
        angles = places.reshape(-1, 1) * rates
        halves += [angles.sin(), angles.cos()]
    return torch.cat(halves, dim=1).float()
