"""ActiveFT's softmax term and iterations, and BiLAF's classes, on a card."""

import numpy as np

import oneglance as og
from oneglance.cuda import device_rows
from oneglance.cuda.activeft import ActiveFt, Objective


def fit_of(card, n, b, d):
    rows = card.normal(n, d, "float16" if card.real else "float32")
    theta = np.random.default_rng(0).normal(size=(b, d))
    how = Objective("released", 0.07, 1.0, 1e-3, 1, 0, 0, 0)
    return ActiveFt(device_rows(rows, "X", card.library), None, theta, how)


def test_softmax_term(card):
    """The limit: its two products in float32."""
    torch = card.torch
    b, d = card.size(65_536, 70), card.size(384, 16)
    fit = fit_of(card, 100, b, d)
    theta = fit.narrow

    def usual(xp, theta):
        out = xp.empty_like(theta)
        for first in range(0, b, 4096):
            terms = xp.exp((theta[first : first + 4096] @ theta.T - 1) / 0.07)
            out[first : first + 4096] = (terms @ theta) / terms.sum(1)[:, None]
        return out

    found = fit._softmax(None, True)
    assert float((found.out / found.total[:, None].float() - usual(torch, theta)).abs().max()) <= 1e-4
    card.report(
        f"softmax of {b} x {b} cosines of {d} times thetas",
        lambda: fit._softmax(None, True),
        card.baselines(usual, theta),
        card.limit_ms(flops=4.0 * b * b * d),
        share=0.5,
        repeat=5,
    )


def test_activeft_iteration(card):
    """The limit: the product of all rows with all thetas, and two of thetas with thetas, in float32."""
    n, b, d = card.size(100_000, 90), card.size(6400, 20), card.size(384, 16)
    fit = fit_of(card, n, b, d)
    card.report(
        f"ActiveFT, an iteration, {n} x {d} float16, {b} thetas",
        lambda: fit.evaluate(1, 1e-3),
        {},
        card.limit_ms(flops=2.0 * n * b * d + 4.0 * b * b * d),
    )


def test_bilaf(card):
    n, n_cores, d, k = card.size(1_280_000, 120), card.size(6400, 6), card.size(384, 16), card.size(64_000, 20)
    rows = card.normal(n, d, "float16" if card.real else "float32")
    cores = np.arange(0, n, n // n_cores)[:n_cores]
    assert len(set(og.bilaf(rows, k, cores=cores).indices.tolist())) == k
    card.report(
        f"BiLAF after its cores, {n} x {d} float16, {n_cores} cores, {k} picks",
        lambda: og.bilaf(rows, k, cores=cores),
        {},
        card.limit_ms(flops=3 * 2.0 * (n / n_cores) * n * d, dtype="float64"),
        repeat=1,
    )
