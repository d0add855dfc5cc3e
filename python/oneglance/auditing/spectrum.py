"""How many directions features use, from one sample of their rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .._types import Float64Array, FloatArray

_PANEL = 2048
SAMPLE = 25_600
"""Rows that RankMe's authors found enough."""


@dataclass(frozen=True)
class Spectrum:
    """n_rows, n_dims   of the sample
    rank_me             exp of the entropy of the singular values (Garrido et al. 2023), 1 .. n_dims
    alpha_req           -slope of log eigenvalue of the covariance against log number, 5 .. min(50, d / 2) (Agrawal et
                        al. 2022); near 1 is best; None for fewer than 12 features, and where so few
                        directions vary (few rows, low rank) that it would be of rounding
    participation       (sum of eigenvalues)^2 / sum of squares, 1 .. n_dims
    vendi               exp of the entropy of the eigenvalues of K / n, K all cosines (Friedman and Dieng 2023): the
                        number of different rows, 1 .. min(n_rows, n_dims)
    spread              root mean square over features of the standard deviation of unit-length rows, times sqrt(d):
                        1 for directions all over the sphere, 0 for a collapsed backbone
    """

    n_rows: int
    n_dims: int
    rank_me: float
    alpha_req: float | None
    participation: float
    vendi: float
    spread: float


def spectrum(rows: FloatArray) -> Spectrum:
    """Of rows (n, d), finite and not zero, n >= 2. Three Gram matrices of the smaller side: 6 n d min(n, d) flops and
    the eigenvalues of min(n, d). Memory O(d^2) beside the rows."""
    n, d = rows.shape
    scale = max(float(np.abs(panel).max()) for panel in _panels(rows))
    mean, unit_mean = np.zeros(d), np.zeros(d)
    for panel in _panels(rows):
        panel /= scale
        mean += panel.sum(axis=0) / n
        unit_mean += (panel / np.linalg.norm(panel, axis=1, keepdims=True)).sum(axis=0) / n
    sigma = np.sqrt(_squares(rows, lambda panel: panel / scale))
    p = sigma / sigma.sum() + 1e-7
    similar = _squares(rows, lambda panel: panel / scale / np.linalg.norm(panel / scale, axis=1, keepdims=True)) / n
    similar = similar[similar > 1e-12]
    values = np.sort(_squares(rows, lambda panel: panel / scale - mean))[::-1]
    total = float(values.sum())
    return Spectrum(
        n,
        d,
        float(np.exp(-(p * np.log(p)).sum())),
        _slope(values, d),
        total**2 / float((values**2).sum()) if total > 0 else 1.0,
        float(np.exp(-(similar * np.log(similar)).sum())),
        math.sqrt(max(0.0, 1.0 - float(unit_mean @ unit_mean))),
    )


def _panels(rows: FloatArray) -> Iterator[Float64Array]:
    for start in range(0, len(rows), _PANEL):
        yield rows[start : start + _PANEL].astype(np.float64)


def _squares(rows: FloatArray, prepared: Callable[[Float64Array], Float64Array]) -> Float64Array:
    """Squared singular values of the prepared rows, min(n, d) of them, none below 0."""
    n, d = rows.shape
    if n < d:
        x = prepared(rows.astype(np.float64))
        gram = x @ x.T
    else:
        gram = np.zeros((d, d))
        for panel in _panels(rows):
            x = prepared(panel)
            gram += x.T @ x
    return np.asarray(np.maximum(np.linalg.eigvalsh(gram), 0.0))


def _slope(values: Float64Array, n_dims: int) -> float | None:
    last = min(50, n_dims // 2, values.size)
    place = np.arange(5, last + 1)
    kept = values[place - 1] if place.size else values[:0]
    if place.size < 2 or (kept <= 1e-15 * values[0]).any():
        return None
    x, y = np.log(place), np.log(kept)
    x -= x.mean()
    return float(-(x @ (y - y.mean())) / (x @ x))
