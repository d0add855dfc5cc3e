"""Transfer with few labels: fine-tuning recipes, each compared with the plain probe on labels it did not see."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependency

if TYPE_CHECKING:
    from .finetune import finetune
    from .folder import load_finetuned
    from .judging import Score
    from .plan import plan_finetune
    from .recipes import choose_recipes
    from .result import Finetuned
    from .settings import Tuning, choose_tuning

__all__ = [
    "Finetuned",
    "Score",
    "Tuning",
    "choose_recipes",
    "choose_tuning",
    "finetune",
    "load_finetuned",
    "plan_finetune",
]

_HOME = {
    "Finetuned": "result",
    "Score": "judging",
    "Tuning": "settings",
    "choose_recipes": "recipes",
    "choose_tuning": "settings",
    "finetune": "finetune",
    "load_finetuned": "folder",
    "plan_finetune": "plan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'oneglance.finetuning' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependency(f'oneglance.finetuning.{name} needs torch: pip install "oneglance[torch]"') from None
    globals()[name] = value
    return value
