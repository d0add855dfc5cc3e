"""One glance at an unlabelled pool says what to label, and how to make the most of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._build_info import build_info
    from ._types import Patterns, RowShards
    from .adapt import Heads, LabelPlan, fit_heads, load_heads, plan_labels
    from .auditing import Audit, audit
    from .cluster.activeft import ActiveFT, activeft
    from .cluster.bilaf import BiLAF, bilaf
    from .cluster.kmeans import KMeans, kmeans
    from .errors import BadData, InvalidInput, MissingDependency, OneglanceError, StoreError
    from .features import PatternSpec, embed
    from .finetuning import Finetuned, finetune, load_finetuned
    from .linalg import LeverageScores, LewisWeights, leverage_scores, lewis_weights
    from .masks import Cascade, MaskBank, SelfMask, adapt_cascade, adapt_masks, load_cascade, load_mask
    from .pipeline import PipelineRun, pipeline_status, run_pipeline
    from .pretraining import Pretrained, plan_pretrain, pretrain
    from .search import Farthest, KernelCoverage, WeightedDraw, farthest_points, kernel_coverage, weighted_draw
    from .search.nearest import Nearest, knn, nearest
    from .store import FeatureStore, open_store
    from .strategies import Selection, select

__version__ = "0.1.0"

__all__ = [
    "ActiveFT",
    "Audit",
    "BadData",
    "BiLAF",
    "Cascade",
    "Evaluation",
    "Farthest",
    "FeatureStore",
    "Finetuned",
    "Heads",
    "InvalidInput",
    "KMeans",
    "KernelCoverage",
    "LabelPlan",
    "LeverageScores",
    "LewisWeights",
    "MaskBank",
    "MissingDependency",
    "Nearest",
    "OneShot",
    "OneglanceError",
    "PatternSpec",
    "Patterns",
    "PipelineRun",
    "Pretrained",
    "RowShards",
    "Selection",
    "SelfMask",
    "StoreError",
    "WeightedDraw",
    "__version__",
    "activeft",
    "adapt_cascade",
    "adapt_masks",
    "audit",
    "bilaf",
    "build_info",
    "embed",
    "evaluate",
    "evaluate_one_shot",
    "farthest_points",
    "finetune",
    "fit_heads",
    "kernel_coverage",
    "kmeans",
    "knn",
    "leverage_scores",
    "lewis_weights",
    "load_cascade",
    "load_finetuned",
    "load_heads",
    "load_mask",
    "nearest",
    "open_store",
    "pipeline_status",
    "plan_labels",
    "plan_pretrain",
    "pretrain",
    "run_pipeline",
    "select",
    "weighted_draw",
]

# Imported at first use, so that `import oneglance` loads neither torch nor pyarrow.
_HOME = {
    **dict.fromkeys(("BadData", "InvalidInput", "MissingDependency", "OneglanceError", "StoreError"), "errors"),
    **dict.fromkeys(("LeverageScores", "LewisWeights", "leverage_scores", "lewis_weights"), "linalg"),
    **dict.fromkeys(("Audit", "audit"), "auditing"),
    **dict.fromkeys(("ActiveFT", "BiLAF", "KMeans", "activeft", "bilaf", "kmeans"), "cluster"),
    **dict.fromkeys(
        (
            "Farthest",
            "KernelCoverage",
            "Nearest",
            "WeightedDraw",
            "farthest_points",
            "kernel_coverage",
            "knn",
            "nearest",
            "weighted_draw",
        ),
        "search",
    ),
    **dict.fromkeys(("Heads", "LabelPlan", "fit_heads", "load_heads", "plan_labels"), "adapt"),
    **dict.fromkeys(("Evaluation", "OneShot", "evaluate", "evaluate_one_shot"), "evaluation"),
    **dict.fromkeys(
        ("Cascade", "MaskBank", "SelfMask", "adapt_cascade", "adapt_masks", "load_cascade", "load_mask"), "masks"
    ),
    **dict.fromkeys(("PipelineRun", "pipeline_status", "run_pipeline"), "pipeline"),
    **dict.fromkeys(("FeatureStore", "open_store"), "store"),
    **dict.fromkeys(("Pretrained", "plan_pretrain", "pretrain"), "pretraining"),
    **dict.fromkeys(("Selection", "select"), "strategies"),
    **dict.fromkeys(("Patterns", "RowShards"), "_types"),
    "build_info": "_build_info",
    **dict.fromkeys(("PatternSpec", "embed"), "features"),
    **dict.fromkeys(("Finetuned", "finetune", "load_finetuned"), "finetuning"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'oneglance' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
