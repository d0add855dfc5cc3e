"""Lewis weights: one pass against one product, a whole fit against the usual NumPy fixed point."""

import functools

import numpy as np
import pytest

import oneglance as og
from baselines import lewis_fixed_point, lewis_step, lewis_steps_needed
from cases import PASS_SHAPES, SHRINK, features, upper_inverse
from oneglance import _core

cached_features = functools.lru_cache(maxsize=1)(features)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", PASS_SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_one_pass_against_one_product(shape, dtype, versus):
    """Baseline: NumPy A @ R, float32, R (d, d), into a ready output."""
    rows = cached_features(*shape)
    u = upper_inverse(rows, 1.0)
    product, out = u.astype(np.float32), np.empty_like(rows)
    ours = rows.astype(dtype)
    tau, form = _core.lewis_pass([ours], u, 1.0, True)
    b = ours.astype(np.float32) @ product
    expected = (b.astype(np.float64) ** 2).sum(axis=1)
    np.testing.assert_allclose(tau, expected, rtol=1e-4)
    np.testing.assert_allclose(np.trace(form), (expected**0.5).sum(), rtol=1e-4)
    versus(
        f"one Lewis pass, {dtype}, {shape[0]} x {shape[1]}",
        lambda: _core.lewis_pass([ours], u, 1.0, True),
        lambda: np.matmul(rows, product, out=out),
        at_most=1.15 if dtype == "float32" else 1.4,
    )


@pytest.mark.parametrize(("p", "at_least", "rounds"), [(1.0, 4, 5), (3.8, 12, 1)])
def test_whole_fit_against_the_usual_fixed_point(p, at_least, rounds, versus):
    """Baseline: w <- (a' (A' W^(1-2/p) A)^-1 a)^(p/2) in float32 NumPy, as many steps as reach 1e-6 in float64."""
    rows = cached_features(60_000 // SHRINK, 256)
    n_steps = lewis_steps_needed(rows, p, 1e-6)
    result = og.lewis_weights(rows, p, tol=1e-6)
    assert result.converged
    values = lewis_step(rows.astype(np.float64), result.weights, p)
    assert np.abs(np.log(values) - 2 / p * np.log(result.weights)).max() <= 1.5e-6
    versus(
        f"lewis_weights p={p:g}, {len(rows)} x 256 ({result.passes} passes, NumPy {n_steps})",
        lambda: og.lewis_weights(rows, p, tol=1e-6),
        lambda: lewis_fixed_point(rows, p, n_steps),
        rounds=rounds,
        at_least=at_least,
    )
