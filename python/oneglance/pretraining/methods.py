"""The methods by name."""

from __future__ import annotations

import difflib

from ..errors import InvalidInput
from . import mae, swav
from .objective import Method, Stage

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("mae", (Stage("mae", 1.0, mae.build),), mae.OPTIONS, needs_patches=True),
        Method("swav", (Stage("swav", 1.0, swav.build),), swav.OPTIONS),
    )
}


def choose_method(name: str) -> Method:
    """Raises InvalidInput listing the methods."""
    if name not in METHODS:
        close = difflib.get_close_matches(str(name), METHODS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(f"method must be one of {', '.join(METHODS)}, got {name!r}.{hint}")
    return METHODS[name]
