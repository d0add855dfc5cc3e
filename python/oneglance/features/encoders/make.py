"""Encoders by name: `vit` or `resnet`, in four sizes."""

from __future__ import annotations

import torch

from ..._check import positive_int
from ...errors import InvalidInput
from .resnet import SmallResNet
from .shape import Shape
from .vit import SmallViT

KINDS = ("vit", "resnet")
SIZES = ("tiny", "small", "base", "large")
_VIT = {"tiny": (128, 4, 4), "small": (192, 6, 6), "base": (384, 12, 6), "large": (768, 12, 12)}
_RESNET = {
    "tiny": ((16, 32, 64), 1),
    "small": ((16, 32, 64, 128), 2),
    "base": ((64, 128, 256, 512), 2),
    "large": ((64, 128, 256, 512), 3),
}
_GRID, _MOST, _MOST_PATCHES = 8, 16, 4096
_SHRINK_FROM, _MANY = 64, 10_000


def choose_shape(
    name: str,
    picture: tuple[int, int],
    n_channels: int = 3,
    *,
    patch: int | None = None,
    n_pictures: int | None = None,
) -> Shape:
    """`name` as "vit", "resnet", "vit-tiny", "resnet-base"; sizes and patch chosen for the picture where left open.

    Automatic: "tiny" below 48 pixels, "small" up to 128 and for pools below 10,000 pictures, else "base". patch: the
    divisor of both sides, 2 to 16, that makes about 8 patches of the shorter side. Raises InvalidInput.
    """
    kind, _, given = name.partition("-")
    wanted = given or "auto"
    if kind not in KINDS or wanted not in (*SIZES, "auto"):
        names = [f"{one}-{other}" for one in KINDS for other in SIZES]
        raise InvalidInput(f"encoder must be vit, resnet or one of {', '.join(names)}, got {name!r}.")
    shorter = min(picture)
    if wanted == "auto":
        few = n_pictures is not None and n_pictures < _MANY
        wanted = "tiny" if shorter < 48 else "small" if shorter <= 128 or few else "base"
    if kind == "resnet":
        if patch is not None:
            raise InvalidInput("patch is for encoder vit; a resnet has none.")
        return Shape(kind, wanted, picture, n_channels)
    if patch is None:
        usable = [side for side in range(2, min(_MOST, shorter) + 1) if picture[0] % side == 0 == picture[1] % side]
        patch = min(usable or [1], key=lambda side: (abs(shorter / side - _GRID), side))
        n_patches = picture[0] * picture[1] // patch**2
        if n_patches > _MOST_PATCHES:
            raise InvalidInput(
                f"sides {picture} leave patches of {patch} pixels, and {n_patches:,} of them are too many. Crop or pad "
                "the pictures to multiples of 16, take encoder resnet, or name the patch."
            )
    positive_int(patch, "patch")
    if picture[0] % patch or picture[1] % patch:
        raise InvalidInput(f"patch must divide the sides of the pictures {picture}, got {patch}.")
    return Shape(kind, wanted, picture, n_channels, patch)


def build_encoder(shape: Shape, seed: int = 0) -> SmallViT | SmallResNet:
    """A new encoder; the same seed gives the same weights, and torch's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = _build(shape)
    encoder.shape = shape
    return encoder


def _build(shape: Shape) -> SmallViT | SmallResNet:
    if shape.kind == "vit":
        width, depth, n_heads = _VIT[shape.size]
        return SmallViT(width, depth, n_heads, shape.patch, shape.n_channels)
    widths, n_blocks = _RESNET[shape.size]
    shrink = 1 if min(shape.picture) < _SHRINK_FROM else 4
    return SmallResNet(widths, n_blocks, shrink, shape.n_channels)
