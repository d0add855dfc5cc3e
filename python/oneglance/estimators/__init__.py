"""Selectors in the manner of scikit-learn: fit(X), then selected_idx_ and get_support(). Needs scikit-learn."""

from __future__ import annotations

from ..errors import MissingDependency

try:
    import sklearn  # noqa: F401
except ImportError:
    raise MissingDependency(
        "oneglance.estimators needs scikit-learn: pip install 'oneglance[sklearn]'. "
        "The functions (oneglance.farthest_points, kmeans, weighted_draw, select) work without."
    ) from None

from .selectors import FarthestSelector, KMeansSelector, StrategySelector, WeightedDrawSelector

__all__ = ["FarthestSelector", "KMeansSelector", "StrategySelector", "WeightedDrawSelector"]
