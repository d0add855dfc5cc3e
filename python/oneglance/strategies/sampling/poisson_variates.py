"""Poisson random numbers as a pure function of (seed, item), for any mean."""

from __future__ import annotations

import numpy as np

from ..._rng import Purpose, uniforms
from ..._types import Float64Array, IntArray

_SMALL_MEAN = 10.0  # below: inversion; above: transformed rejection, valid from 10 on
_DRAWS_PER_STREAM = 4096


def _by_inversion(mean: Float64Array, u: Float64Array) -> IntArray:
    """Smallest count whose cumulative probability exceeds u; means below 10."""
    count = np.zeros(mean.size, dtype=np.int64)
    mass = np.exp(-mean)
    reached = mass.copy()
    for value in range(1, 100):  # beyond it a mean of 10 has probability 1e-60
        above = u >= reached
        if not above.any():
            break
        count[above] = value
        mass = mass * mean / value
        reached = reached + mass
    return count


def _log_mass(count: Float64Array, mean: Float64Array) -> Float64Array:
    """log P(count) without cancellation of large terms; Stirling's series, error below 1e-9 from 3 on."""
    safe = np.maximum(count, 1.0)
    series = 1 / (12 * safe) - 1 / (360 * safe**3) + 1 / (1260 * safe**5) - 1 / (1680 * safe**7)
    body = safe * np.log1p((mean - safe) / safe) + (safe - mean)
    return np.where(count >= 1.0, body - 0.5 * np.log(2 * np.pi * safe) - series, -mean)


def poisson_variates(mean: Float64Array, *, seed: int, items: IntArray, stream: int = 0) -> IntArray:
    """int64 (m,): entry j is Poisson(mean[j]), a function of (seed, stream, items[j]) alone.

    Means below 10 by inversion of one uniform number, others by transformed rejection with about 1.1
    attempts (W. Hoermann, Insurance: Mathematics and Economics 12, 1993, algorithm PTRS).
    """
    base = stream * _DRAWS_PER_STREAM
    out = np.zeros(mean.size, dtype=np.int64)
    small = np.flatnonzero(mean < _SMALL_MEAN)
    out[small] = _by_inversion(mean[small], uniforms(seed, Purpose.POISSON, items[small], base))
    waiting = np.flatnonzero(mean >= _SMALL_MEAN)
    attempt = 0
    while waiting.size:
        lam = mean[waiting]
        u = uniforms(seed, Purpose.POISSON, items[waiting], base + 1 + 2 * attempt) - 0.5
        v = uniforms(seed, Purpose.POISSON, items[waiting], base + 2 + 2 * attempt)
        b = 0.931 + 2.53 * np.sqrt(lam)
        a = -0.059 + 0.02483 * b
        edge = np.maximum(0.5 - np.abs(u), 2.0**-54)
        count = np.floor((2.0 * a / edge + b) * u + lam + 0.43)
        quick = (edge >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2.0))
        hopeless = (count < 0) | ((edge < 0.013) & (v > edge))
        hat = np.log(np.maximum(v, 2.0**-54) * (1.1239 + 1.1328 / (b - 3.4)) / (a / edge**2 + b))
        accept = quick | (~hopeless & (hat <= _log_mass(np.maximum(count, 0.0), lam)))
        out[waiting[accept]] = count[accept].astype(np.int64)
        waiting = waiting[~accept]
        attempt += 1
    return out
