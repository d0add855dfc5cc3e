"""One glance at an unlabelled pool says what to label, and how to make the most of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> module. Each is imported at first use: `import oneglance` loads neither torch nor pyarrow.
_HOME = {
    "BadData": "errors",
    "FeatureStore": "store",
    "InvalidInput": "errors",
    "LewisWeights": "linalg",
    "MissingDependency": "errors",
    "OneglanceError": "errors",
    "RowShards": "_types",
    "Selection": "select",
    "StoreError": "errors",
    "build_info": "build_info",
    "embed": "features",
    "leverage_scores": "linalg",
    "lewis_weights": "linalg",
    "open_store": "store",
    "select": "select",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604
