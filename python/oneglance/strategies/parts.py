"""The budget divided: over strata, in items or in money."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, Float64Array, IntArray
from ..errors import InvalidInput
from .budget import allocate
from .columns import column, texts
from .pool import Pool
from .request import Part
from .rounds import n_payable

NO_STRATUM = "(none)"


def read_strata(pool: Pool, strata: Any) -> npt.NDArray[np.object_] | None:
    """(n_items,) the stratum of every item as a string; None without strata. Raises InvalidInput."""
    if strata is None:
        return None
    names = [NO_STRATUM if name is None else name for name in texts(column(pool, strata, "strata", "stratum"))]
    return np.array([*names, None], dtype=object)[:-1]


def divided(
    candidates: BoolArray,
    names: npt.NDArray[np.object_] | None,
    budget: int,
    quotas: Mapping[str, int] | None,
    labelled: IntArray,
) -> tuple[Part, ...]:
    """Every stratum with its number of picks, those without any included. Raises InvalidInput."""
    rows = np.flatnonzero(candidates).astype(np.int64)
    if names is None:
        if quotas:
            raise InvalidInput("quotas need strata=: say which stratum each item belongs to.")
        return (Part("", rows, budget, labelled),)
    by_stratum = _by_stratum(rows, names)
    counts = allocate(budget, {name: value.size for name, value in by_stratum.items()}, quotas)
    return tuple(
        Part(name, value, counts[name], labelled[names[labelled] == name]) for name, value in by_stratum.items()
    )


def divided_money(
    candidates: BoolArray,
    names: npt.NDArray[np.object_] | None,
    money: float,
    costs: Float64Array,
    quotas: Mapping[str, int] | None,
    labelled: IntArray,
) -> tuple[Part, ...]:
    """Every stratum with money in proportion to what all its items cost, and the most picks that it pays.

    Raises InvalidInput where that is none at all.
    """
    if quotas:
        raise InvalidInput("quotas are counts of picks, and with costs= the budget is money. Leave one of them out.")
    rows = np.flatnonzero(candidates).astype(np.int64)
    if names is None:
        return (Part("", rows, n_payable(costs[rows], money), labelled, money),)
    total = math.fsum(costs[rows])
    parts = []
    for name, value in _by_stratum(rows, names).items():
        price = math.fsum(costs[value])
        share = money * (price / total)
        if money >= total:  # rounding must not leave out an item where all are paid for
            share = max(share, price)
        here = labelled[names[labelled] == name]
        parts.append(Part(name, value, n_payable(costs[value], share), here, share))
    if not any(part.count for part in parts):
        raise InvalidInput(
            f"budget pays {money:g}; divided over {len(parts)} strata it pays no item of any. Raise it, or use fewer."
        )
    return tuple(parts)


def warn_of_strata_without_picks(parts: Sequence[Part], quotas: Mapping[str, int]) -> None:
    asked = {str(name) for name in quotas}
    without = [part.name for part in parts if not part.count and part.name not in asked]
    if without:
        shown = ", ".join(map(repr, without[:5])) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
        warnings.warn(
            f"{len(without)} of {len(parts)} strata get no pick, because the budget is too small: {shown}. The "
            "weights speak for the other strata only. Raise the budget, or use fewer strata.",
            UserWarning,
            stacklevel=4,
        )


def _by_stratum(rows: IntArray, names: npt.NDArray[np.object_]) -> dict[str, IntArray]:
    members, inverse = np.unique(names[rows].astype(str), return_inverse=True)
    return {str(name): rows[inverse == index] for index, name in enumerate(members)}
