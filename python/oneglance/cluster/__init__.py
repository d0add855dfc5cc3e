"""k-means of a pool, and of every image's own points; parameters that take the pool's distribution."""

from .activeft import ActiveFT, activeft
from .bilaf import BiLAF, bilaf
from .kmeans import KMeans, kmeans
from .small import SmallKMeans, small_kmeans

__all__ = ["ActiveFT", "BiLAF", "KMeans", "SmallKMeans", "activeft", "bilaf", "kmeans", "small_kmeans"]
