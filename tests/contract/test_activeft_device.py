"""ActiveFT on a device: gradients of the definition, runs like the CPU's."""

import numpy as np
import pytest

import oneglance as og
from oneglance.cuda import device_rows
from oneglance.cuda.activeft import ActiveFt, Objective
from oneglance.errors import InvalidInput
from oneglance.reference import activeft as reference

both = pytest.mark.parametrize("objective", ["paper", "released"])


def pool(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + 2 * rng.normal(size=(6, d))[rng.integers(0, 6, n)]).astype(np.float32)


def fit_of(device, x, v, objective, tau=0.07, mask=None, **asked):
    how = Objective(objective, tau, 1.3, 1e-3, 1, asked.get("n_fixed", 0), asked.get("sample_rows", 0), 3)
    fit = ActiveFt(device_rows(device.put(x), "X", device.library), mask, v, how)
    fit.evaluate(1, asked.get("rate", 0.0))
    return fit


@both
@pytest.mark.parametrize(
    ("n", "d", "b"), [(1, 1, 1), (15, 3, 1), (17, 16, 2), (63, 17, 15), (65, 7, 16), (130, 33, 65), (80, 5, 300)]
)
def test_gradients_are_those_of_the_definition(device, objective, n, d, b):
    x, v = pool(n, d), np.random.default_rng(b).normal(size=(b, d))
    fit = fit_of(device, x, v, objective)
    want = reference.gradient(x, v, objective, 0.07, 1.3)
    scale = np.abs(want).max() + 1e-9
    assert np.abs(device.get(fit.gradient) - want).max() <= 2e-5 * scale + 1e-7
    loss = reference.objective(x, v, objective, 0.07, 1.3)
    assert device.get(fit.loss)[0] == pytest.approx(loss, rel=1e-5, abs=1e-5)


@both
def test_a_small_temperature_neither_overflows_nor_vanishes(device, objective):
    """exp(1 / tau) is far outside float64: running maxima keep every term at most 1."""
    x, v = pool(40, 6), np.random.default_rng(1).normal(size=(9, 6))
    fit = fit_of(device, x, v, objective, tau=1e-3)
    assert np.isfinite(device.get(fit.gradient)).all()
    assert np.isfinite(device.get(fit.loss)).all()
    f, theta = x / np.linalg.norm(x, axis=1, keepdims=True), v / np.linalg.norm(v, axis=1, keepdims=True)
    between = theta @ theta.T / 1e-3 - (1e300 * np.eye(9) if objective == "paper" else 0)
    log_sum = between.max(axis=1) + np.log(np.exp(between - between.max(axis=1, keepdims=True)).sum(axis=1))
    s = (f @ theta.T).max(axis=1) / 1e-3
    if objective == "paper":
        want = -s.mean() + 1.3 * log_sum.mean()
    else:
        want = np.logaddexp(0, np.log(1.3) + log_sum[(f @ theta.T).argmax(axis=1)] - s).mean()
    assert device.get(fit.loss)[0] == pytest.approx(want, rel=1e-4)


@both
def test_masks_samples_and_fixed_thetas(device, objective):
    x, v = pool(60, 8), np.random.default_rng(2).normal(size=(7, 8))
    mask = np.random.default_rng(3).random(60) < 0.7
    x[~mask] = np.nan
    fit = fit_of(device, x, v, objective, mask=mask)
    want = reference.gradient(x[mask], v, objective, 0.07, 1.3)
    np.testing.assert_allclose(device.get(fit.gradient), want, rtol=1e-4, atol=1e-6)
    fit = fit_of(device, x, v, objective, mask=mask, sample_rows=12, n_fixed=3, rate=1e-2)
    there = np.flatnonzero(mask).astype(np.int64)
    from oneglance._rng import Purpose, uniforms

    drawn = there[np.argsort(uniforms(3, Purpose.ACTIVEFT, there, draw=1), kind="stable")[:12]]
    want = reference.gradient(x[drawn], v, objective, 0.07, 1.3)
    np.testing.assert_allclose(device.get(fit.gradient), want, rtol=1e-4, atol=1e-6)
    moved = np.abs(device.get(fit.v) - v).max(axis=1)
    assert (moved[:3] == 0).all()
    assert (moved[3:] > 5e-3).sum() >= 3  # released: a theta without rows of its own stays


@both
def test_blocks_in_any_order_give_the_same(device, objective):
    x, v = pool(70, 9), np.random.default_rng(5).normal(size=(40, 9))
    first = device.get(fit_of(device, x, v, objective).gradient)
    with device.descending():
        assert device.get(fit_of(device, x, v, objective).gradient).tobytes() == first.tobytes()


@both
@pytest.mark.parametrize("init", ["random", "farthest"])
def test_a_run_is_like_that_of_the_cpu(device, objective, init):
    x = pool(90, 12)
    asked = {"objective": objective, "init": init, "n_iter": 4, "seed": 2, "already": [3, 8]}
    got, want = og.activeft(device.put(x), 9, **asked), og.activeft(x, 9, **asked)
    np.testing.assert_allclose(got.loss, want.loss, rtol=1e-4)
    assert len(set(got.indices.tolist())) == 9
    assert not {3, 8} & set(got.indices.tolist())
    assert np.abs(got.theta - want.theta).max() <= 1e-2  # Adam's first steps are signs: 4 of 1e-3
    assert (got.indices == want.indices).mean() >= 0.8
    np.testing.assert_allclose(np.linalg.norm(got.theta, axis=1), 1, rtol=1e-12)


def test_mistakes_are_named(device):
    x = pool(20, 4)
    x[4, 1] = np.nan
    with pytest.raises(InvalidInput, match="X has 1 row with NaN or infinity: 4"):
        og.activeft(device.put(x), 3, n_iter=1)
    x[4] = 0
    with pytest.raises(InvalidInput, match="X has 1 row of zeros, which have no cosine: 4"):
        og.activeft(device.put(x), 3, n_iter=1)
    with pytest.raises(InvalidInput, match="k is 21, but only 20 rows can be chosen"):
        og.activeft(device.put(x), 21)
