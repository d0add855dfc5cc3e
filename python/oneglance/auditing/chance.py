"""Probabilities under a null hypothesis."""

from __future__ import annotations

import math
from statistics import NormalDist


def chi2_tail(x: float, dof: int) -> float:
    """P(a chi-square variable of so many degrees of freedom exceeds x), by the series or continued fraction of the
    incomplete gamma function (Abramowitz and Stegun 6.5.29, 6.5.31); relative error about 1e-12."""
    a, z = dof / 2.0, x / 2.0
    if z <= 0:
        return 1.0
    front = math.exp(a * math.log(z) - z - math.lgamma(a))
    if z < a + 1:
        term = total = 1.0 / a
        n = a
        while abs(term) > 1e-16 * abs(total):
            n += 1
            term *= z / n
            total += term
        return max(0.0, 1.0 - front * total)
    b = z + 1.0 - a  # modified Lentz
    c, d = 1e300, 1.0 / b
    h = d
    for i in range(1, 10_000):
        factor = -i * (i - a)
        b += 2.0
        d = 1.0 / (factor * d + b)
        c = b + factor / c
        h *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * h


def coins_tail(n: int, least: int) -> float:
    """P(at least so many heads of n fair coins), exact: sums of whole numbers."""
    if least <= 0:
        return 1.0
    if 2 * least <= n:
        return 1.0 - coins_tail(n, n - least + 1)
    term, total = math.comb(n, min(least, n)), 0
    for i in range(least, n + 1):
        total += term
        term = term * (n - i) // (i + 1)
    return float(total / 2**n)


def share_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)
