"""Multi-crop of a whole batch at once, on tensors: any number of channels, any sides, CPU and GPU.

Each picture has its own numbers, drawn on the CPU from the caller's generator, so that a seed gives the same views on
every device up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InvalidInput

_GREY = (0.299, 0.587, 0.114)
_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
_RATIO = math.log(4 / 3)


@dataclass(frozen=True)
class Crops:
    """What is cut and how it is changed.

    big, small    (height, width) of the views         n_big, n_small  how many of each
    scale_big     share of the picture's area, from and to; scale_small the same for small views
    flip          chance of a mirror image             jitter  strength of brightness, contrast, saturation and hue
                                                               (0.8, 0.8, 0.8, 0.2 times it), with chance jitter_chance
    grey          chance of a picture without colour   blur    chance of a Gaussian blur, sigma up to side / 96 pixels
    Saturation, hue and grey are for three channels; others get brightness and contrast.
    """

    big: tuple[int, int]
    small: tuple[int, int]
    n_big: int = 2
    n_small: int = 4
    scale_big: tuple[float, float] = (0.14, 1.0)
    scale_small: tuple[float, float] = (0.05, 0.14)
    flip: float = 0.5
    jitter: float = 1.0
    jitter_chance: float = 0.8
    grey: float = 0.2
    blur: float = 0.5

    def __post_init__(self) -> None:
        for name in ("big", "small", "scale_big", "scale_small"):
            value = getattr(self, name)
            if not isinstance(value, (tuple, list)) or len(value) != 2:
                raise InvalidInput(f"crops: {name} must be two numbers, got {value!r}.")
        for name, (low, high) in (("scale_big", self.scale_big), ("scale_small", self.scale_small)):
            if not 0 < low <= high <= 1:
                raise InvalidInput(f"{name} must be two shares of the area, 0 < low <= high <= 1, got {(low, high)}.")
        for name in ("flip", "jitter_chance", "grey", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} must be a chance in 0..1, got {getattr(self, name)!r}.")
        if min(*self.big, *self.small) < 1 or self.n_big < 1 or self.n_small < 0 or not 0 <= self.jitter <= 1.25:
            raise InvalidInput(
                f"crops need sides >= 1, n_big >= 1, n_small >= 0 and jitter in 0..1.25, got {self.big}, {self.small}, "
                f"{self.n_big}, {self.n_small} and {self.jitter}."
            )


def crops_for(size: tuple[int, int], unit: int = 1) -> Crops:
    """Two big views and several small ones for pictures of that size.

    From 96 pixels on as SwAV has it, small views of 3/7 of the side. Below, small views are half as wide, cuts are
    larger and colours change less: a twentieth of a small picture shows nothing.
    unit  sides of small views are multiples of it (a transformer's patch)
    """
    large = min(size) >= 96
    step = -(-8 // unit) * unit if large else unit  # about 8 pixels
    sides = [round(side * 3 / 7 / step) * step if large else max(4, side // 2) // step * step for side in size]
    small = (max(unit, sides[0]), max(unit, sides[1]))
    if large:
        return Crops(size, small, n_small=6)
    return Crops(size, small, n_small=4, scale_big=(0.4, 1.0), scale_small=(0.2, 0.5), jitter=0.4, blur=0.0)


def make_views(pictures: Tensor, crops: Crops, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Big views (n_big * B, C, *big) and small ones (n_small * B, C, *small), view after view; None without small ones.

    pictures  (B, C, H, W) float in 0..1
    Cost: a resampling and a few sweeps per view. Views should not be much smaller than their cut (no antialiasing).
    """
    views = []
    for count, size, scale in (
        (crops.n_big, crops.big, crops.scale_big),
        (crops.n_small, crops.small, crops.scale_small),
    ):
        if count:
            many = pictures.repeat(count, 1, 1, 1)
            views.append(_change(random_crop(many, size, scale, crops.flip, generator), crops, generator))
    return views[0], views[1] if len(views) > 1 else None


def random_crop(
    pictures: Tensor, size: tuple[int, int], scale: tuple[float, float], flip: float, generator: torch.Generator
) -> Tensor:
    """One cut per picture of random area, aspect ratio (3/4 to 4/3 of the picture's) and place, resampled to `size`."""
    n = len(pictures)
    area, ratio, x, y, mirror = torch.rand(5, n, generator=generator, dtype=torch.float64)
    area = scale[0] + (scale[1] - scale[0]) * area
    stretch = torch.exp((2 * ratio - 1) * _RATIO / 2)  # of the width; its square is the ratio
    wide, high = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    sign = torch.where(mirror < flip, -1.0, 1.0).double()
    theta = torch.zeros(n, 2, 3, dtype=torch.float64)
    theta[:, 0, 0], theta[:, 0, 2] = wide * sign, (2 * x - 1) * (1 - wide)
    theta[:, 1, 1], theta[:, 1, 2] = high, (2 * y - 1) * (1 - high)
    theta = theta.to(pictures.device, pictures.dtype)
    grid = functional.affine_grid(theta, [n, pictures.shape[1], *size], align_corners=False)
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _change(views: Tensor, crops: Crops, generator: torch.Generator) -> Tensor:
    draws = torch.rand(8, len(views), generator=generator, dtype=torch.float64)
    views = _colours(views, draws, crops)
    if crops.blur:
        side = min(views.shape[2:])
        top = max(0.2, side / 96)
        sigma = torch.where(draws[6] < crops.blur, 0.1 + (top - 0.1) * draws[7], 0.0)
        views = gaussian_blur(views, sigma)
    return views


def _colours(views: Tensor, draws: Tensor, crops: Crops) -> Tensor:
    def spread(row: Tensor, strength: float) -> Tensor:
        chosen = draws[4] < crops.jitter_chance
        return torch.where(chosen, 1 + strength * crops.jitter * (2 * row - 1), 1.0).clamp(min=0)

    def per_picture(values: Tensor) -> Tensor:
        return values.to(views.device, views.dtype).view(-1, 1, 1, 1)

    n_channels = views.shape[1]
    colour = n_channels == 3
    weights = torch.tensor(_GREY if colour else [1 / n_channels] * n_channels, device=views.device, dtype=views.dtype)
    if crops.jitter:
        views = (views * per_picture(spread(draws[0], 0.8))).clamp(0, 1)
        mean = torch.einsum("bchw,c->b", views, weights).view(-1, 1, 1, 1) / (views.shape[2] * views.shape[3])
        views = (mean + (views - mean) * per_picture(spread(draws[1], 0.8))).clamp(0, 1)
    if colour and (crops.jitter or crops.grey):
        angle = torch.where(draws[4] < crops.jitter_chance, 0.2 * crops.jitter * (2 * draws[3] - 1) * 2 * math.pi, 0.0)
        saturation = spread(draws[2], 0.8)
        saturation = torch.where(draws[5] < crops.grey, 0.0, saturation)
        mix = _colour_matrix(angle, saturation).to(views.device, views.dtype)
        views = torch.einsum("bij,bjhw->bihw", mix, views).clamp(0, 1)
    return views


def _colour_matrix(angle: Tensor, saturation: Tensor) -> Tensor:
    """(n, 3, 3) maps of RGB: the colour part turned by `angle` and scaled by `saturation`, the brightness kept."""
    to = torch.tensor(_YIQ, dtype=torch.float64)
    turn = torch.zeros(len(angle), 3, 3, dtype=torch.float64)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * angle.cos()
    turn[:, 2, 1] = saturation * angle.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    matrix: Tensor = torch.linalg.inv(to) @ turn @ to
    return matrix


def gaussian_blur(views: Tensor, sigma: Tensor) -> Tensor:
    """Each picture blurred by its own sigma (B,) in pixels; sigma 0 leaves it as it is."""
    reach = math.ceil(3 * float(sigma.max())) if len(sigma) else 0
    chosen = torch.nonzero(sigma > 0).flatten()
    if reach == 0 or not len(chosen):
        return views
    taps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (taps / sigma[chosen, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(views.device, views.dtype)
    rows = chosen.to(views.device)
    soft = views[rows]
    for axis in (2, 3):
        pad = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        wide = functional.pad(soft, pad, mode="replicate")
        length = soft.shape[axis]
        soft = torch.zeros_like(soft)
        for tap in range(2 * reach + 1):
            soft += wide.narrow(axis, tap, length) * kernel[:, tap].view(-1, 1, 1, 1)
    return views.index_copy(0, rows, soft)
