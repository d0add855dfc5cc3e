"""Ways to adapt, by the name that [adapt] method gives. A new one is a file with a function (Context, Pool, Known) ->
Adapted, a line here, and its name in schema.METHODS."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from .base import Adapted, Known, Method

_MODULES = {"heads": "heads", "masks": "masks", "finetune": "finetune"}

__all__ = ["Adapted", "Known", "Method", "method_of"]


def method_of(name: str) -> Method:
    """The function; imported here, since some need torch."""
    return cast(Method, import_module(f".{_MODULES[name]}", __name__).adapt)
