"""Strategies that take part in an evaluation: what they are called, how they are run, what they promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..errors import InvalidInput
from ..strategies import strategy_names
from ..strategies.registry import STRATEGIES, resolve

BASELINE = "random"


@dataclass(frozen=True, slots=True, eq=False)
class Entrant:
    """One competitor.

    name         what tables call it
    strategy     of the registry, with all parameters in `params`; None for a function
    pick         instead: (features {backbone: (n, d)}, budget, seed) -> Picks or positions
    use_weights  the strategy's weights go into the heads' loss
    seeded, in_order, several   what `oneglance.strategies.registry.Strategy` calls chance, nested, several; a function
                 is taken to depend on the seed, to choose anew for every budget, and gets all backbones
    """

    name: str
    strategy: str | None
    params: Mapping[str, Any]
    pick: Callable[..., Any] | None = None
    use_weights: bool = False
    seeded: bool = True
    in_order: bool = False
    several: bool = False

    @property
    def identity(self) -> str:
        """What it does, as text; a function is known by its name alone."""
        return repr((self.strategy, sorted(self.params.items()), self.use_weights))


def as_entrants(strategies: Any, also: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> list[Entrant]:
    """Entrants, the baseline first and always.

    strategies  None or "all" (every registered one); names; texts such as "kmeans:metric=cosine" (":" between
                parameters; use_weights=true puts its weights into the loss); or {name: text, (strategy,
                {parameter: value}), or function}
    also        further names that are no registered strategy, with the defaults of their parameters
    """
    if strategies is None or (isinstance(strategies, str) and strategies == "all"):
        strategies = list(strategy_names())
    if isinstance(strategies, str):
        strategies = [strategies]
    if isinstance(strategies, Mapping):
        found = [_named(str(name), value, also) for name, value in strategies.items()]
    elif isinstance(strategies, Sequence):
        found = [_named(_name_of(value), value, also) for value in strategies]
    else:
        raise InvalidInput(
            f'strategies must be names like ["kmeans", "lewis"] or {{name: function}}, got {strategies!r:.60}.'
        )
    if not any(entrant.name == BASELINE for entrant in found):
        found.insert(0, _named(BASELINE, BASELINE))
    for entrant in found:
        if entrant.name == BASELINE and entrant.strategy != BASELINE:
            raise InvalidInput(f'"{BASELINE}" is the baseline, the strategy of that name. Call yours otherwise.')
    names = [entrant.name for entrant in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"strategies must have different names, got {twice!r} twice.")
    return sorted(found, key=lambda entrant: entrant.name != BASELINE)


def _name_of(value: Any) -> str:
    return value if isinstance(value, str) else str(getattr(value, "__name__", "?"))


def _named(name: str, value: Any, also: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> Entrant:
    if callable(value):
        return Entrant(name, None, {}, value)
    if isinstance(value, str):
        strategy, _, rest = value.partition(":")
        params = _parameters(value, rest)
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
        strategy, params = str(value[0]), dict(value[1])
    else:
        raise InvalidInput(
            f"strategies: {name!r} must be a strategy's name, (name, {{parameter: value}}) or a function, "
            f"got {value!r:.60}."
        )
    strategy = strategy.strip()
    use_weights = params.pop("use_weights", False)
    if not isinstance(use_weights, bool):
        raise InvalidInput(f"strategies: use_weights must be true or false, got {use_weights!r} for {name!r}.")
    if strategy in also:
        unknown = sorted(set(params) - set(also[strategy]))
        if unknown or use_weights:
            takes = ", ".join(also[strategy]) or "no parameters"
            raise InvalidInput(f"strategies: {strategy!r} takes {takes}, got {', '.join(unknown) or 'use_weights'}.")
        return Entrant(name, strategy, {**also[strategy], **params}, several=True)
    _, params = resolve(strategy, params)
    promises = STRATEGIES[strategy]
    return Entrant(name, strategy, params, None, use_weights, promises.chance, promises.nested, promises.several)


def _parameters(whole: str, rest: str) -> dict[str, Any]:
    """ "a=1:b=single:vit" as {"a": 1, "b": "single:vit"}: a part without "=" belongs to the value before it."""
    parts: list[str] = []
    for part in rest.split(":") if rest else []:
        if parts and "=" not in part:
            parts[-1] += f":{part}"
        else:
            parts.append(part)
    params = {}
    for part in parts:
        key, equals, text = part.partition("=")
        if not equals or not key:
            raise InvalidInput(f"strategies: {whole!r} must read strategy:parameter=value, got {part!r}.")
        params[key.strip().replace("-", "_")] = literal(text.strip())
    return params


def literal(text: str) -> Any:
    """A parameter of a command line: true, false, none, a number where it is one, else the text."""
    lowered = text.lower()
    if lowered in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[lowered]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
