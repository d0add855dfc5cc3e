"""Kernel coverage: against a lazy greedy with the n x n kernel in memory, and against the products of all pairs."""

import numpy as np
import pytest

import oneglance as og
from baselines import kernel_coverage_stored
from cases import SHRINK, Floor, clustered

N_DIMS, WIDTH = 384, 2500.0


def test_kernel_coverage_against_a_stored_kernel(versus):
    """Baseline: lazy greedy with the n x n kernel in memory (1.6 GB). Ours keeps 64 MB and about 1 kB per row."""
    n, k = 20_000 // SHRINK, 500 // SHRINK
    rows = clustered(n, N_DIMS, 100, spread=1.5)
    ours, peer = og.kernel_coverage(rows, k, width=WIDTH), kernel_coverage_stored(rows, k, WIDTH)
    np.testing.assert_array_equal(ours.indices[:10], peer[:10])
    assert np.isin(peer, ours.indices).mean() > 0.99  # near-ties of float32 kernels
    versus(
        f"kernel coverage, {n} x {N_DIMS}, {k} picks ({ours.evaluated:.2f} n^2 kernel values), stored kernel",
        lambda: og.kernel_coverage(rows, k, width=WIDTH),
        lambda: kernel_coverage_stored(rows, k, WIDTH),
        rounds=1,
        at_most=1.0,
    )


@pytest.mark.parametrize("n", [50_000, 100_000])
def test_kernel_coverage_against_its_products(n, versus):
    """Baseline: all pairs once, n^2 d multiply-adds at the rate of a float32 NumPy product; half of them would do."""
    n = n // SHRINK
    rows = clustered(n, N_DIMS, 100, spread=1.5)
    floor = Floor(50_000 // SHRINK, N_DIMS)
    calls = iter([(rows[:2000], 20), (rows, n // 100)])  # the first one warms up

    def fit():
        pool, k = next(calls)
        assert np.unique(og.kernel_coverage(pool, k, width=WIDTH).indices).size == k

    versus(
        f"kernel coverage, {n} x {N_DIMS}, {n // 100} picks, its products",
        fit,
        floor.product,
        rounds=1,
        scale=floor.scale(n * n * N_DIMS),
        at_most=4.0,
    )
