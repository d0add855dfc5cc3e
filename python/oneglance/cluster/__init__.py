"""k-means of a pool, and of every image's own points."""

from .kmeans import KMeans, kmeans
from .small import SmallKMeans, small_kmeans

__all__ = ["KMeans", "SmallKMeans", "kmeans", "small_kmeans"]
