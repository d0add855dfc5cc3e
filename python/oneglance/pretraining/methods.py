"""The methods by name."""

from __future__ import annotations

import difflib

from ..errors import InvalidInput
from . import contrastive, mae, mae_ct, nnclr, swav
from .objective import Method

METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in (mae, swav, contrastive, nnclr, mae_ct)}


def choose_method(name: str) -> Method:
    """Raises InvalidInput listing the methods."""
    if name not in METHODS:
        close = difflib.get_close_matches(str(name), METHODS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(f"method must be one of {', '.join(METHODS)}, got {name!r}.{hint}")
    return METHODS[name]
