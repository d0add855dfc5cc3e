"""Strategies by name. A strategy is a function (Request, **parameters) -> Picks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidInput
from .lewis import lewis
from .request import Picks
from .uniform import uniform

STRATEGIES: dict[str, Callable[..., Picks]] = {"lewis": lewis, "random": uniform}


def strategy_names() -> tuple[str, ...]:
    """Names that select(strategy=...) takes."""
    return tuple(STRATEGIES)


def resolve(strategy: str, params: Mapping[str, Any]) -> tuple[Callable[..., Picks], dict[str, Any]]:
    """The strategy's function and all its parameters, defaults filled in. Raises InvalidInput."""
    if strategy not in STRATEGIES:
        raise InvalidInput(f"strategy must be one of {list(STRATEGIES)}, got {strategy!r}.")
    function = STRATEGIES[strategy]
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    unknown = [name for name in params if name not in known]
    if unknown:
        takes = f"takes {', '.join(known)}" if known else "takes no parameters"
        raise InvalidInput(f'strategy "{strategy}" does not know {", ".join(unknown)}; it {takes}.')
    return function, {**known, **params}
