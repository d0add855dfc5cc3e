"""Masked reconstruction: most patches are hidden, and a light decoder tells their pixels from the seen ones.

Source: arXiv 2111.06377; oracle: reference.mae.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InvalidInput
from ..features.encoders.patches import rows_of, to_patches
from ..features.encoders.positions import sincos_positions
from ..features.encoders.vit import Block, start_weights
from ..masks.crops import Crops
from .objective import Batch, Facts, Method, Objective, PatchEncoder, Recipe, Stage, need_patches
from .options import as_count, as_flag, as_share, choose_options

OPTIONS = {
    "mask_ratio": "share of patches that are hidden, 0.75",
    "norm_pix": "patches are standardised before they are compared, true: better features",
    "decoder_width": "of the decoder, half the encoder's up to 512 (a multiple of its heads and of 4)",
    "decoder_depth": "blocks of the decoder; 2, from 384 dimensions on 4, from 768 on 8",
}
_EPS = 1e-6
_HEADS = {False: 4, True: 16}


def random_masking(n: int, n_patches: int, n_kept: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """(kept (n, n_kept), hidden (n, n_patches - n_kept)) int64: per row a permutation of the patches, cut in two."""
    order = torch.rand(n, n_patches, generator=random).argsort(dim=1, stable=True)
    return order[:, :n_kept], order[:, n_kept:]


def to_pictures(patches: Tensor, rows: int, columns: int, n_channels: int, patch: tuple[int, int]) -> Tensor:
    """The way back from to_patches."""
    split = patches.view(len(patches), rows, columns, n_channels, *patch)
    return split.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), n_channels, rows * patch[0], columns * patch[1])


def spread_of(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (unbiased, never 0) of every patch (..., 1)."""
    mean = patches.mean(dim=-1, keepdim=True)
    centred = patches - mean
    variance = (centred * centred).sum(dim=-1, keepdim=True) / (patches.shape[-1] - 1)  # var() is several times slower
    return mean, (variance + _EPS).sqrt()


def standardise(patches: Tensor) -> Tensor:
    """Every patch with mean 0 and deviation 1; a patch of equal values becomes 0, one of a single value stays."""
    if patches.shape[-1] == 1:
        return patches
    mean, deviation = spread_of(patches)
    return (patches - mean) / deviation


class Decoder(nn.Module):
    """Seen tokens (B, 1 + K, width) -> pixels of the hidden patches (B, L - K, n_values)."""

    def __init__(self, n_in: int, width: int, depth: int, n_heads: int, n_values: int) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Linear(n_in, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.pixels = nn.Linear(width, n_values)
        start_weights(self)
        nn.init.normal_(self.mask_token, std=0.02)
        self._positions: dict[tuple[int, int], Tensor] = {}

    def forward(self, seen: Tensor, kept: Tensor, hidden: Tensor, grid: tuple[int, int]) -> Tensor:
        """Attention asks for no order, so that tokens stay as they lie: class, kept, hidden, with their positions."""
        known = self.embed(seen)
        positions = self._table(grid, known)
        gaps = self.mask_token.to(known.dtype) + positions[hidden]
        tokens = torch.cat([known[:, :1], known[:, 1:] + positions[kept], gaps], dim=1)
        *blocks, last = self.blocks
        for block in blocks:
            tokens = block(tokens)
        out: Tensor = self.pixels(self.norm(last(tokens, hidden.shape[1])))
        return out

    def _table(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        found = self._positions.get(grid)
        if found is None or found.device != like.device or found.dtype != like.dtype:
            found = self._positions[grid] = sincos_positions(*grid, self.width).to(like.device, like.dtype)
        return found


class MaeObjective(Objective):
    """The loss of masked reconstruction; gradients come from hidden patches only.

    Its decoder is thrown away in the end. Cost: a quarter of the encoder's pass, and the decoder over all patches.
    """

    fixed_views = ("n_big", "n_small", "big")

    def __init__(self, encoder: PatchEncoder, facts: Facts, given: Mapping[str, Any]) -> None:
        super().__init__(encoder)
        chosen = choose_options("mae", OPTIONS, given)
        self.ratio = as_share(chosen.get("mask_ratio", 0.75), "mask_ratio")
        self.norm_pix = as_flag(chosen.get("norm_pix", True), "norm_pix")
        rows, columns = encoder.grid(facts.size)
        self.n_kept = max(1, int(rows * columns * (1 - self.ratio)))
        if self.n_kept >= rows * columns:
            raise InvalidInput(
                f"mask_ratio must hide at least one of the {rows} x {columns} patches, got {self.ratio:g}. "
                "Raise it, or take smaller patches."
            )
        width = encoder.width
        heads = _HEADS[width >= 768]
        own = min(512, max(4 * heads, width // 2 // (4 * heads) * 4 * heads))
        dims = as_count(chosen.get("decoder_width", own), "decoder_width")
        depth = as_count(chosen.get("decoder_depth", 2 if width < 384 else 4 if width < 768 else 8), "decoder_depth")
        if dims % (4 * heads):
            raise InvalidInput(f"decoder_width must be a multiple of {4 * heads}, got {dims}.")
        n_values = facts.n_channels * (facts.size[0] // rows) * (facts.size[1] // columns)
        self.decoder = Decoder(width, dims, depth, heads, n_values)
        self.recipe = Recipe("adamw", LR * max(1.0, 768 / width) ** 1.5, 0.05, (0.9, 0.95), warm_up=0.05)

    def crops(self, size: tuple[int, int]) -> Crops:
        """One cut of a fifth of the picture at least, mirrored: the paper's only change."""
        return Crops(size, size, n_big=1, n_small=0, scale_big=(0.2, 1.0), jitter=0.0, grey=0.0, blur=0.0)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        pictures = batch.big
        grid = self.encoder.grid((pictures.shape[2], pictures.shape[3]))
        kept, hidden = random_masking(len(pictures), grid[0] * grid[1], self.n_kept, batch.random)
        kept, hidden = kept.to(pictures.device), hidden.to(pictures.device)
        predicted = self.decoder(self.encoder.tokens(pictures, kept), kept, hidden, grid)
        with torch.no_grad():
            target = rows_of(to_patches(self.encoder.standardised(pictures), *grid), hidden)
            if self.norm_pix:
                target = standardise(target.float())
        return functional.mse_loss(predicted.float(), target.float()), {}

    def settings(self) -> dict[str, Any]:
        return {
            "mask_ratio": self.ratio,
            "norm_pix": self.norm_pix,
            "decoder_width": self.decoder.width,
            "decoder_depth": len(self.decoder.blocks),
        }


LR = 1.5e-4
"""The paper's at width 768; smaller networks take more, 15 times that at 128."""


def build(encoder: nn.Module, facts: Facts, given: Mapping[str, Any]) -> Objective:
    """A MaeObjective. Raises InvalidInput for an encoder without patches."""
    return MaeObjective(need_patches(encoder, "mae"), facts, given)


METHOD = Method("mae", (Stage("mae", 1.0, build),), OPTIONS, needs_patches=True)
