"""How unsure heads are of an item: what is worth labelling next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._types import Float64Array
from ..errors import InvalidInput

KINDS = ("entropy", "margin", "disagreement")


def uncertainty_of(probabilities: Sequence[Float64Array], kind: str) -> Float64Array:
    """(n,) in [0, 1], larger is less sure, from probabilities (n, K) of one or more heads.

    entropy       of the mean probabilities, over log K
    margin        1 - (largest - second largest mean probability)
    disagreement  entropy of the mean less the mean entropy of the heads, over log of the smaller of K and their number
                  (Jensen and Shannon's divergence): what the heads do not agree about, not what all find hard

    0 for K = 1. Raises InvalidInput (kind; disagreement of one head).
    """
    if kind not in KINDS:
        raise InvalidInput(f"kind must be one of {list(KINDS)}, got {kind!r}.")
    if kind == "disagreement" and len(probabilities) < 2:
        raise InvalidInput('kind="disagreement" needs heads of two backbones or more, got one. Use "entropy".')
    mean = np.mean(probabilities, axis=0)
    n_classes = mean.shape[1]
    if n_classes == 1:
        return np.zeros(len(mean))
    if kind == "margin":
        top = np.partition(mean, n_classes - 2, axis=1)[:, -2:]
        out = 1.0 - (top[:, 1] - top[:, 0])
    elif kind == "entropy":
        out = _entropy(mean) / np.log(n_classes)
    else:
        apart = _entropy(mean) - np.mean([_entropy(one) for one in probabilities], axis=0)
        out = apart / np.log(min(n_classes, len(probabilities)))
    return np.asarray(np.clip(out, 0.0, 1.0))


def spread_of(targets: Sequence[Float64Array]) -> Float64Array:
    """(n,) from predicted targets (n, c) of two or more heads: root mean square over targets of their standard
    deviation between heads. Raises InvalidInput for one head."""
    if len(targets) < 2:
        raise InvalidInput("one head of a regression does not say how sure it is. Fit heads on two backbones or more.")
    return np.asarray(np.sqrt(np.var(np.stack(targets), axis=0).mean(axis=1)))


def _entropy(p: Float64Array) -> Float64Array:
    """In nats, 0 log 0 = 0."""
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logs).sum(axis=1))
