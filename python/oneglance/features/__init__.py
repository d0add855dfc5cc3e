"""Features of pictures from frozen torch networks, and the store they go into."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .embedding import embed
from .pattern_spec import PatternHooks, PatternSpec
from .plan import EmbedPlan, plan_embed
from .preprocess import Preprocess
from .progress import PlainProgress, Progress

if TYPE_CHECKING:
    from .backbones import Backbone
    from .extraction import extract
    from .patterns import extract_patterns

__all__ = [
    "Backbone",
    "EmbedPlan",
    "PatternHooks",
    "PatternSpec",
    "PlainProgress",
    "Preprocess",
    "Progress",
    "embed",
    "extract",
    "extract_patterns",
    "plan_embed",
]

# Loaded at first use: ready vectors need no torch.
_TORCH = {"Backbone": "backbones", "extract": "extraction", "extract_patterns": "patterns"}


def __getattr__(name: str) -> Any:
    if name not in _TORCH:
        raise AttributeError(f"module 'oneglance.features' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_TORCH[name]}", __name__), name)
    globals()[name] = value
    return value
