"""Strategies by name, with what each promises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput
from .activeft import activeft
from .auto import auto
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


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy and what it promises, which tests/contract/test_strategies.py holds it to.

    run      (Request, **parameters) -> Picks
    several  takes several backbones as they are; the others work with one
    nested   without strata, the picks of a budget are the first of a larger one's
    chance   the seed matters; otherwise a pool has one answer
    """

    run: Callable[..., Picks]
    several: bool = False
    nested: bool = False
    chance: bool = True


STRATEGIES: dict[str, Strategy] = {
    "auto": Strategy(auto, several=True, chance=False),
    "lewis": Strategy(lewis, several=True),
    "freesel": Strategy(freesel, nested=True),
    "farthest": Strategy(farthest, nested=True, chance=False),
    "kmeans": Strategy(kmeans),
    "typiclust": Strategy(typiclust),
    "probcover": Strategy(probcover, chance=False),
    "herding": Strategy(herding, chance=False),
    "facility": Strategy(facility, nested=True, chance=False),
    "hierarchical": Strategy(hierarchical),
    "prototypes": Strategy(prototypes),
    "kernel": Strategy(kernel, several=True, nested=True, chance=False),
    "activeft": Strategy(activeft),
    "bilaf": Strategy(bilaf),
    "random": Strategy(uniform, several=True),
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
        for name, parameter in inspect.signature(STRATEGIES[strategy].run).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def resolve(strategy: str, params: Mapping[str, Any]) -> tuple[Callable[..., Picks], dict[str, Any]]:
    """The strategy's function and all its parameters, defaults filled in. Raises InvalidInput."""
    known = parameters(strategy)
    unknown = [name for name in params if name not in known]
    if unknown:
        takes = f"takes {', '.join(known)}" if known else "takes no parameters"
        raise InvalidInput(f'strategy "{strategy}" does not know {", ".join(unknown)}; it {takes}.')
    return STRATEGIES[strategy].run, {**known, **params}
