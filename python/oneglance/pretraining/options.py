"""Options of a method, as Python or the command line gives them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInput

_YES, _NO = ("true", "yes", "1", "on"), ("false", "no", "0", "off")


def choose_options(method: str, known: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` without what is None. Raises InvalidInput naming an unknown option and the known ones."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InvalidInput(f"method {method!r} has no option {name!r}; it has {', '.join(known) or 'none'}.{hint}")
    return {name: value for name, value in given.items() if value is not None}


def as_flag(value: Any, name: str) -> bool:
    """A truth value, also as the words yes and no."""
    word = str(value).lower()
    if word not in (*_YES, *_NO):
        raise InvalidInput(f"{name} must be true or false, got {value!r}.")
    return word in _YES


def as_number(value: Any, name: str, *, low: float = 0.0, low_ok: bool = False, high: float = float("inf")) -> float:
    """A finite number above low (or at it), and not above high."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must be a number, got {value!r}.") from None
    if not (low < number or (low_ok and number == low)) or number > high or number in (float("inf"), float("-inf")):
        top = "" if high == float("inf") else f" and <= {high:g}"
        raise InvalidInput(f"{name} must be {'>=' if low_ok else '>'} {low:g}{top}, got {value!r}.")
    return number


def as_share(value: Any, name: str) -> float:
    """A number in (0, 1)."""
    number = as_number(value, name)
    if number >= 1:
        raise InvalidInput(f"{name} must lie between 0 and 1, got {value!r}.")
    return number


def as_count(value: Any, name: str, *, least: int = 1) -> int:
    """An integer >= least."""
    try:
        number = int(value)
        whole = float(value) == number and not isinstance(value, bool)
    except (TypeError, ValueError):
        number, whole = 0, False
    if not whole or number < least:
        raise InvalidInput(f"{name} must be an integer >= {least}, got {value!r}.")
    return number
