"""Poisson numbers: moments and exact probabilities on both sides of the change of method."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oneglance.strategies.sampling.poisson_variates import poisson_variates

ITEMS = np.arange(40_000, dtype=np.int64)


@pytest.mark.parametrize("mean", [1e-3, 0.7, 9.99, 10.0, 31.5, 1e4, 1e12])
def test_moments(mean):
    draws = poisson_variates(np.full(ITEMS.size, mean), seed=1, items=ITEMS).astype(float)
    assert abs(draws.mean() - mean) <= 5 * math.sqrt(mean / ITEMS.size)
    assert abs(draws.var() / mean - 1) <= 5 * math.sqrt((2 + 1 / mean) / ITEMS.size)


@pytest.mark.parametrize("mean", [0.4, 6.0, 12.0])
def test_chi_square(mean):
    draws = poisson_variates(np.full(ITEMS.size, mean), seed=2, items=ITEMS)
    mass = np.array([math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(80)])
    expected = ITEMS.size * mass
    cells = expected >= 10
    seen = np.bincount(draws, minlength=80)
    chi2 = float(np.sum((seen - expected)[cells] ** 2 / expected[cells]))
    degrees = int(cells.sum())
    assert chi2 <= degrees + 5 * math.sqrt(2 * degrees), chi2


def test_zero_mean_and_purity():
    assert poisson_variates(np.zeros(5), seed=0, items=ITEMS[:5]).tolist() == [0] * 5
    means = np.linspace(0.1, 50, 1000)
    whole = poisson_variates(means, seed=3, items=ITEMS[:1000])
    again = np.concatenate(
        [poisson_variates(means[i : i + 1], seed=3, items=ITEMS[i : i + 1]) for i in range(0, 1000, 37)]
    )
    assert np.array_equal(whole[::37], again)
    assert not np.array_equal(whole, poisson_variates(means, seed=3, items=ITEMS[:1000], stream=1))
