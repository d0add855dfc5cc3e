"""From an RGB picture to the tensor a network was trained on, written out in words for the manifest."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .._check import positive_int
from ..errors import InvalidInput
from ..store.files import digest

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]+")
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop, scale, normalise; without torchvision. The default is the usual one of ImageNet networks.

    size      side of the square that goes into the network, or (height, width); None keeps the picture's own size
    resize    side that the shorter side is resized to before the crop of a square; None: no larger than `size` needs
              (with fit="squash": unused)
    fit       "crop": resize the shorter side, cut the centre; "squash": resize both sides, aspect ratio is lost
    filter    "bilinear", "bicubic", "nearest", "lanczos" (Pillow's, antialiased)
    channels  "rgb" or "bgr"
    scale     pixels 0..255 are multiplied by scale / 255 before mean and std: 1 gives 0..1, 255 leaves 0..255
    mean, std subtracted and divided by, per channel in the order of `channels`

    Called with an RGB picture it returns a float32 tensor (3, H, W).
    """

    size: int | tuple[int, int] | None = 224
    resize: int | None = None
    fit: str = "crop"
    filter: str = "bilinear"
    channels: str = "rgb"
    scale: float = 1.0
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if isinstance(self.size, (tuple, list)):
            if len(self.size) != 2:
                raise InvalidInput(f"size must be a side or (height, width), got {self.size!r}.")
            if self.resize is not None:
                raise InvalidInput("resize goes with the size of a square only. Leave it out.")
            object.__setattr__(self, "size", (positive_int(self.size[0], "size"), positive_int(self.size[1], "size")))
        elif self.size is not None:
            positive_int(self.size, "size")
        if self.resize is not None:
            positive_int(self.resize, "resize")
        if isinstance(self.size, int) and self.resize is not None and self.resize < self.size:
            raise InvalidInput(f"resize must be >= size={self.size}, got {self.resize}.")
        for name, word, known in (
            ("fit", self.fit, ("crop", "squash")),
            ("filter", self.filter, tuple(_FILTERS)),
            ("channels", self.channels, ("rgb", "bgr")),
        ):
            if word not in known:
                raise InvalidInput(f"{name} must be one of {known}, got {word!r}.")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(np.isfinite(values)):
                raise InvalidInput(f"{name} must be three numbers, one per channel, got {values!r}.")
        if min(self.std) <= 0 or not self.scale > 0:
            raise InvalidInput(f"std and scale must be > 0, got std={self.std!r}, scale={self.scale!r}.")

    def __str__(self) -> str:
        sides = self.sides
        if sides is None:
            place = "own size"
        elif self.fit == "squash":
            place = f"resized to {sides[0]} x {sides[1]} ({self.filter}, antialias)"
        elif isinstance(self.size, tuple):
            place = f"resized to cover {sides[0]} x {sides[1]} ({self.filter}, antialias), centre of that size"
        else:
            place = (
                f"shorter side to {self.resize or self.size} ({self.filter}, antialias), centre {sides[0]} x {sides[1]}"
            )
        scaled = f"(x * {self.scale:g} / 255 - mean) / std"
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{self.channels.upper()}; {place}; {scaled}, mean ({mean}), std ({std})"

    @property
    def sides(self) -> tuple[int, int] | None:
        """(height, width) of what goes into the network; None: the picture's own."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        import torch

        array = np.asarray(self.place(picture), dtype=np.float32)
        if self.channels == "bgr":
            array = array[:, :, ::-1]
        mean, std = np.array(self.mean, dtype=np.float32), np.array(self.std, dtype=np.float32)
        array = (array * np.float32(self.scale / 255) - mean) / std
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))

    def place(self, picture: Image.Image) -> Image.Image:
        """The picture resized and cut, still as 8-bit RGB."""
        if self.sides is None:
            return picture
        resample = _FILTERS[self.filter]
        high, wide = self.sides
        if self.fit == "squash":
            return picture.resize((wide, high), resample)
        width, height = picture.size
        cover = max(high / height, wide / width)
        ratio = cover if self.resize is None else self.resize / min(width, height)
        width, height = max(wide, round(width * ratio)), max(high, round(height * ratio))
        left, top = (width - wide) // 2, (height - high) // 2
        resized = picture.resize((width, height), resample)
        return resized.crop((left, top, left + wide, top + high))


IMAGENET = Preprocess(size=224, resize=256)


def in_words(preprocess: Callable[..., Any]) -> str:
    """A text that changes when the preprocessing does; functions are told apart by their code."""
    if isinstance(preprocess, types.FunctionType):
        code = preprocess.__code__
        constants = _ADDRESS.sub("", repr(code.co_consts) + repr(preprocess.__defaults__))
        mark = digest(code.co_code, constants.encode(), repr(code.co_names).encode())[:16]
        return f"function {preprocess.__module__}.{preprocess.__qualname__} (code {mark})"
    return " ".join(_ADDRESS.sub("", str(preprocess)).split())
