"""BiLAF's work inside its classes on the device: csrc/cuda/bilaf.h."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import Float64Array, IntArray
from .memory import named_memory
from .metric_rows import MetricRows

_LESS = "Free some of it, or pass X as an array of the CPU."
_BLOCKS_PER_PROCESSOR = 4


@dataclass(frozen=True, eq=False)
class Classes:
    """Class i owns members[offsets[i]:offsets[i + 1]], ascending, with its core in cores[i]; all on the host."""

    members: IntArray
    offsets: IntArray
    cores: IntArray

    @property
    def sizes(self) -> IntArray:
        sizes: IntArray = np.diff(self.offsets)
        return sizes


class _OnDevice:
    """The classes where the rows are. Used inside the library's guard."""

    def __init__(self, rows: MetricRows, classes: Classes) -> None:
        self.library, self.device, self.rows = rows.library, rows.device, rows
        by_size = np.argsort(-classes.sizes, kind="stable").astype(np.int64)
        names = ("members", "offsets", "cores", "by_size")
        arrays = (classes.members, classes.offsets, classes.cores, by_size)
        self.arrays = {name: self.put(array) for name, array in zip(names, arrays, strict=True)}
        self.kernel = self.library.kernels.DeviceClasses(
            *rows.rows.args,
            scale=0 if rows.scale is None else self.library.address(rows.scale),
            n_classes=classes.cores.size,
            **{name: self.library.address(array) for name, array in self.arrays.items()},
        )

    def put(self, array: npt.NDArray[Any]) -> Any:
        return self.library.from_host(np.ascontiguousarray(array), self.device)

    def empty(self, size: int, dtype: str) -> Any:
        return self.library.empty(max(1, size), dtype, self.device)

    def addresses(self, arrays: dict[str, Any]) -> dict[str, int]:
        return {name: self.library.address(array) for name, array in arrays.items()}


def denoise(
    rows: MetricRows, classes: Classes, n_neighbors: int, growth: float, removal: float
) -> tuple[IntArray, Float64Array]:
    """(order, mean distances), per member on the host, as the core's denoise: the same bits."""
    library, n = rows.library, classes.members.size
    width = max(1, min(n_neighbors, int(classes.sizes.max(initial=1))))
    needed = 8 * n * (width + 6)
    with library.guard(rows.device), named_memory(library, rows.device, "denoising of classes", needed, _LESS):
        there = _OnDevice(rows, classes)
        arrays = {name: there.empty(n, "int64") for name in ("order", "waiting", "kept")}
        arrays |= {name: there.empty(n, "float64") for name in ("mean_distance", "density")}
        arrays["nearest"] = there.empty(n * width, "float64")
        library.kernels.bilaf_denoise(
            there.kernel,
            n_neighbors=n_neighbors,
            width=width,
            growth=growth,
            removal=removal,
            stream=library.stream(rows.device),
            **there.addresses(arrays),
        )
        return library.to_host(arrays["order"])[:n], library.to_host(arrays["mean_distance"])[:n]


def boundary_picks(
    rows: MetricRows,
    classes: Classes,
    near_core: IntArray,
    near_distance: Float64Array,
    mean_distance: Float64Array,
    budget: IntArray,
    penalty: float,
) -> tuple[IntArray, Float64Array, IntArray]:
    """(rows, scores, opponents) of all picks on the host, as the core's boundary_picks: the same bits.

    near_core, near_distance  (members, q)
    """
    library, n, n_picks = rows.library, classes.members.size, int(budget.sum())
    n_blocks = min(classes.cores.size, int(library.card(rows.device)["n_processors"]) * _BLOCKS_PER_PROCESSOR)
    needed = 8 * (n * (2 * near_core.shape[1] + 8) + 3 * n_picks + n_blocks * classes.cores.size)
    with library.guard(rows.device), named_memory(library, rows.device, "picks inside classes", needed, _LESS):
        there = _OnDevice(rows, classes)
        starts = (np.cumsum(budget) - budget).astype(np.int64)
        given = {
            "near_core": near_core,
            "near_distance": near_distance,
            "mean_distance": mean_distance,
            "budget": budget.astype(np.int64),
            "starts": starts,
        }
        arrays = {name: there.put(array) if array.size else there.empty(1, "int64") for name, array in given.items()}
        arrays |= {name: there.empty(n, "float64") for name in ("least", "distance")}
        arrays |= {name: there.empty(n, "int64") for name in ("left", "exact")}
        arrays |= {"rows": there.empty(n_picks, "int64"), "opponent": there.empty(n_picks, "int64")}
        arrays |= {"scores": there.empty(n_picks, "float64")}
        arrays["power"] = there.empty(n_blocks * classes.cores.size, "float64")
        library.kernels.bilaf_boundary(
            there.kernel,
            n_near=near_core.shape[1],
            penalty=penalty,
            n_blocks=n_blocks,
            stream=library.stream(rows.device),
            **there.addresses(arrays),
        )
        found = (library.to_host(arrays[name])[:n_picks] for name in ("rows", "scores", "opponent"))
        picked, scores, opponent = found
    return picked, scores, opponent
