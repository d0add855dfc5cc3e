"""Farthest-first and FreeSel's draw: against one reading per pick, against what can be installed."""

import numpy as np
import pytest

import oneglance as og
from baselines import farthest_loop, freesel_loop
from cases import SHRINK, clustered, features

N_ROWS, N_PICKS, N_DIMS = 100_000 // SHRINK, 2000 // SHRINK, 384
CASE = f"farthest_points, {N_ROWS} x {N_DIMS}, {N_PICKS} picks"
# Every pick of these loops costs the same: a tenth of them is timed, times ten.
FEW = N_PICKS // 10


def timed(versus, rows, peer, name, at_least):
    found = og.farthest_points(rows, N_PICKS, start=[0])
    few = peer()
    # Radii, not picks: float32 loops differ at near-ties.
    radius = og.nearest(rows, rows[np.asarray(few)]).distances.max()
    assert found.radii[len(few)] <= 1.001 * radius
    assert N_PICKS / found.readings >= 30 or SHRINK > 1
    versus(
        f"{CASE}, {name} ({N_PICKS / found.readings:.0f} picks per reading)",
        lambda: og.farthest_points(rows, N_PICKS, start=[0]),
        peer,
        rounds=3,
        scale=N_PICKS / FEW,
        at_least=at_least,
    )


@pytest.mark.parametrize("kind", ["heavy tail", "clustered", "Gaussian"])
def test_farthest_against_one_reading_per_pick(kind, versus):
    """Baseline: the NumPy loop."""
    if kind == "clustered":
        rows = clustered(N_ROWS, N_DIMS, 700)
    elif kind == "heavy tail":
        rows = features(N_ROWS, N_DIMS)
    else:
        rows = np.random.default_rng(0).standard_normal((N_ROWS, N_DIMS), dtype=np.float32)
    timed(versus, rows, lambda: farthest_loop(rows, FEW), f"{kind}, NumPy loop", 8)


def test_farthest_against_lightly_mundig(versus):
    """Baseline: lightly-mundig's diversifying strategy."""
    mundig = pytest.importorskip("lightly_mundig")
    rows = features(N_ROWS, N_DIMS)

    def peer():
        selection = mundig.Selection()
        selection.add_diversifying_strategy(rows, 1.0)
        return selection.run_selection([0], N_ROWS, FEW)

    timed(versus, rows, peer, "lightly-mundig", 4)


def test_farthest_against_fpsample(versus):
    """Baseline: fpsample's vanilla sampling; its bucket kernels fail at this width."""
    fpsample = pytest.importorskip("fpsample")
    rows = features(N_ROWS, N_DIMS)
    timed(versus, rows, lambda: fpsample.fps_sampling(rows, FEW, 0).astype(np.int64), "fpsample", 4)


def test_farthest_against_scikit_matter(versus):
    """Baseline: scikit-matter's FPS."""
    selection = pytest.importorskip("skmatter.sample_selection")
    rows = features(N_ROWS, N_DIMS)
    timed(
        versus,
        rows,
        lambda: selection.FPS(initialize=0, n_to_select=FEW).fit(rows).selected_idx_,
        "scikit-matter",
        4,
    )


def test_freesel_draw_against_the_naive_loop(versus):
    """Baseline: the NumPy loop of the same rule, 100 picks, times a hundred."""
    per_image, n_images, n_picks = 5, 16_551 // SHRINK, 10_000 // SHRINK
    patterns = clustered(n_images * per_image, N_DIMS, 200)
    offsets, few = np.arange(0, len(patterns) + 1, per_image), n_picks // 100
    options = {"gamma": 2.0, "metric": "cosine", "offsets": offsets}
    assert np.unique(og.weighted_draw(patterns, n_picks, **options).indices).size == n_picks

    def coverage(picks):
        """Mean distance of a sample of the patterns to the chosen ones."""
        chosen = (np.asarray(picks)[:, None] * per_image + np.arange(per_image)).ravel()
        return og.nearest(patterns[::50], patterns[chosen], metric="cosine").distances.mean()

    ours = [coverage(og.weighted_draw(patterns, few, seed=seed, **options).indices) for seed in range(20)]
    loops = [coverage(freesel_loop(patterns, per_image, few, seed)) for seed in range(3)]
    assert abs(np.mean(ours) - np.mean(loops)) <= 5 * np.std(ours) * np.sqrt(1 / 20 + 1 / 3)
    versus(
        f"FreeSel draw, {len(patterns)} patterns x {N_DIMS}, {n_picks} images",
        lambda: og.weighted_draw(patterns, n_picks, **options),
        lambda: freesel_loop(patterns, per_image, few),
        rounds=3,
        scale=n_picks / few,
        at_least=10,
    )
