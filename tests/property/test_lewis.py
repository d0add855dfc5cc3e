"""Facts that hold for every matrix (spec of leverage scores and Lewis weights)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oneglance as og
from oneglance.reference import leverage, lewis

norms = st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 3.8, 4.0, 6.0])


@st.composite
def pools(draw, min_rows=1):
    n_rows = draw(st.integers(min_rows, 40))
    n_dims = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(n_rows, n_dims)) * rng.standard_t(2, size=(n_rows, 1)) * np.exp(rng.normal(size=n_dims))
    if draw(st.booleans()) and n_dims > 2:
        x[:, -1] = x[:, 0] - 2 * x[:, 1]
    if draw(st.booleans()):
        x[rng.random(n_rows) < 0.2] = 0.0
    return x


@settings(max_examples=60, deadline=None)
@given(pools(), norms)
def test_weights_lie_in_0_1_and_sum_to_the_rank(x, p):
    result = og.lewis_weights(x, p, tol=1e-9, max_passes=300)
    assert result.converged
    assert result.rank == np.linalg.matrix_rank(x)
    assert (result.weights >= 0).all()
    assert (result.weights <= 1 + 1e-6).all()
    assert result.weights.sum() == pytest.approx(result.rank, rel=1e-9, abs=1e-12)
    assert (result.weights[~x.any(axis=1)] == 0).all()


@settings(max_examples=40, deadline=None)
@given(pools(), norms)
def test_the_reference_agrees(x, p):
    if not x.any():
        return
    np.testing.assert_allclose(
        og.lewis_weights(x, p, tol=1e-10, max_passes=300).weights, lewis.lewis_weights(x, p), rtol=1e-6, atol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(pools(min_rows=3), norms, st.integers(0, 2**32 - 1))
def test_scaling_mixing_and_reordering_change_nothing(x, p, seed):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(x.shape[1], x.shape[1])) + 3 * np.eye(x.shape[1])
    order = rng.permutation(len(x))
    weights = og.lewis_weights(x, p, tol=1e-10, max_passes=300).weights
    mixed = og.lewis_weights(-7.5 * (x @ mixing)[order], p, tol=1e-10, max_passes=300).weights
    if np.linalg.cond(mixing) < 1e4:
        np.testing.assert_allclose(mixed, weights[order], rtol=1e-5, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(pools(min_rows=2), norms, st.integers(2, 5))
def test_copies_of_a_row_share_its_weight(x, p, n_copies):
    scaled = x.copy()
    scaled[0] *= n_copies ** (1 / p)
    alone = og.lewis_weights(scaled, p, tol=1e-11, max_passes=300).weights
    copied = og.lewis_weights(np.vstack([np.repeat(x[:1], n_copies, axis=0), x[1:]]), p, tol=1e-11, max_passes=300)
    np.testing.assert_allclose(copied.weights[:n_copies], alone[0] / n_copies, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(copied.weights[n_copies:], alone[1:], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.8, 4.0, 6.0, 16.0])
def test_one_feature_has_a_formula(p):
    x = np.random.default_rng(0).normal(size=(50, 1))
    want = np.abs(x[:, 0]) ** p / (np.abs(x[:, 0]) ** p).sum()
    np.testing.assert_allclose(og.lewis_weights(x, p, tol=1e-12).weights, want, rtol=1e-10)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.8, 4.0, 6.0, 16.0])
def test_regular_polygon_and_square_matrix(p):
    angles = 2 * np.pi * np.arange(7) / 7
    polygon = np.column_stack([np.cos(angles), np.sin(angles)])
    np.testing.assert_allclose(og.lewis_weights(polygon, p, tol=1e-12).weights, 2 / 7, rtol=1e-10)
    square = np.random.default_rng(0).normal(size=(6, 6))
    np.testing.assert_allclose(og.lewis_weights(square, p, tol=1e-12).weights, 1.0, rtol=1e-10)


def test_p_2_is_leverage():
    x = np.random.default_rng(0).normal(size=(100, 9))
    np.testing.assert_allclose(og.lewis_weights(x, 2.0).weights, og.leverage_scores(x), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(pools(), st.floats(1e-3, 10.0))
def test_ridge_leverage_is_its_formula(x, ridge):
    want = np.einsum("ij,ij->i", x @ np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1])), x)
    np.testing.assert_allclose(og.leverage_scores(x, ridge=ridge), want, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(og.lewis_weights(x, 2.0, ridge=ridge).weights, want, rtol=1e-5, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(pools(), norms, st.floats(1e-2, 10.0))
def test_ridge_lewis_is_the_top_of_the_augmented_matrix(x, p, ridge):
    augmented = np.vstack([x, ridge ** (1 / p) * np.eye(x.shape[1])])
    want = lewis.lewis_weights(augmented, p)[: len(x)]
    got = og.lewis_weights(x, p, ridge=ridge, tol=1e-10, max_passes=300)
    np.testing.assert_allclose(got.weights, want, rtol=1e-6, atol=1e-12)
    assert got.weights.sum() <= min(x.shape) + 1e-6


@settings(max_examples=30, deadline=None)
@given(pools(min_rows=2))
def test_weighted_leverage_is_leverage_of_scaled_rows(x):
    weights = np.random.default_rng(1).random(len(x)) * (np.arange(len(x)) % 4 != 1)
    want = leverage.leverage_scores(x * np.sqrt(weights)[:, None])
    np.testing.assert_allclose(og.leverage_scores(x, weights=weights), want, rtol=1e-6, atol=1e-9)


def test_a_row_given_twice_has_tau_over_one_plus_tau():
    x = np.random.default_rng(0).normal(size=(40, 5))
    tau = og.leverage_scores(x)[0]
    twice = og.leverage_scores(np.vstack([x[:1], x]))
    np.testing.assert_allclose(twice[:2], tau / (1 + tau), rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-18, 1e18, 1e30, 1e150])
def test_units_do_not_matter(scale):
    x = np.random.default_rng(0).normal(size=(300, 6))
    expected = og.lewis_weights(x, 1.0).weights
    np.testing.assert_allclose(og.lewis_weights(x * scale, 1.0).weights, expected, rtol=1e-6)
    np.testing.assert_allclose(og.leverage_scores(x * scale), og.leverage_scores(x), rtol=1e-9)
    if 1e-30 <= scale <= 1e30:
        rows = (x * scale).astype(np.float32)
        np.testing.assert_allclose(og.lewis_weights(rows, 1.0).weights, expected, rtol=1e-5)
