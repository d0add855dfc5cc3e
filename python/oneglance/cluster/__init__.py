"""k-means of a pool, and of every image's own points."""

from .small import SmallKMeans, small_kmeans

__all__ = ["SmallKMeans", "small_kmeans"]
