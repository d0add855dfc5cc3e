"""Self-supervised pretraining: unlabelled pictures in, a backbone for `embed` out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependency

if TYPE_CHECKING:
    from .methods import METHODS
    from .objective import Batch, Facts, Method, Objective, Recipe, Stage
    from .plan import PretrainPlan, plan_pretrain
    from .pretrain import pretrain
    from .result import Pretrained

__all__ = [
    "METHODS",
    "Batch",
    "Facts",
    "Method",
    "Objective",
    "PretrainPlan",
    "Pretrained",
    "Recipe",
    "Stage",
    "plan_pretrain",
    "pretrain",
]

# Loaded at first use: the command line looks here without torch.
_HOME = {
    "METHODS": "methods",
    **dict.fromkeys(("Batch", "Facts", "Method", "Objective", "Recipe", "Stage"), "objective"),
    **dict.fromkeys(("PretrainPlan", "plan_pretrain"), "plan"),
    "Pretrained": "result",  # not beside the function: importing it would put the module in the function's place
    "pretrain": "pretrain",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'oneglance.pretraining' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependency(f'oneglance.pretraining.{name} needs torch: pip install "oneglance[torch]"') from None
    globals()[name] = value
    return value
