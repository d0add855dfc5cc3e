"""From an RGB picture to the tensor a network was trained on, written out in words for the manifest."""

from __future__ import annotations

import functools
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
_MOST_RESIZED = 1 << 26
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
        before = width, height = picture.size
        cover = max(high / height, wide / width)
        ratio = cover if self.resize is None else self.resize / min(width, height)
        width, height = max(wide, round(width * ratio)), max(high, round(height * ratio))
        left, top = (width - wide) // 2, (height - high) // 2
        if width * height > _MOST_RESIZED:  # a strip of 1 x 20,000 would become 4 GB: only the cut is resized
            across, down = before[0] / width, before[1] / height
            box = (left * across, top * down, (left + wide) * across, (top + high) * down)
            return picture.resize((wide, high), resample, box)
        resized = picture.resize((width, height), resample)
        return resized.crop((left, top, left + wide, top + high))


IMAGENET = Preprocess(size=224, resize=256)


def in_words(preprocess: Callable[..., Any]) -> str:
    """A text that changes when the preprocessing does: functions are told apart by their code, defaults and what they
    hold of the function around them; objects that do not print themselves by their fields."""
    try:
        return _words(preprocess)
    except RecursionError:  # two functions that hold each other
        return f"{type(preprocess).__name__} {getattr(preprocess, '__qualname__', '')}".strip()


def _words(value: Any) -> str:
    if isinstance(value, types.FunctionType):
        return f"function {value.__module__}.{value.__qualname__} (code {_mark(value)})"
    if isinstance(value, types.MethodType):
        return f"{_words(value.__func__)} of {_words(value.__self__)}"
    if isinstance(value, functools.partial):
        given = [_content(part) for part in (*value.args, *value.keywords.items())]
        return f"partial of {_words(value.func)} with ({', '.join(given)})"
    kind: Any = type(value)
    if kind.__repr__ is object.__repr__ and kind.__str__ is object.__str__:
        fields = "; ".join(f"{name} {_content(part)}" for name, part in sorted(getattr(value, "__dict__", {}).items()))
        return f"object {kind.__module__}.{kind.__qualname__} (fields {digest(fields.encode())[:16]})"
    return " ".join(_ADDRESS.sub("", str(value)).split())


def _mark(function: types.FunctionType) -> str:
    code = function.__code__
    constants = _ADDRESS.sub("", _constants(code) + repr(function.__defaults__))
    parts = [code.co_code, constants.encode(), repr(code.co_names).encode()]
    held = [_held(cell) for cell in function.__closure__ or ()]
    parts += [_content(value).encode() for value in (function.__kwdefaults__, *held) if value is not None]
    return digest(*parts)[:16]


def _constants(code: types.CodeType) -> str:
    """Inner functions by their code, not by the line that they stand on; sets in one order."""
    special = (types.CodeType, frozenset)
    return repr(tuple(_content(value) if isinstance(value, special) else value for value in code.co_consts))


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _content(value: Any) -> str:
    """A value as text: arrays and tensors by their bytes."""
    if isinstance(value, types.CodeType):
        return digest(value.co_code, _constants(value).encode(), repr(value.co_names).encode())
    if isinstance(value, (set, frozenset)):
        return repr(sorted(map(_content, value)))
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {digest(np.ascontiguousarray(value).tobytes())}"
    return _words(value) if callable(value) and not isinstance(value, type) else _ADDRESS.sub("", repr(value))
