"""Conditional Poisson sampling: inclusion probabilities given odds, and odds given inclusion probabilities.

Rows are kept independently with odds o_i and the draw is conditioned on exactly k rows. Only the ratios of
the odds matter. Two ways to the inclusion probabilities, chosen by V = sum q_i (1 - q_i):

V >= 2   numerical inversion of the characteristic function phi(t) = prod (1 - q_i + q_i e^{it}).
         P(S = k) and P(S without i = k - 1) are integrals of a periodic function over one period, so the
         trapezoid rule converges exponentially, and |phi(t)| <= exp(-2 V sin^2(t/2)) lets all nodes but
         those next to 0 be dropped: about 25 symmetric nodes for any large n. With the q_i scaled to sum
         to k, P(S = k) is of order 1/sqrt(V), so nothing is lost to cancellation.
V < 2    few rows deviate from their likelier state, so the probabilities are short sums over the number
         of deviations, products of elementary symmetric polynomials of the smaller odds. All terms are
         positive: full relative accuracy down to V ~ 1e-12, where the integrals above would cancel.

The odds for given inclusion probabilities pi come from the fixed-point iteration of Chen, Dempster and Liu
(Biometrika 1994) in the logit: log o <- log o + s (logit pi - logit pi_hat). The derivative of pi_hat with
respect to log o is the covariance matrix of the design, whose diagonal is pi (1 - pi) exactly and whose
other entries are negative with rows summing to zero; so the error is multiplied by P with s = 1 and by
(1 + P)/2 with s = 1/2, P a stochastic matrix with zero diagonal. For large V, P is nearly of rank one (the
harmless common scale) and s = 1 gains a factor 1/V per round; for small V, P may have the eigenvalue -1
(two rows, one pick), which steps of 1/2 remove: they alternate.
"""

from __future__ import annotations

import math

import numpy as np

from ..._types import BoolArray, Float64Array

_CHUNK = 4096  # rows worked on at once: nodes x chunk complex numbers stay in cache
_DEVIATIONS = 40  # terms kept for V < 2: the next is below 4^41 / 41! ~ 1e-25
_SMALL_VARIANCE = 2.0


def logistic(x: Float64Array) -> Float64Array:
    """1 / (1 + e^-x), without overflow."""
    tail = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, tail) / (1.0 + tail))


def centred(log_odds: Float64Array, k: int) -> Float64Array:
    """log_odds plus the constant that makes the probabilities sum to k (to rounding, within a few steps).

    The conditioned law does not depend on the constant; the arithmetic is most accurate at this one.
    """
    shifted = log_odds
    for _ in range(50):
        q = logistic(shifted)
        excess, slope = float(q.sum()) - k, float(np.sum(q * (1.0 - q)))
        if abs(excess) <= 1e-12 * k + 1e-13 * slope or slope == 0.0:
            break
        shifted = shifted - min(1.0, max(-1.0, excess / slope))
    return shifted


