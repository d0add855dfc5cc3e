"""Strategy "random": every available item alike. The baseline, and the fallback that needs no features."""

from __future__ import annotations

import numpy as np

from .request import Picks, Request
from .sampling import equal


def uniform(request: Request) -> Picks:
    """Simple random sampling without replacement, within each stratum.

    inclusion_prob is count / size of the stratum, weights the inverse, scores the inclusion probability.
    A larger budget with the same seed contains the smaller one. Reads no features; cost O(n).
    """
    samples = [equal(part.rows, part.count, seed=request.seed) for part in request.parts]
    inclusion = np.concatenate([sample.inclusion_prob for sample in samples])
    return Picks(
        np.concatenate([sample.indices for sample in samples]),
        np.concatenate([sample.weights for sample in samples]),
        inclusion,
        inclusion,
        ["drawn: every item alike, probability " + f"{value:.2g}" for value in inclusion],
    )
