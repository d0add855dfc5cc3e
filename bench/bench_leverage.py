"""Leverage scores against one matrix product and against QR."""

import numpy as np
import pytest

import oneglance as og
from baselines import leverage_qr
from cases import PASS_SHAPES, SHRINK, features


@pytest.mark.parametrize("shape", PASS_SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_leverage_against_one_product(shape, versus):
    """Baseline: NumPy A @ R, float32, into a ready output."""
    rows = features(*shape)
    r, out = np.eye(shape[1], dtype=np.float32) + np.float32(0.01), np.empty_like(rows)
    scores = og.leverage_scores(rows)
    np.testing.assert_allclose(scores.sum(), shape[1], rtol=1e-6)
    versus(
        f"leverage_scores, float32, {shape[0]} x {shape[1]}, against A @ R",
        lambda: og.leverage_scores(rows),
        lambda: np.matmul(rows, r, out=out),
        at_most=1.3,
    )


@pytest.mark.parametrize(
    "shape", [(100_000 // SHRINK, 256), (50_000 // SHRINK, 768)], ids=lambda shape: f"{shape[0]}x{shape[1]}"
)
def test_leverage_against_qr(shape, versus):
    """Baseline: squared row norms of NumPy's Q, float32."""
    rows = features(*shape)
    np.testing.assert_allclose(og.leverage_scores(rows), leverage_qr(rows), rtol=1e-3)
    versus(
        f"leverage_scores, float32, {shape[0]} x {shape[1]}, against NumPy QR",
        lambda: og.leverage_scores(rows),
        lambda: leverage_qr(rows),
        rounds=3,
        at_least=5,
    )
