"""A ResNet of basic blocks whose stem fits the picture: small pictures are not shrunk before the first block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .shape import Shape


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norms beside a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        same = stride == 1 and n_in == n_out
        self.downsample = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        )

    def forward(self, maps: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(maps)), inplace=True)
        out = self.bn2(self.conv2(out)) + self.downsample(maps)
        return functional.relu(out, inplace=True)


class SmallResNet(nn.Module):
    """(B, C, H, W) -> (B, width), width = widths[-1]: the mean over the last map.

    widths  channels of the stages, each of n_blocks blocks; all but the first halve the sides
    shrink  1: a 3 x 3 stem; 4: a 7 x 7 stem of stride 2 and a pool of stride 2, for pictures of 64 pixels and more
    mean, std   buffers (C,) of the pool's pixels; pictures are standardised with them first
    shape   how it was built, where build_encoder() did it
    Source: arXiv 1512.03385; the start is He's.
    """

    def __init__(self, widths: Sequence[int], n_blocks: int, shrink: int = 1, n_channels: int = 3) -> None:
        super().__init__()
        self.width, self.n_channels = widths[-1], n_channels
        kernel, stride = (3, 1) if shrink == 1 else (7, 2)
        self.conv1 = nn.Conv2d(n_channels, widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.pool = nn.Identity() if shrink == 1 else nn.MaxPool2d(3, 2, 1)
        stages = []
        before = widths[0]
        for stage, width in enumerate(widths):
            first = BasicBlock(before, width, 1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, *(BasicBlock(width, width, 1) for _ in range(n_blocks - 1))))
            before = width
        self.stages = nn.Sequential(*stages)
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("std", torch.ones(n_channels))
        self.mean: Tensor
        self.std: Tensor
        self.shape: Shape | None = None
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Tensor) -> Tensor:
        standard = (pictures - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)
        maps = self.conv1(standard).contiguous(memory_format=torch.channels_last)  # a quarter less time on CPUs
        maps = self.pool(functional.relu(self.bn1(maps), inplace=True))
        out: Tensor = self.stages(maps).mean(dim=(2, 3))
        return out
