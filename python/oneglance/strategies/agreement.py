"""How far several backbones agree on which items matter (Huang et al. 2024, figures 1 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._check import positive_number
from .._types import Float64Array, IntArray
from ..errors import InvalidInput


def coherence_total(weights: Sequence[Float64Array]) -> float:
    """T = sum_i max_j w_i(backbone j): how many labels, up to logarithms, serve all backbones at once.

    weights  one (n,) array of Lewis weights per backbone
    T lies between the largest rank and min(sum of ranks, n); the nearer to the largest rank, the more the
    backbones agree. Cost O(n) per backbone.
    """
    return float(largest(weights).sum())


def kappa(weights: Sequence[Float64Array], fraction: float = 0.1) -> float:
    """Mean over backbones of |top of backbone j, also in the top of max_j| / |top|, in [0, 1].

    weights   one (n,) array of Lewis weights per backbone
    fraction  share of the rows that counts as top, in (0, 1]; at least one row; ties go to the lower row
    For unrelated backbones it is about `fraction` or a little above; 1 for a single backbone.
    """
    share = positive_number(fraction, "fraction")
    if share > 1:
        raise InvalidInput(f"fraction must be in (0, 1], got {share:g}. Write 0.1 for ten percent.")
    together = largest(weights)
    size = max(1, round(share * together.size))
    top = _top(together, size)
    return float(np.mean([np.isin(_top(w, size), top).sum() / size for w in weights]))


def largest(weights: Sequence[Float64Array]) -> Float64Array:
    """max_j w_i, (n,)."""
    if not len(weights):
        raise InvalidInput("weights must hold at least one array, one per backbone; got none.")
    shapes = {np.shape(w) for w in weights}
    if len(shapes) > 1:
        raise InvalidInput(f"weights must all have one length, got shapes {sorted(shapes)}.")
    out = np.array(weights[0], dtype=np.float64)
    for other in weights[1:]:
        np.maximum(out, other, out=out)
    return out


def _top(w: Float64Array, size: int) -> IntArray:
    return np.argsort(-np.asarray(w), kind="stable")[:size]
