"""From what the caller gives to pictures, an encoder and settings, for pretrain() and its plan."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from .._check import positive_int, seed_int
from ..errors import InvalidInput
from ..features.backbones import Backbone, as_backbones
from ..features.encoders import SmallResNet, SmallViT, build_encoder, choose_shape
from ..features.listfile import Columns
from ..features.loading import preprocessed
from ..features.pictures import MAX_PIXELS, BadPictureError, Pictures
from ..features.preprocess import Preprocess
from ..features.source import Source, open_source
from ..masks.shelf import Shelf
from .from_backbone import encoder_of
from .objective import Method
from .sizes import choose_size, look

_BLACK, _ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Prepared:
    """preprocess  of the pictures, and later of embed       start   the backbone that is continued, or None
    words       the encoder in words                      floats  whether pictures are kept as float32
    """

    source: Source
    pictures: Pictures
    encoder: nn.Module
    preprocess: Any
    size: tuple[int, int]
    n_channels: int
    start: Backbone | None
    words: str
    floats: bool

    @property
    def n_pictures(self) -> int:
        return len(self.pictures)

    @property
    def seen(self) -> tuple[int, tuple[int, int], int]:
        """Pictures, unusable ones included; (height, width) and channels of what the network gets."""
        return len(self.pictures), self.size, self.n_channels


def prepare(
    images: Any,
    method: Method,
    *,
    encoder: str = "auto",
    start: Any = None,
    size: Any = None,
    patch: int | None = None,
    seed: int = 0,
    columns: Columns | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Prepared:
    """Raises InvalidInput."""
    seed_int(seed)
    source = open_source(images, columns, max_pixels=max_pixels, for_backbones=True)
    if source.pictures is None:
        raise InvalidInput(
            "images are ready vectors; pretraining needs pictures. Give a folder, a list of paths, or pictures as a "
            "uint8 array (N, H, W, 3) or a float array (N, C, H, W)."
        )
    n_channels, found, ready = look(source.pictures)
    wanted = parse_size(size)
    if ready and wanted not in (None, found):
        raise InvalidInput(f"size is for picture files; these arrays are {found} as they come. Leave it out.")
    if start is not None:
        if encoder != "auto" or patch is not None:
            raise InvalidInput("start (--from) continues a backbone; leave out encoder and patch, they make a new one.")
        return _continued(source, source.pictures, method, start, wanted, n_channels, found, ready)
    sides = found if ready else wanted or choose_size(found)
    name = ("vit" if method.needs_patches else "resnet") if encoder == "auto" else encoder
    if method.needs_patches and name.startswith("resnet"):
        raise InvalidInput(
            f"method {method.name!r} hides patches and needs a vision transformer, got encoder {name!r}. Take vit, or "
            "another method (swav, simclr, nnclr)."
        )
    shape = choose_shape(name, sides, n_channels, patch=patch, n_pictures=len(source.pictures))
    preprocess = Preprocess(size=sides, mean=_BLACK, std=_ONE)
    words = f"{shape.kind}-{shape.size}" + (f", patch {shape.patch}" if shape.patch else "")
    made = build_encoder(shape, seed)
    return Prepared(source, source.pictures, made, preprocess, sides, n_channels, None, words, ready)


def _refuse_broken(backbone: Backbone) -> None:
    """Raises InvalidInput for weights or statistics that are no finite numbers: training would carry them on."""
    for name, value in backbone.module.state_dict().items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not torch.isfinite(value).all():
            raise InvalidInput(
                f'start (--from): {name} of backbone "{backbone.name}" holds NaN or infinite values. Look at its '
                "weights; training would only carry them on."
            )


def _continued(
    source: Source,
    pictures: Pictures,
    method: Method,
    start: Any,
    wanted: tuple[int, int] | None,
    n_channels: int,
    found: tuple[int, int],
    ready: bool,
) -> Prepared:
    (backbone,) = as_backbones([start])
    _refuse_broken(backbone)
    preprocess: Any = backbone.preprocess
    if wanted is not None:
        if type(preprocess) is not Preprocess:
            raise InvalidInput(
                f'size: backbone "{backbone.name}" has a preprocessing of its own. State the size in its string, '
                'e.g. "...?size=64", or pass Backbone(module, Preprocess(size=64)).'
            )
        kept = {name: getattr(preprocess, name) for name in ("fit", "filter", "channels", "scale", "mean", "std")}
        preprocess = Preprocess(size=wanted, **kept)
    if ready:
        sides = found
    elif type(preprocess) is Preprocess:
        sides = preprocess.sides or found
    else:
        sides = _seen_by(preprocess, pictures)
    words = f"from {backbone.spec}"
    encoder = encoder_of(backbone, n_channels, sides, method.needs_patches)
    return Prepared(source, pictures, encoder, preprocess, sides, n_channels, backbone, words, ready)


def _seen_by(preprocess: Any, pictures: Pictures) -> tuple[int, int]:
    """Of the first picture that can be read; look() has found one before."""
    for row in range(len(pictures)):
        with contextlib.suppress(BadPictureError):
            tensor = preprocessed(preprocess, pictures.load(row)[0])
            return int(tensor.shape[-2]), int(tensor.shape[-1])
    raise InvalidInput("images: none of the pictures can be used.")


def parse_size(value: Any) -> tuple[int, int] | None:
    """None, a side, (height, width), or the texts "64" and "48x64". Raises InvalidInput."""
    if value is None:
        return None
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", value.strip())
        if not match:
            raise InvalidInput(f"size must be a side like 64, or HEIGHTxWIDTH like 48x64, got {value!r}.")
        value = (int(match[1]), int(match[2] or match[1]))
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise InvalidInput(f"size must be a side or (height, width), got {value!r}.")
    return positive_int(pair[0], "size"), positive_int(pair[1], "size")


@torch.no_grad()
def standardise_by(encoder: nn.Module, shelf: Shelf) -> None:
    """The encoder's mean and std become those of the pool's pixels (up to 2,048 pictures); a channel of one value gets
    std 1. Other networks are left alone."""
    if not isinstance(encoder, (SmallViT, SmallResNet)):
        return
    numbers = np.unique(np.linspace(0, len(shelf) - 1, min(2048, len(shelf))).astype(np.int64))
    total = torch.zeros(2, shelf.n_channels, dtype=torch.float64)
    count = 0
    for first in range(0, len(numbers), 256):
        rows = torch.from_numpy(numbers[first : first + 256])
        plain = shelf.plain(rows, torch.device("cpu")).double()
        total += torch.stack([plain.sum(dim=(0, 2, 3)), (plain**2).sum(dim=(0, 2, 3))])
        count += plain.numel() // shelf.n_channels
    mean = total[0] / count
    std = (total[1] / count - mean**2).clamp(min=0).sqrt()
    encoder.mean.copy_(mean)
    encoder.std.copy_(torch.where(std > 1e-6 * (1 + mean.abs()), std, torch.ones_like(std)))


def plain(mapping: Mapping[int, str]) -> dict[str, str]:
    """For JSON."""
    return {str(key): value for key, value in mapping.items()}
