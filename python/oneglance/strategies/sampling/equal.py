"""Simple random sampling without replacement: the baseline every strategy has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._check import positive_int, seed_int
from ..._rng import Purpose, uniforms
from ..._types import IntArray
from ...errors import InvalidInput
from .sample import Sample


def equal(rows: Any, budget: int, *, seed: int = 0) -> Sample:
    """`budget` of the given rows, all subsets equally likely.

    rows    int64 (n,), distinct row ids; the draw depends on the ids, not on their order
    budget  1 .. n

    Every row gets a random key of (seed, row id) and the smallest keys win, so a larger budget with the
    same seed contains the smaller one. inclusion_prob is budget / n, weights n / budget. Cost O(n).
    """
    items: IntArray = np.asarray(rows, dtype=np.int64)
    budget, seed = positive_int(budget, "budget"), seed_int(seed)
    if budget > items.size:
        raise InvalidInput(f"budget is {budget}, but there are only {items.size} rows. Ask for fewer.")
    keys = uniforms(seed, Purpose.UNIFORM, items)
    chosen = np.sort(items[np.lexsort((items, keys))[:budget]])
    share = budget / items.size
    return Sample(chosen, np.full(budget, share), np.full(budget, 1.0 / share))
