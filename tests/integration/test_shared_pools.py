"""Features of really pretrained backbones: rank deficient, several backbones, no warnings."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import oneglance as og
from oneglance.strategies import kappa

FEATURES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "features"
POOLS = {
    "neu": ("neu__mnv2", "neu__sqz", "neu__mnv2_bird"),
    "cifar10": ("cifar10__mnv1_0.5", "cifar10__sqz"),
    "tiny100": ("tiny100__mnv1_0.5", "tiny100__sqz", "tiny100__r56"),
}
pytestmark = pytest.mark.skipif(not FEATURES.is_dir(), reason=f"real features are not on this machine ({FEATURES})")


def load(name):
    return {backbone: np.load(FEATURES / f"{backbone}.npz")["X_train"] for backbone in POOLS[name]}


@pytest.mark.parametrize("name", POOLS)
def test_selects_with_a_certificate_and_without_warnings(name):
    pool = load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selection = og.select(pool, "2%", p=2, seed=1)
    n_rows = len(next(iter(pool.values())))
    certificate = selection.certificate
    ranks = [entry["rank"] for entry in certificate["backbones"].values()]
    assert certificate["converged"]
    assert len(set(selection.indices.tolist())) == len(selection) == round(0.02 * n_rows + 1e-9)
    assert max(ranks) * (1 - 1e-5) <= certificate["total"] <= certificate["total_bound"] * (1 + 1e-5)
    assert certificate["total_bound"] == min(sum(ranks), n_rows)
    assert 0.1 <= certificate["kappa_10"] <= 1.0
    assert np.all(selection.weights >= 1.0)


def test_weights_of_a_rank_deficient_backbone_equal_svd_leverage():
    x = load("neu")["neu__sqz"].astype(np.float64)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    result = og.lewis_weights(x, 2.0)
    kept = u[:, : result.rank]
    want = (kept**2).sum(axis=1)
    assert result.rank < x.shape[1]
    assert s[result.rank - 1] / s[0] > 1e-14
    assert np.max(np.abs(result.weights - want)) <= 1e-6


def test_other_norms_on_real_features():
    pool = {name: x[:, :128] for name, x in load("tiny100").items()}
    for p in (1.0, 4.0):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            certificate = og.select(pool, 100, p=p).certificate
        assert certificate["converged"]
    weights = [og.lewis_weights(x, 1.0).weights for x in pool.values()]
    assert 0.0 <= kappa(weights, 0.1) <= 1.0
