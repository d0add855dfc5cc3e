"""Distances between rows: nearest rows, farthest points, weighted draws."""

from .cover import Cover
from .draw import WeightedDraw, weighted_draw
from .farthest import Farthest, farthest_points
from .nearest import Nearest, knn, nearest

__all__ = ["Cover", "Farthest", "Nearest", "WeightedDraw", "farthest_points", "knn", "nearest", "weighted_draw"]
