"""Samplers: probabilities in, distinct rows with inclusion probabilities and weights out.

bernoulli         exactly `budget` distinct rows, inclusion probability min(1, c p_i); the default
with_replacement  the paper's Algorithm 1 (sampler="paper"): i.i.d. draws until `budget` distinct rows
inverse_sampling  the same rows with weights that have no bias (sampler="unbiased")
pivotal           exactly `budget` distinct rows as bernoulli, spread over the features
capped            exactly `budget` rows, at most so many of a group
priced            rows that have a price, never above the money
equal             every row alike, without replacement (strategy "random")
"""

from __future__ import annotations

from collections.abc import Callable

from .bernoulli import bernoulli, inclusion_targets
from .capped import capped, capped_targets
from .equal import equal
from .pivotal import pivotal
from .priced import priced, priced_targets
from .sample import Sample
from .with_replacement import inverse_sampling, with_replacement

SAMPLERS: dict[str, Callable[..., Sample]] = {
    "bernoulli": bernoulli,
    "pivotal": pivotal,
    "paper": with_replacement,
    "unbiased": inverse_sampling,
}

__all__ = [
    "SAMPLERS",
    "Sample",
    "bernoulli",
    "capped",
    "capped_targets",
    "equal",
    "inclusion_targets",
    "inverse_sampling",
    "pivotal",
    "priced",
    "priced_targets",
    "with_replacement",
]
