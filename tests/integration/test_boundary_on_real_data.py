"""ActiveFT and BiLAF on real features: two checks each, by other code, that what they aim at is met."""

from __future__ import annotations

import numpy as np
import pytest

import oneglance as og

POOLS = ("neu__mnv2", "cifar10__sqz")
each_pool = pytest.mark.parametrize("pool", POOLS)


def unit_rows(shared, pool):
    """About 1,000 rows of a pool, float64, of unit norm."""
    with np.load(shared / "data" / "features" / f"{pool}.npz") as file:
        rows = file["X_train"].astype(np.float64)
    rows = rows[:: max(1, len(rows) // 1000)]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def paper_loss(torch, x, v, tau=0.07):
    """ActiveFT's objective (paper) in torch, from the formula."""
    u = v / v.norm(dim=1, keepdim=True)
    nearest = (x @ u.T).max(dim=1).values / tau
    between = (u @ u.T / tau).masked_fill(torch.eye(len(u), dtype=torch.bool), -torch.inf)
    return -nearest.mean() + torch.logsumexp(between, dim=1).mean()


@each_pool
def test_activeft_comes_where_autograd_and_adam_come(shared, pool):
    """Same start and steps: the same final loss as torch's own Adam, and far below the start's."""
    torch = pytest.importorskip("torch")
    rows = unit_rows(shared, pool)
    start = np.arange(0, len(rows), len(rows) // 20)[:20]
    ours = og.activeft(rows, 20, objective="paper", init=start, n_iter=200)
    x, v = torch.from_numpy(rows), torch.from_numpy(rows[start]).clone().requires_grad_(True)
    adam = torch.optim.Adam([v], lr=1e-3)
    losses = []
    for _ in range(200):
        adam.zero_grad()
        loss = paper_loss(torch, x, v)
        loss.backward()
        losses.append(float(loss.detach()))
        adam.step()
    assert ours.loss[0] == pytest.approx(losses[0], rel=1e-6)
    fall = losses[0] - losses[-1]
    assert fall > 0.05
    assert abs(ours.loss[-1] - losses[-1]) < 0.02 * fall
    assert float(paper_loss(torch, x, torch.from_numpy(ours.theta))) <= losses[-1] + 0.02 * fall


def mean_distance(rows, picks):
    """Mean Euclidean distance of a row to the nearest pick."""
    return float(np.sqrt(np.maximum(0, 2 - 2 * rows @ rows[picks].T)).min(axis=1).mean())


@each_pool
def test_activeft_as_released_covers_better_than_random_rows_and_as_in_the_paper_leaves_the_pool(shared, pool):
    """The repulsion of the paper is as strong as the pull: parameters end far from every row, whatever row they take.

    That of the published code is weak, because each parameter's likeness to itself stands in the sum.
    """
    rows = unit_rows(shared, pool)
    released, paper = (og.activeft(rows, 30, objective=objective) for objective in ("released", "paper"))
    random = [mean_distance(rows, np.random.default_rng(seed).permutation(len(rows))[:30]) for seed in range(20)]
    assert mean_distance(rows, released.indices) < min(random)
    assert released.cosines.mean() > 0.8
    assert paper.cosines.mean() < 0.7
    assert mean_distance(rows, released.indices) < mean_distance(rows, paper.indices)


@each_pool
def test_bilaf_picks_lie_near_boundaries(shared, pool):
    """The margin between the nearest and the second nearest core is smaller than that of random rows, seed by seed."""
    rows = unit_rows(shared, pool)
    found = og.bilaf(rows, 60, cores="kmeans", n_cores=20)
    far = np.sort(np.sqrt(np.maximum(0, 2 - 2 * rows @ rows[found.cores].T)), axis=1)
    margin = far[:, 1] - far[:, 0]
    picks = found.indices[found.opponent >= 0]
    others = np.setdiff1d(np.arange(len(rows)), found.cores)
    random = [margin[np.random.default_rng(seed).permutation(others)[: picks.size]].mean() for seed in range(20)]
    assert margin[picks].mean() < min(random)


@each_pool
def test_bilaf_leaves_out_what_is_far_from_its_neighbours(shared, pool):
    """Rows that the denoising drops are farther from their 10 nearest of the class than rows that stay."""
    rows = unit_rows(shared, pool)
    found = og.bilaf(rows, 60, cores="kmeans", n_cores=10)
    near = np.array(
        [
            np.sort(np.linalg.norm(rows[found.labels == found.labels[i]] - rows[i], axis=1))[1:11].mean()
            for i in range(len(rows))
        ]
    )
    stay = np.setdiff1d(np.arange(len(rows)), found.removed)
    assert near[found.removed].mean() > 1.1 * near[stay].mean()