def _nodes(variance: float) -> tuple[Float64Array, Float64Array]:
    """Trapezoid nodes t >= 0 and their weights, by symmetry twice those of one side."""
    n_nodes = 2 * math.ceil((9.0 * math.sqrt(variance) + 30.0) / 2.0) + 1  # odd: none at t = pi
    t = 2.0 * np.pi * np.arange(n_nodes // 2 + 1) / n_nodes
    t = t[2.0 * variance * np.sin(t / 2.0) ** 2 <= 40.0]
    return t, np.where(t == 0.0, 1.0, 2.0)


def _product(factors: Float64Array) -> Float64Array:
    """Product over the last axis by halving."""
    while factors.shape[-1] > 1:
        half = factors.shape[-1] // 2
        last = factors[..., 2 * half :]
        factors = factors[..., :half] * factors[..., half : 2 * half]
        if last.shape[-1]:
            factors[..., :1] *= last
    return factors[..., 0]


def inclusion_by_inversion(log_odds: Float64Array, k: int) -> Float64Array:
    """Inclusion probabilities (n,) of the conditioned design by characteristic functions.

    log_odds (n,), centred on k. Cost about 15 n multiply-adds per node and O(n) memory.
    """
    q = logistic(log_odds)
    t, weight = _nodes(float(np.sum(q * (1.0 - q))))
    turn = np.exp(1j * t)
    phi = np.ones(t.size, dtype=np.complex128)
    for start in range(0, q.size, _CHUNK):
        phi *= _product(1.0 + np.multiply.outer(turn - 1.0, q[start : start + _CHUNK]))
    term = weight * phi * np.exp(-1j * k * t)
    # Re(term e^{it} / (1 - q + q e^{it})) with the denominator made real
    at_zero, at_one, bend = (term * turn).real, term.real, 2.0 * (1.0 - np.cos(t))
    ratio = np.empty_like(q)
    for start in range(0, q.size, _CHUNK):
        part = q[start : start + _CHUNK]
        spread = part * (1.0 - part)
        total = np.zeros_like(part)
        for zero, one, curve in zip(at_zero, at_one, bend, strict=True):
            total += (zero + part * (one - zero)) / (1.0 - spread * curve)
        ratio[start : start + _CHUNK] = total
    return np.asarray(q * (ratio / term.real.sum()))


def _symmetric_polynomials(odds: Float64Array, degree: int) -> Float64Array:
    """Elementary symmetric polynomials e_0 .. e_degree of the odds, by sums of positive terms only."""
    lanes = max(1, math.isqrt(odds.size))
    steps = -(-odds.size // lanes)
    table = np.zeros(steps * lanes)
    table[: odds.size] = odds
    lane = np.zeros((degree + 1, lanes))
    lane[0] = 1.0
    for row in table.reshape(steps, lanes):
        lane[1:] += lane[:-1] * row
    whole = lane[:, 0]
    for index in range(1, lanes):
        whole = np.convolve(whole, lane[:, index])[: degree + 1]
    return whole


def _minor_probability(odds: Float64Array, own: Float64Array, other: Float64Array, shift: int) -> Float64Array:
    """o_i * sum_a e_{a-1}(odds without i) * other_{a-shift}: weight of the draws in which row i deviates."""
    total = np.zeros_like(odds)
    without = np.zeros_like(odds)  # e_{a-1} without i, by e_a = e_a(without i) + o_i e_{a-1}(without i)
    for a in range(1, own.size):
        without = own[a - 1] - odds * without
        if 0 <= a - shift < other.size:
            total += without * other[a - shift]
    return np.asarray(odds * total)


def inclusion_by_deviations(log_odds: Float64Array, high: BoolArray, k: int) -> tuple[Float64Array, Float64Array]:
    """(inclusion, exclusion) probabilities (n,) of the conditioned design, for designs of small variance.

    high marks the rows expected to be picked. The number of other rows picked, a, and of high rows missed,
    b, obey a - b = k - (number of high rows); both are cut at 40.
    """
    shift = k - int(np.count_nonzero(high))
    picked_odds, missed_odds = np.exp(log_odds[~high]), np.exp(-log_odds[high])
    picked = _symmetric_polynomials(picked_odds, min(_DEVIATIONS, picked_odds.size))
    missed = _symmetric_polynomials(missed_odds, min(_DEVIATIONS, missed_odds.size))
    lowest, highest = max(0, shift), min(picked.size - 1, missed.size - 1 + shift)
    whole = float(np.dot(picked[lowest : highest + 1], missed[lowest - shift : highest - shift + 1]))
    include, exclude = np.empty_like(log_odds), np.empty_like(log_odds)
    include[~high] = _minor_probability(picked_odds, picked, missed, shift) / whole
    exclude[high] = _minor_probability(missed_odds, missed, picked, -shift) / whole
    exclude[~high] = 1.0 - include[~high]
    include[high] = 1.0 - exclude[high]
    return include, exclude


def fit_log_odds(
    targets: Float64Array, *, tolerance: float = 1e-11, max_rounds: int = 100
) -> tuple[Float64Array, float]:
    """Log-odds whose conditioned inclusion probabilities are the targets.

    targets  (n,), each strictly between 0 and 1, summing to an integer k >= 1
    Returns (log_odds (n,) centred on k, error), error = max_i |pi_hat_i - pi_i| / pi_i of the answer.
    Rounds: 3-4 when sum pi (1 - pi) is in the hundreds, up to about 30 when it is below 2.
    """
    k = round(float(targets.sum()))
    if targets.size and targets.min() == targets.max():
        return np.log(targets) - np.log1p(-targets), 0.0  # equal odds give equal probabilities
    wanted = np.log(targets) - np.log1p(-targets)
    high = targets > 0.5
    small = float(np.sum(targets * (1.0 - targets))) < _SMALL_VARIANCE
    log_odds = best = wanted
    best_error, stalled = math.inf, 0
    for index in range(max_rounds):
        if small:
            include, exclude = inclusion_by_deviations(log_odds, high, k)
        else:
            log_odds = centred(log_odds, k)
            include = inclusion_by_inversion(log_odds, k)
            exclude = 1.0 - include
        error = float(np.max(np.abs(include - targets) / targets))
        stalled = 0 if error < 0.5 * best_error else stalled + 1
        if error < best_error:
            best, best_error = log_odds, error
        if best_error <= tolerance or stalled >= 6:
            break
        tiny = np.finfo(np.float64).tiny
        now = np.log(np.maximum(include, tiny)) - np.log(np.maximum(exclude, 2.0**-60))
        step = np.clip(wanted - now, -4.0, 4.0)
        log_odds = log_odds + (0.5 * step if small and index % 2 else step)
    return centred(best, k), best_error
