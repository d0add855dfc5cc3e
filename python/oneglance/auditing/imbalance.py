"""How even a histogram of clusters is, and whether clusters go together with what is known of the items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._rng import Purpose, uniforms
from .._types import Float64Array, IntArray
from .chance import chi2_tail

BETAS = (0.9, 0.99, 0.999, 0.9999)
_MOST_VALUES = 200
_SHUFFLES = 999


def evenness(counts: IntArray) -> dict[str, Any]:
    """Of a histogram over K cells: n_clusters, n_empty; entropy (nats), its small-sample bias (K - 1) / 2n
    (Miller and Madow: what is seen is too low by so much), normalised_entropy in 0..1; effective_clusters exp(H) and
    inverse_simpson 1 / sum p^2; ratio largest / smallest (None with an empty cell); gini in 0..1, 0 is even;
    effective_samples: sum of (1 - beta^n) / (1 - beta) per beta (Cui et al. 2019)."""
    total, k = int(counts.sum()), counts.size
    share = counts[counts > 0] / total
    entropy = float(-(share * np.log(share)).sum())
    ordered = np.sort(counts)
    place = 2 * np.arange(1, k + 1) - k - 1
    return {
        "n_clusters": k,
        "n_empty": int(np.count_nonzero(counts == 0)),
        "entropy": entropy,
        "entropy_bias": (k - 1) / (2 * total),
        "normalised_entropy": entropy / math.log(k) if k > 1 else 1.0,
        "effective_clusters": math.exp(entropy),
        "inverse_simpson": float(1.0 / (share**2).sum()),
        "ratio": float(ordered[-1] / ordered[0]) if ordered[0] else None,
        "gini": float((place * ordered).sum() / (k * total)),
        "effective_samples": {
            f"{beta:g}": float(-np.expm1(counts * math.log(beta)).sum() / (1 - beta)) for beta in BETAS
        },
    }


def surely_uneven(counts: IntArray) -> float:
    """Largest over smallest cell that is not empty (k-means leaves some where rows repeat), each moved by two standard
    deviations of a count towards the other; at least 1."""
    high, low = float(counts.max()), float(counts[counts > 0].min())
    return max(1.0, (high - 2 * math.sqrt(high)) / (low + 2 * math.sqrt(low)))


@dataclass(frozen=True)
class Association:
    """Two columns of the same items: nmi and cramers_v in 0..1 (0: independent), chi2 with dof, its p value, and how
    that was found. cramers_v is corrected for chance (Bergsma 2013)."""

    n_items: int
    n_values: int
    nmi: float
    cramers_v: float
    chi2: float
    dof: int
    p: float
    p_from: str


def association(clusters: IntArray, values: Sequence[Any], seed: int) -> Association | None:
    """How far the values (None: unknown, left out) go together with the clusters; None where there are fewer than two
    of either, or more than 200 or a value for every second item: such a column names items and no kinds.

    p by the chi-square law where four fifths of the expected counts are 5 or more (Cochran), else by 999 shuffles.
    """
    known = np.array([value is not None for value in values], dtype=np.bool_)
    kept = [str(value) for value in values if value is not None]
    names = sorted(set(kept))  # no array of texts: each entry of that is as wide as the longest
    cells, own = np.unique(clusters[known], return_inverse=True)
    if len(names) < 2 or cells.size < 2 or len(names) > min(_MOST_VALUES, len(kept) // 2):
        return None
    number = {name: code for code, name in enumerate(names)}
    codes = np.array([number[value] for value in kept], dtype=np.int64)
    table = _table(own, codes, cells.size, len(names))
    chi2, expected = _chi2(table)
    n, dof = len(kept), (cells.size - 1) * (len(names) - 1)
    if (expected >= 5).mean() >= 0.8:
        p, how = chi2_tail(chi2, dof), "chi-square law"
    else:
        at_least = 0
        for draw in range(_SHUFFLES):
            order = np.argsort(uniforms(seed, Purpose.AUDIT, np.arange(n), draw))
            at_least += _chi2(_table(own, codes[order], cells.size, len(names)))[0] >= chi2 * (1 - 1e-12)
        p, how = (1 + at_least) / (1 + _SHUFFLES), f"{_SHUFFLES} shuffles"
    phi2 = max(0.0, chi2 / n - dof / (n - 1))
    rows, columns = (size - (size - 1) ** 2 / (n - 1) for size in table.shape)
    least = min(rows, columns) - 1
    share = table / n
    both = _entropy(share)
    alone = [_entropy(share.sum(axis=axis)) for axis in (0, 1)]
    nmi = (sum(alone) - both) / (sum(alone) / 2)
    return Association(
        n, len(names), max(0.0, nmi), math.sqrt(phi2 / least) if least > 0 else 0.0, chi2, dof, float(p), how
    )


def _table(own: npt.NDArray[Any], codes: npt.NDArray[Any], n_rows: int, n_columns: int) -> Float64Array:
    found = np.bincount(own * n_columns + codes, minlength=n_rows * n_columns)
    return found.reshape(n_rows, n_columns).astype(np.float64)


def _chi2(table: Float64Array) -> tuple[float, Float64Array]:
    expected = table.sum(axis=1)[:, None] * table.sum(axis=0) / table.sum()
    return float(((table - expected) ** 2 / expected).sum()), expected


def _entropy(share: Float64Array) -> float:
    kept = share[share > 0]
    return float(-(kept * np.log(kept)).sum())
