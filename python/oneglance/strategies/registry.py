"""Strategies by name. A strategy is a function (Request, **parameters) -> Picks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidInput
from .activeft import activeft
from .bilaf import bilaf
from .facility import facility
from .farthest import farthest
from .freesel import freesel
from .herding import herding
from .hierarchical import hierarchical
from .kernel import kernel
from .kmeans import kmeans
from .lewis import lewis
from .probcover import probcover
from .prototypes import prototypes
from .request import Picks
from .typiclust import typiclust
from .uniform import uniform

STRATEGIES: dict[str, Callable[..., Picks]] = {
    "lewis": lewis,
    "freesel": freesel,
    "farthest": farthest,
    "kmeans": kmeans,
    "typiclust": typiclust,
    "probcover": probcover,
    "herding": herding,
    "facility": facility,
    "hierarchical": hierarchical,
    "prototypes": prototypes,
    "kernel": kernel,
    "activeft": activeft,
    "bilaf": bilaf,
    "random": uniform,
}


def strategy_names() -> tuple[str, ...]:
    """Names that select(strategy=...) takes."""
    return tuple(STRATEGIES)


def parameters(strategy: str) -> dict[str, Any]:
    """Names and defaults of a strategy's own parameters. Raises InvalidInput for an unknown strategy."""
    if strategy not in STRATEGIES:
        raise InvalidInput(f"strategy must be one of {list(STRATEGIES)}, got {strategy!r}.")
    return {
        name: parameter.default
        for name, parameter in inspect.signature(STRATEGIES[strategy]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def resolve(strategy: str, params: Mapping[str, Any]) -> tuple[Callable[..., Picks], dict[str, Any]]:
    """The strategy's function and all its parameters, defaults filled in. Raises InvalidInput."""
    known = parameters(strategy)
    unknown = [name for name in params if name not in known]
    if unknown:
        takes = f"takes {', '.join(known)}" if known else "takes no parameters"
        raise InvalidInput(f'strategy "{strategy}" does not know {", ".join(unknown)}; it {takes}.')
    return STRATEGIES[strategy], {**known, **params}
