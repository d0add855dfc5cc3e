"""What samples by Lewis weights promise to heads: norms of all Ax at once, to about 1 / sqrt(m)."""

import numpy as np
import pytest

import oneglance as og
from oneglance.strategies.sampling import SAMPLERS, bernoulli, equal

RNG = np.random.default_rng(12)
HEAVY = RNG.standard_normal((20_000, 8)) / RNG.chisquare(3, (20_000, 1)) ** 0.5 * np.logspace(0, -3, 8)
SIZES = (60, 120, 240, 480)


def embedding_error(basis, sample):
    """Largest relative error of |Ax|^2 over all x, for orthonormal columns that span those of A."""
    at = basis[sample.indices]
    values = np.linalg.eigvalsh((at.T * sample.weights) @ at)
    return float(np.abs(values - 1.0).max())


def norm_error(rows, sample, p, directions):
    """Largest relative error of |Ax|_p^p over these x."""
    whole = (np.abs(rows @ directions) ** p).sum(axis=0)
    part = (np.abs(rows[sample.indices] @ directions) ** p * sample.weights[:, None]).sum(axis=0)
    return float(np.abs(part / whole - 1.0).max())


def draw(sampler, weights, size, seed, points=HEAVY):
    more = {"points": np.asarray(points, dtype=np.float32)} if sampler == "pivotal" else {}
    return SAMPLERS[sampler](weights, size, seed=seed, **more)


def slope(sizes, errors):
    x, y = np.log(sizes), np.log(errors)
    return float(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize("sampler", ["bernoulli", "paper", "unbiased"])
def test_the_error_of_all_squares_falls_like_the_root_of_the_budget(sampler):
    weights, basis = og.lewis_weights(HEAVY, 2.0).weights, np.linalg.qr(HEAVY)[0]
    errors = [np.mean([embedding_error(basis, draw(sampler, weights, m, seed)) for seed in range(10)]) for m in SIZES]
    assert errors[0] <= 1.0
    assert -0.68 <= slope(SIZES, errors) <= -0.4


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_the_error_of_other_norms_falls_so_too(p):
    weights = og.lewis_weights(HEAVY, p, tol=1e-4).weights
    directions = RNG.standard_normal((8, 100)) / np.abs(HEAVY).mean(axis=0)[:, None]
    errors = [
        np.mean([norm_error(HEAVY, bernoulli(weights, m, seed=seed), p, directions) for seed in range(10)])
        for m in SIZES
    ]
    assert errors[0] <= 0.8
    # Lewis weights of a large p hold more in a few rows, which become certain: then it falls faster.
    assert (-0.95 if p > 2 else -0.68) <= slope(SIZES, errors) <= -0.4


@pytest.mark.parametrize("sampler", ["bernoulli", "pivotal", "unbiased"])
def test_lewis_beats_uniform_where_rows_are_coherent(sampler):
    """Eight rows without which a direction is lost, among 5992 that never show it."""
    rows = np.vstack([1e3 * np.eye(8), RNG.standard_normal((5992, 8))])
    rows = rows[RNG.permutation(6000)]
    weights, basis = og.lewis_weights(rows, 2.0).weights, np.linalg.qr(rows)[0]
    size = 160
    mine = [embedding_error(basis, draw(sampler, weights, size, seed, rows)) for seed in range(10)]
    ids = np.arange(6000)
    theirs = [embedding_error(basis, equal(ids, size, seed=seed)) for seed in range(10)]
    assert max(mine) < 0.3
    assert min(theirs) > 0.9  # a direction without its row; or a row that counts 37 times
