"""Real pictures for bench/pretrain_on_real_data.py, as floats (N, C, H, W) in 0..1.

digits   scikit-learn's 1,797 digits at 16 x 16, grey; two thirds to train on, another split for every seed
neu      357 pictures of 6 steel defects at 32 x 32, grey; likewise
cifar    CIFAR-10, 300 pictures per class to train on and 100 to measure, RGB at 32 x 32; one split
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mask_scenes import SHARED, read_folders


@dataclass(frozen=True)
class Pool:
    """`train` pictures are pretrained on; labels come from them; `test` pictures are measured on only."""

    train: np.ndarray[Any, Any]
    train_classes: np.ndarray[Any, Any]
    test: np.ndarray[Any, Any]
    test_classes: np.ndarray[Any, Any]


def _split(pictures: Any, classes: Any, seed: int) -> Pool:
    order = np.random.default_rng([11, seed]).permutation(len(pictures))
    train, test = np.split(order, [2 * len(order) // 3])
    return Pool(pictures[train], classes[train], pictures[test], classes[test])


def _floats(pictures: Any) -> Any:
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / 255


def digits(seed: int) -> Pool:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.tensor(bunch.images[:, None] / 16.0).float()
    return _split(functional.interpolate(small, size=16, mode="bilinear").numpy(), bunch.target.astype(np.int64), seed)


def neu(seed: int) -> Pool:
    pictures, classes = read_folders(SHARED / "data" / "images" / "neu", size=32)
    return _split(_floats(pictures[..., :1]), classes, seed)


def cifar(seed: int) -> Pool:
    train, classes = read_folders(SHARED / "data" / "images" / "cifar10" / "train")
    test, test_classes = read_folders(SHARED / "data" / "images" / "cifar10" / "test")
    return Pool(_floats(train), classes, _floats(test), test_classes)


POOLS: dict[str, Callable[[int], Pool]] = {"digits": digits, "neu": neu, "cifar": cifar}
