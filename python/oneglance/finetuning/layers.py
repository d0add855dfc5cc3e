"""Layers of a network from its parameters' names, and the learning rate of each."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BLOCK = re.compile(r"(^|[._])\d+(?=\.|$)")
_WITHIN = re.compile(r"\.\d+(?=\.)")
_ADAPTER = re.compile(r"^base_model\.model\.")


def layer_numbers(names: Sequence[str]) -> list[int]:
    """The layer 0 .. L - 1 of each parameter, in the order in which the names are given.

    A layer is a numbered block ("blocks.3", "layer2.0", "features.1.0", "encoder_layer_4"); what comes before the first
    block is layer 0 of its own, what comes between and after blocks belongs to the block before it. A network without
    numbered blocks is one layer. peft's prefix is looked through.
    """
    found: dict[str, int] = {}
    numbers: list[int] = []
    last = 0
    for name in names:
        block = block_of(_ADAPTER.sub("", name))
        if block is not None:
            if block not in found:
                found[block] = max([*found.values(), *numbers], default=-1) + 1
            last = found[block]
        numbers.append(last)
    return numbers


def block_of(name: str) -> str | None:
    """The numbered block that a parameter is in: up to its first number, and the next one if it follows at once."""
    first = _BLOCK.search(name)
    if first is None:
        return None
    second = _WITHIN.match(name, first.end())
    return name[: second.end() if second else first.end()]


def layer_factors(numbers: Sequence[int], decay: float) -> list[float]:
    """The learning rate of each parameter as a share of the head's: `decay` for the last layer, its square for the
    one before, and so on. Source: layer-wise decay as in BEiT, arXiv 2106.08254."""
    n_layers = max(numbers, default=-1) + 1
    return [decay ** (n_layers - number) for number in numbers]
