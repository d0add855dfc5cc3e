"""k-means of a pool, and of every image's own points; parameters that take the pool's distribution."""

from .activeft import ActiveFT, activeft
from .kmeans import KMeans, kmeans
from .small import SmallKMeans, small_kmeans

__all__ = ["ActiveFT", "KMeans", "SmallKMeans", "activeft", "kmeans", "small_kmeans"]
