"""Pools of another domain than their network's, for bench/masks_on_real_data.py.

digits   scikit-learn's digits, a small network trained on them; the pool is inverted, turned, of low contrast and noisy
cifar    CIFAR-10 with channels rotated, colours inverted, contrast lowered and noise, a ResNet-20 of clean CIFAR-10
neu      steel defects (grey, 6 classes) at 32 pixels, the same ResNet-20
clean    CIFAR-10 as the ResNet-20 knows it: there is nothing to gain
neu56, cifar56   neu and cifar with a ResNet-56
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from oneglance.features import Backbone, Preprocess

SHARED = Path(__file__).resolve().parents[2] / "shared"
_WEIGHTS = {"20": "resnet20-12fca82f.th", "56": "resnet56-4bfd9763.th"}


@dataclass(frozen=True)
class Scene:
    """A network and a pool that it was not trained for; `train` pictures are adapted to, `test` only measured on.

    make     seed -> the network             few  labels per class of the few-label probe
    settings of adapt_masks for this pool
    """

    make: Callable[[int], Backbone]
    train: np.ndarray[Any, Any]
    train_classes: np.ndarray[Any, Any]
    test: np.ndarray[Any, Any]
    test_classes: np.ndarray[Any, Any]
    few: int
    settings: dict[str, Any]


class _Block(nn.Module):
    """Two convolutions beside a shortcut without weights (He et al. 2016, option A)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self._stride, self._pad = stride, (n_out - n_in) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self._stride != 1:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self._pad, self._pad))
        return functional.relu(x + y)


class CifarResNet(nn.Module):
    """ResNet of depth 6 n + 2 for 32 x 32 pictures, (N, 64) features."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, (n_in, n_out, stride) in enumerate([(16, 16, 1), (16, 32, 2), (32, 64, 2)], 1):
            blocks = [_Block(n_in if i == 0 else n_out, n_out, stride if i == 0 else 1) for i in range(n)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        out: torch.Tensor = self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3))
        return out


def cifar_resnet(depth: str) -> Backbone:
    """With the weights of ../shared/weights."""
    loaded = torch.load(SHARED / "weights" / _WEIGHTS[depth], map_location="cpu", weights_only=True)["state_dict"]
    weights = {name.removeprefix("module."): value for name, value in loaded.items()}
    module = CifarResNet((int(depth) - 2) // 6)
    module.load_state_dict({name: value for name, value in weights.items() if not name.startswith("linear")})
    return Backbone(module.eval(), Preprocess(size=32), name=f"resnet{depth}")


def digits() -> Scene:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    clean = functional.interpolate(torch.tensor(bunch.images[:, None] / 16.0).float(), size=16, mode="bilinear")
    order = np.random.default_rng(0).permutation(len(clean))
    train, test = order[:1297], order[1297:]
    changed = _other_digits(clean).numpy()
    classes = bunch.target.astype(np.int64)

    def make(seed: int) -> Backbone:
        return Backbone(_trained_digits(clean[train], classes[train], seed), name="digits")

    settings = {"epochs": 14, "n_prototypes": 60, "queue": 256, "crops": {"small": (10, 10), "n_small": 2, "flip": 0.0}}
    return Scene(make, changed[train], classes[train], changed[test], classes[test], 3, settings)


def _other_digits(clean: torch.Tensor) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    angle = (torch.rand(len(clean), generator=random) * 2 - 1) * 0.4
    theta = torch.zeros(len(clean), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = angle.cos()
    theta[:, 0, 1], theta[:, 1, 0] = -angle.sin(), angle.sin()
    turned = functional.grid_sample(
        clean, functional.affine_grid(theta, list(clean.shape), align_corners=False), align_corners=False
    )
    return (0.75 - 0.4 * turned + 0.08 * torch.randn(clean.shape, generator=random)).clamp(0, 1)


def _trained_digits(pictures: torch.Tensor, classes: np.ndarray[Any, Any], seed: int) -> nn.Module:
    """Five convolutions with batch norm, trained with labels on clean digits in seconds; (N, 40) features."""
    torch.manual_seed(seed)
    widths = [1, 20, 30, 40, 40, 40]
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Conv2d(n_in, n_out, 3, 2 if i in (1, 3) else 1, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Linear(40, 10)
    target = torch.from_numpy(classes)
    optimiser = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(6):
        for rows in torch.randperm(len(pictures)).split(64):
            optimiser.zero_grad()
            functional.cross_entropy(head(body(pictures[rows])), target[rows]).backward()
            optimiser.step()
    return body.eval().requires_grad_(False)


def read_folders(folder: Path, per_class: int | None = None, size: int | None = None) -> tuple[Any, Any]:
    from PIL import Image

    pictures, classes = [], []
    for code, sub in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for file in sorted(sub.iterdir())[:per_class]:
            with Image.open(file) as picture:
                rgb = picture.convert("RGB")
                pictures.append(np.asarray(rgb if size is None else rgb.resize((size, size), Image.Resampling.BOX)))
            classes.append(code)
    return np.stack(pictures), np.array(classes, dtype=np.int64)


def cifar(depth: str = "20", changed: bool = True) -> Scene:
    train, classes = read_folders(SHARED / "data" / "images" / "cifar10" / "train", 100)
    test, test_classes = read_folders(SHARED / "data" / "images" / "cifar10" / "test", 50)
    rng = np.random.default_rng(0)

    def other(pictures: Any) -> Any:
        values = 255 - pictures[..., [1, 2, 0]].astype(np.float32)
        values = 90 + 0.5 * (values - 128) + rng.normal(0, 8, values.shape)
        return values.clip(0, 255).astype(np.uint8)

    settings = {"epochs": 5}
    if changed:
        train, test = other(train), other(test)
    return Scene(lambda seed: cifar_resnet(depth), train, classes, test, test_classes, 5, settings)


def neu(depth: str = "20") -> Scene:
    pictures, classes = read_folders(SHARED / "data" / "images" / "neu", size=32)
    held = np.arange(len(pictures)) % 3 == 2
    settings = {"epochs": 20}
    return Scene(
        lambda seed: cifar_resnet(depth), pictures[~held], classes[~held], pictures[held], classes[held], 3, settings
    )


SCENES: dict[str, Callable[[], Scene]] = {
    "digits": digits,
    "cifar": cifar,
    "neu": neu,
    "clean": lambda: cifar(changed=False),
    "cifar56": lambda: cifar("56"),
    "neu56": lambda: neu("56"),
}
