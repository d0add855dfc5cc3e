"""What every sampler returns, and the checks at every sampler's door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._check import positive_int
from ..._types import Float64Array, IntArray
from ...errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Distinct rows, in ascending order, with what is needed to weigh them.

    indices         int64 (budget,), ascending positions in the given probabilities
    inclusion_prob  float64 (budget,), in (0, 1]; the sampler's docstring says of which event
    weights         float64 (budget,), factor of the row's p-th power loss: sum_i weights_i |r_i|^p estimates
                    the sum over the pool
    counts          int64 (budget,), how often each row was drawn; None where rows are drawn at most once
    n_draws         all draws, repeats included; None where rows are drawn at most once
    """

    indices: IntArray
    inclusion_prob: Float64Array
    weights: Float64Array
    counts: IntArray | None = None
    n_draws: int | None = None


def check_request(p: Any, budget: Any) -> tuple[Float64Array, int]:
    """p as float64 (n,), non-negative and scaled so that its largest entry is 1; budget as an int.

    Raises InvalidInput for anything but finite non-negative numbers, or when fewer than `budget` of them
    are positive: a row of probability 0 can never be drawn.
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise InvalidInput(f"p must be a non-empty 1-D array of probabilities, got shape {values.shape}.")
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        raise InvalidInput(
            f"p must hold finite numbers >= 0, got {values[bad[0]]} at row {bad[0]}"
            f" ({bad.size} such row{'s' if bad.size > 1 else ''})."
        )
    budget = positive_int(budget, "budget")
    n_positive = int(np.count_nonzero(values))
    if budget > n_positive:
        raise InvalidInput(
            f"budget is {budget}, but only {n_positive} of {values.size} rows have a probability "
            f"above 0; rows of zeros cannot be drawn by weight. Ask for at most {n_positive}, "
            'or use strategy="random".'
        )
    return values / values.max(), budget
