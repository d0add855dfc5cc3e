"""Pools of ../shared whose pictures are known cell by cell: what the coverage table is computed from."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import oneglance as og
from oneglance.cluster import small_kmeans

SHARED = Path(__file__).resolve().parents[2] / "shared"
DEFECT_SHARE = 0.1  # a cell with more defect pixels than this is a defect pattern


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of pictures, rows float32 (m, d): picture i has the rows offsets[i] .. offsets[i + 1] - 1, at least one.

    defect  bool (m,), or None where nobody knows
    """

    rows: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    defect: np.ndarray | None = None

    @classmethod
    def of_maps(cls, maps, labels, defect=None):
        """Maps (n, h, w, d), masks (n, h, w)."""
        n, h, w, d = maps.shape
        rows = np.ascontiguousarray(maps.reshape(-1, d), dtype=np.float32)
        flat = None if defect is None else defect.reshape(-1)
        return cls(rows, np.arange(n + 1, dtype=np.int64) * (h * w), labels.astype(np.int64), flat)

    def __len__(self):
        return len(self.labels)

    def means(self):
        """Global features (n, d) float32: the mean-pooled map."""
        sums = np.add.reduceat(self.rows.astype(np.float64), self.offsets[:-1], axis=0)
        return (sums / np.diff(self.offsets)[:, None]).astype(np.float32)

    def owners(self):
        """The picture of every cell, (m,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def of(self, pictures):
        """Positions of all cells of these pictures."""
        return np.flatnonzero(np.isin(self.owners(), pictures))

    def first(self, n):
        """The first n pictures."""
        stop = self.offsets[n]
        defect = None if self.defect is None else self.defect[:stop]
        return Cells(self.rows[:stop], self.offsets[: n + 1], self.labels[:n], defect)


@dataclass(frozen=True, eq=False)
class Pool:
    """Pictures to pick from and pictures to measure on."""

    name: str
    title: str
    cells: Cells
    test: Cells
    budgets: tuple[int, ...]

    def patterns(self, k=None):
        """At most k patterns per picture as `embed --patterns` makes them (seed 0); every cell with None."""
        if k is None:
            return og.Patterns(self.cells.rows, self.cells.offsets)
        found = small_kmeans(self.cells.rows, self.cells.offsets, k, seed=0)
        return og.Patterns(found.patterns, found.offsets)

    def first(self, n, n_test, budgets):
        """A small part of it, for tests."""
        return replace(self, cells=self.cells.first(n), test=self.test.first(n_test), budgets=budgets)


def magnetic_tile(shared=SHARED):
    data = np.load(shared / "data" / "features" / "mt_dense7x7__mnv2.npz")
    parts = [
        Cells.of_maps(data[f"Z_{part}"], data[f"y_{part}"], data[f"maskfrac_{part}"] > DEFECT_SHARE)
        for part in ("train", "test")
    ]
    title = "Magnetic tiles with defects, MobileNetV2, 7 x 7 cells of 320"
    return Pool("mt_dense7x7", title, *parts, budgets=(6, 12, 30, 60))


def tiny100(shared=SHARED):
    data = np.load(shared / "data" / "features" / "tiny100_spatial4x4__mnv2.npz")
    scale, zero = np.float32(data["scale"]), np.float32(data["zero_point"])
    parts = [
        Cells.of_maps((data[f"Q_{part}"].astype(np.float32) - zero) * scale, data[f"y_{part}"])
        for part in ("train", "test")
    ]
    title = "Tiny-ImageNet, 100 classes, MobileNetV2, 4 x 4 cells of 320"
    return Pool("tiny100_spatial4x4", title, *parts, budgets=(60, 150, 300, 600))


def cifar10(shared=SHARED, most=None):
    """The CIFAR-10 pictures through the MobileNetV2 of ../shared/weights, every position of the map a cell.

    most  pictures per class and part, for tests
    """
    parts = [_through_mobilenet(shared, part, most) for part in ("train", "test")]
    title = "CIFAR-10, MobileNetV2 at 128 pixels, 4 x 4 cells of 1280"
    return Pool("cifar10_map4x4", title, *parts, budgets=(30, 60, 150, 300))


def _through_mobilenet(shared, part, most):
    from PIL import Image

    from oneglance.features import PatternSpec, extract_patterns

    pictures, labels = [], []
    for label, folder in enumerate(sorted((shared / "data" / "images" / "cifar10" / part).iterdir())):
        for path in sorted(folder.iterdir())[:most]:
            with Image.open(path) as picture:
                pictures.append(picture.convert("RGB"))
            labels.append(label)
    backbone = f"torchscript:{shared}/weights/mobilenet_v2_imagenet.pt?size=128&mean=0.5&std=0.5"
    found = extract_patterns(backbone, pictures, PatternSpec(n_patterns=16))  # as many as positions: none is merged
    return Cells(np.asarray(found.rows), found.offsets, np.array(labels))


POOLS = {"mt": magnetic_tile, "tiny100": tiny100, "cifar10": cifar10}
