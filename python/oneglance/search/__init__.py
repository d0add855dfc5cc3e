"""Distances between rows: nearest rows, farthest points, weighted draws, kernel coverage."""

from .cover import Cover
from .draw import WeightedDraw, weighted_draw
from .farthest import Farthest, farthest_points
from .kernel import KernelCoverage, kernel_coverage
from .nearest import Nearest, knn, nearest

__all__ = [
    "Cover",
    "Farthest",
    "KernelCoverage",
    "Nearest",
    "WeightedDraw",
    "farthest_points",
    "kernel_coverage",
    "knn",
    "nearest",
    "weighted_draw",
]
