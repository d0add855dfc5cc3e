"""ActiveFT and BiLAF: against their products, and against NumPy and SciPy as one writes them down."""

import numpy as np
import pytest

import oneglance as og
from baselines import bilaf_scipy
from cases import SHRINK, Floor, clustered
from oneglance import _core

N_ROWS, N_DIMS = 50_000 // SHRINK, 384


@pytest.mark.parametrize("n_iter", [1, 10])
def test_activeft_iteration_against_its_products(n_iter, versus):
    """Baseline: one N x B product and two B x B ones at the rate of a float32 NumPy product. The first iteration
    compares every row with every parameter; later ones skip what bounds rule out, so ten of them stand here too."""
    rows, b = clustered(N_ROWS, N_DIMS, 100, spread=1.5), 5000 // SHRINK
    floor, start = Floor(N_ROWS, N_DIMS), rows[:b].astype(np.float64)
    products = N_ROWS * b * N_DIMS + 2 * b * b * N_DIMS

    def fit(n):
        return _core.activeft([rows], start, "released", n, 0.07, 1.0, 1e-3, 0, 0, 0, None)

    loss = fit(10)[1]
    assert loss[-1] < loss[0]
    versus(
        f"ActiveFT, released, {N_ROWS} x {N_DIMS}, B={b}, {n_iter} iterations, its products",
        lambda: fit(n_iter),
        floor.product,
        rounds=1,
        scale=n_iter * floor.scale(products),
        at_most=1.4,
    )


@pytest.mark.parametrize("n_picks", [1000, 5000, 20_000])
def test_bilaf_against_scipy(n_picks, versus):
    """Baseline: SciPy distances and loops over rounds and picks, the same cores."""
    rows, n_cores, k = clustered(N_ROWS, N_DIMS, 100, spread=1.5), max(2, 250 // SHRINK), n_picks // SHRINK
    cores = og.farthest_points(rows[::10], n_cores, metric="cosine").indices * 10
    ours = og.bilaf(rows, k, cores=cores)
    assert np.unique(ours.indices).size == k
    peer = bilaf_scipy(rows, cores, k)
    # Budgets are rounded otherwise there; boundary samples of classes with the same budget are the same.
    assert np.isin(peer, ours.indices).mean() > 0.8
    versus(
        f"BiLAF, {N_ROWS} x {N_DIMS}, {n_cores} cores, budget {k}, SciPy",
        lambda: og.bilaf(rows, k, cores=cores),
        lambda: bilaf_scipy(rows, cores, k),
        rounds=1,
        at_least=10,
    )
