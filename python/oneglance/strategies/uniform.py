"""Strategy "random": every available item alike. The baseline, and the fallback that needs no features."""

from __future__ import annotations

import numpy as np

from .drawing import drawn
from .request import Picks, Request


def uniform(request: Request) -> Picks:
    """Simple random sampling without replacement, within each stratum.

    inclusion_prob is count / size of the stratum, weights the inverse, scores the inclusion probability.
    A larger budget with the same seed contains the smaller one. Reads no features; cost O(n).
    With priority, groups or costs items are not alike any more: the probabilities are those of sampling.bernoulli,
    .capped and .priced, exactly.
    """
    samples = drawn(request, None)
    inclusion = np.concatenate([sample.inclusion_prob for sample in samples])
    alike = request.priority is None and request.groups is None and request.costs is None
    text = "drawn: every item alike, probability " if alike else "drawn: probability "
    return Picks(
        np.concatenate([sample.indices for sample in samples]),
        np.concatenate([sample.weights for sample in samples]),
        inclusion,
        inclusion,
        [text + f"{value:.2g}" for value in inclusion],
    )
