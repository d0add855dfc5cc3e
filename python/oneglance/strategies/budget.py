"""How many picks, and how many of them from each stratum."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._check import positive_number
from .._types import Float64Array
from ..errors import InvalidInput

_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*%\s*")


def parse_budget(budget: Any, n_available: int, gone: str = "") -> int:
    """Number of picks: an integer, or a percentage of the available items as a string, "2%".

    A percentage is rounded to the nearest item, and up to 1. `gone` says what is not available and why.
    Raises InvalidInput for 0, more than available, more than 100 %, and fractions given as floats.
    """
    available = f"{n_available} item{'s are' if n_available != 1 else ' is'} available{gone}"
    if isinstance(budget, str):
        text = budget
        percent = _PERCENT.fullmatch(text)
        if percent:
            share = float(percent[1])
            if not 0 < share <= 100:
                raise InvalidInput(f"budget must be above 0% and at most 100%, got {text.strip()}; {available}.")
            return _within(max(1, math.floor(n_available * share / 100 + 0.5)), available, n_available)
        if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", text):
            raise InvalidInput(f'budget must be a count like 500 or a percentage like "2%", got {text!r}.')
        budget = int(text)
    if isinstance(budget, (float, np.floating)):
        cure = f'"{100 * budget:g}%"' if 0 < budget <= 1 else f"{budget:.0f}" if math.isfinite(budget) else "500"
        raise InvalidInput(f"budget must be a whole number or a percentage, got {budget!r}. Write {cure}.")
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)):
        raise InvalidInput(f'budget must be a count like 500 or a percentage like "2%", got {budget!r}.')
    return _within(int(budget), available, n_available)


def _within(count: int, available: str, n_available: int) -> int:
    if n_available == 0:
        raise InvalidInput(f"budget is {count}, but {available}. Label fewer, exclude fewer, or add items.")
    if count < 1:
        raise InvalidInput(f"budget must be at least 1, got {count}; {available}.")
    if count > n_available:
        raise InvalidInput(f"budget is {count}, but only {available}. Ask for at most {n_available}.")
    return count


def parse_money(budget: Any, costs: Float64Array, gone: str = "") -> float:
    """What picks may cost together: a number, or a percentage of what all available items cost, "5%".

    costs  of the available items
    Raises InvalidInput for what is no number, and for money that does not pay the cheapest item.
    """
    n_available = f"{costs.size} item{'s are' if costs.size != 1 else ' is'} available{gone}"
    if not costs.size:
        raise InvalidInput(f"budget is {budget}, but {n_available}. Label fewer, exclude fewer, or add items.")
    total = math.fsum(costs)
    percent = _PERCENT.fullmatch(budget) if isinstance(budget, str) else None
    if percent:
        money = total if float(percent[1]) == 100 else total * float(percent[1]) / 100
    else:
        money = positive_number(budget, "budget")
    if percent and not 0 < float(percent[1]) <= 100:
        raise InvalidInput(f"budget must be above 0% and at most 100% of the total cost {total:g}, got {budget!r}.")
    if money < costs.min():
        raise InvalidInput(
            f"budget pays {money:g}, and the cheapest item costs {costs.min():g}; {n_available} for {total:g} in all. "
            "With costs= the budget is money in their unit. Raise it."
        )
    return money


def allocate(budget: int, sizes: Mapping[str, int], quotas: Mapping[str, int] | None = None) -> dict[str, int]:
    """Picks per stratum: quotas first, the rest in proportion to size (largest remainder).

    sizes   available items per stratum, all >= 1
    quotas  fixed counts for some strata, which are called by what they are as text: 0 is "0"

    Strata without a quota get at least one pick each while the budget allows, and never more than their
    size; what is left goes to the largest remainders, ties to the stratum named first. Raises InvalidInput
    for quotas of unknown strata, above a stratum's size, or that do not fit the budget.
    """
    if not isinstance(quotas or {}, Mapping):
        raise InvalidInput(f'quotas must be {{stratum: count}} such as {{"night": 100}}, got {quotas!r}.')
    fixed = {str(name): count for name, count in (quotas or {}).items()}
    for name, count in fixed.items():
        if name not in sizes:
            raise InvalidInput(
                f"quotas name the stratum {name!r}; available are {sorted(sizes)[:10]}. Use these names."
            )
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            raise InvalidInput(f"quotas[{name!r}] must be an integer >= 0, got {count!r}.")
        if count > sizes[name]:
            raise InvalidInput(
                f"quotas ask for {count} items of stratum {name!r}, which has {sizes[name]} available. Ask for fewer."
            )
    left = budget - sum(fixed.values())
    free = {name: size for name, size in sizes.items() if name not in fixed}
    if left < 0 or (left > 0 and left > sum(free.values())):
        raise InvalidInput(
            f"quotas fix {sum(fixed.values())} picks, the budget is {budget}, and strata without a quota "
            f"have {sum(free.values())} items. Change the budget or the quotas."
        )
    shares = _largest_remainder(left, free)
    return {name: int(fixed[name]) if name in fixed else shares[name] for name in sizes}


def _largest_remainder(budget: int, sizes: dict[str, int]) -> dict[str, int]:
    counts = dict.fromkeys(sizes, 0)
    open_ = dict(sizes)
    if budget >= len(sizes):
        # A stratum whose share is below one pick gets one; the rest is shared again among the others.
        while small := [name for name, size in open_.items() if budget * size < sum(open_.values())]:
            for name in small:
                counts[name] = 1
                del open_[name]
            budget -= len(small)
    total = sum(open_.values())
    for name, size in open_.items():
        counts[name] = budget * size // total
    left = budget - sum(counts[name] for name in open_)
    for name in sorted(open_, key=lambda n: -(budget * open_[n] % total))[:left]:
        counts[name] += 1
    return counts
