"""A plain vision transformer with fixed positions: any sides that its patches divide, any part of the patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import InvalidInput
from .patches import rows_of, to_patches
from .positions import sincos_positions
from .shape import Shape

_EPS = 1e-6


class Attention(nn.Module):
    """Self-attention of all tokens with all, (B, T, d) -> (B, T, d)."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.num_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, n_last: int | None = None) -> Tensor:
        n_rows, n_tokens, width = tokens.shape
        if n_last is None:
            parts = self.qkv(tokens).view(n_rows, n_tokens, 3, self.num_heads, width // self.num_heads)
            query, key, value = parts.permute(2, 0, 3, 1, 4)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            asked = functional.linear(tokens[:, n_tokens - n_last :], weight[:width], bias[:width])
            query = asked.view(n_rows, n_last, self.num_heads, -1).transpose(1, 2)
            known = functional.linear(tokens, weight[width:], bias[width:])
            key, value = known.view(n_rows, n_tokens, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n_rows, -1, width))
        return out


class Block(nn.Module):
    """Attention and a perceptron four times as wide, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, n_heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor, n_last: int | None = None) -> Tensor:
        """n_last: only the last so many tokens come out; all are attended to."""
        kept = tokens if n_last is None else tokens[:, tokens.shape[1] - n_last :]
        kept = kept + self.attn(self.norm1(tokens), n_last)
        out: Tensor = kept + self.mlp(self.norm2(kept))
        return out


def start_weights(module: nn.Module) -> None:
    """Linear maps and patch embeddings Xavier-uniform with biases 0, layer norms 1 and 0; torch's own random state."""
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(part.weight.view(part.weight.shape[0], -1))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class SmallViT(nn.Module):
    """(B, C, H, W) -> (B, width): the mean of the patches' tokens behind the last norm.

    patch   side of the square patches, which must divide H and W; positions are fixed, so that no other size is wrong
    mean, std   buffers (C,) of the pool's pixels; pictures are standardised with them first
    shape   how it was built, where build_encoder() did it
    blocks  the transformer's blocks, for those who freeze some of them
    Cost: about 24 depth width^2 flops per token and direction, and attention.
    Source: arXiv 2010.11929, with the positions, start and norms of arXiv 2111.06377.
    """

    num_prefix_tokens = 1

    def __init__(self, width: int, depth: int, n_heads: int, patch: int, n_channels: int = 3) -> None:
        super().__init__()
        if width % n_heads or width % 4:
            raise InvalidInput(f"width must be a multiple of n_heads={n_heads} and of 4, got {width}.")
        self.width, self.patch, self.n_channels = width, patch, n_channels
        self.patch_embed = nn.Conv2d(n_channels, width, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("std", torch.ones(n_channels))
        self.mean: Tensor
        self.std: Tensor
        self.shape: Shape | None = None
        start_weights(self)
        nn.init.normal_(self.cls_token, std=0.02)
        self._positions: dict[tuple[int, int], Tensor] = {}

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of a picture. Raises InvalidInput."""
        if size[0] % self.patch or size[1] % self.patch or min(size) < self.patch:
            raise InvalidInput(
                f"pictures must have sides that are multiples of the patch {self.patch}, got {size}. Choose such a "
                "size."
            )
        return size[0] // self.patch, size[1] // self.patch

    def tokens(self, pictures: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, 1 + L, width) behind the last norm: the class token and the patches, row after row.

        keep  (B, K) int64: only these patches, in this order, are seen, and (B, 1 + K, width) comes back
        """
        rows, columns = self.grid((pictures.shape[2], pictures.shape[3]))
        standard = self.standardised(pictures)
        if keep is None:
            patches = self.patch_embed(standard).flatten(2).transpose(1, 2)
            patches = patches + self.positions(rows, columns, patches)
        else:  # the same, of these patches only
            weight = self.patch_embed.weight.flatten(1)
            patches = functional.linear(
                rows_of(to_patches(standard, rows, columns), keep), weight, self.patch_embed.bias
            )
            patches = patches + self.positions(rows, columns, patches)[keep]
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1).to(patches.dtype), patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)
        return out

    def standardised(self, pictures: Tensor) -> Tensor:
        """The pictures with the pool's mean taken off and divided by its standard deviation."""
        return (pictures - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)

    def positions(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """(rows * columns, width) on the device and of the type of `like`; made once per grid."""
        found = self._positions.get((rows, columns))
        if found is None or found.device != like.device or found.dtype != like.dtype:
            found = sincos_positions(rows, columns, self.width).to(like.device, like.dtype)
            self._positions[rows, columns] = found
        return found

    def forward(self, pictures: Tensor) -> Tensor:
        return self.tokens(pictures)[:, 1:].mean(dim=1)
