"""A sheet for the eye: what a network that was trained on hidden patches sees, what it tells, and what is there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..features.encoders.patches import rows_of, to_patches
from .mae import MaeObjective, random_masking, spread_of, to_pictures

N_SHOWN = 8
_LEAST_PIXELS, _GAP = 64, 2


@torch.no_grad()
def tell(objective: MaeObjective, pictures: Tensor, random: torch.Generator) -> Tensor:
    """(B, 3, C, H, W) standardised pixels: seen patches, hidden ones at 0; told patches among the seen; the original.

    Where patches were standardised for the loss, what is told gets the mean and deviation of the true patch back.
    """
    encoder = objective.encoder
    rows, columns = grid = encoder.grid((pictures.shape[2], pictures.shape[3]))
    kept, hidden = random_masking(len(pictures), rows * columns, objective.n_kept, random)
    kept, hidden = kept.to(pictures.device), hidden.to(pictures.device)
    told = objective.decoder(encoder.tokens(pictures, kept), kept, hidden, grid).float()
    whole = to_patches(encoder.standardised(pictures), rows, columns).float()
    if objective.norm_pix and whole.shape[2] > 1:
        mean, deviation = spread_of(rows_of(whole, hidden))
        told = told * deviation + mean
    places = hidden.unsqueeze(2).expand_as(told)
    patch = (pictures.shape[2] // rows, pictures.shape[3] // columns)
    views = (whole.scatter(1, places, 0.0), whole.scatter(1, places, told), whole)
    return torch.stack([to_pictures(view, rows, columns, pictures.shape[1], patch) for view in views], dim=1)


def sheet_of(shown: Tensor) -> Tensor:
    """(height, width, 3) uint8 with a row per picture of shown (B, 3, C, H, W).

    Three channels are RGB, of others the first is shown; black and white are the least and the greatest value of the
    originals. Small pictures are enlarged without smoothing.
    """
    values = shown.float().cpu().numpy()
    values = values if values.shape[2] == 3 else values[:, :, :1].repeat(3, axis=2)
    low, high = float(values[:, 2].min()), float(values[:, 2].max())
    unit = np.clip((values - low) / (high - low or 1.0), 0, 1)
    zoom = -(-_LEAST_PIXELS // min(values.shape[3:]))
    cells = (unit * 255).round().astype(np.uint8).transpose(0, 1, 3, 4, 2)
    cells = cells.repeat(zoom, axis=2).repeat(zoom, axis=3)
    n, columns, height, width, _ = cells.shape
    sheet = np.full((n * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, dtype=np.uint8)
    for row in range(n):
        for column in range(columns):
            top, left = row * (height + _GAP), column * (width + _GAP)
            sheet[top : top + height, left : left + width] = cells[row, column]
    return torch.from_numpy(sheet)
