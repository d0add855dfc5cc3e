"""One reading of the rows for Lewis weights on a card, in each arithmetic; and whole answers."""

import numpy as np
import pytest

import oneglance as og
from oneglance.cuda import arithmetic, device_rows
from oneglance.cuda.blocks import Blocks
from oneglance.cuda.passes import Passes

N_ROWS, N_DIMS, P = 1_000_000, 768, 1.0


def usual_pass(xp, rows, inverse):
    """What people write: product, norms, scaled copy, product."""
    b = xp.asarray(rows, dtype=inverse.dtype) @ inverse
    tau = (b * b).sum(1)
    scaled = b * tau[:, None] ** (0.25 * P - 0.5)
    return tau, scaled.T @ scaled


def products_of(how, dtype):
    """Products of n d^2 multiply-adds that a pass takes."""
    if how is not arithmetic.THREE_TF32:
        return 2
    return (2 if dtype == "float16" else 3) + 2


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    "how", [arithmetic.TF32, arithmetic.THREE_TF32, arithmetic.FLOAT32], ids=lambda each: each.name
)
def test_one_pass(card, how, dtype):
    torch = card.torch
    n, d = card.size(N_ROWS, 300), card.size(N_DIMS, 24)
    rows = card.normal(n, d, dtype)
    source = Passes(Blocks([device_rows(rows, "X", card.library)], card.library, 0), None)
    gram = source.read(arithmetic.FLOAT64, gram_power=0.0)
    inverse = card.library.upper_inverse(card.library.cholesky_upper(gram))
    tau = card.library.zeros(n, "float64", 0)
    form = source.read(how, inverse=inverse, gram_power=0.5 * P - 1.0, tau=tau)
    want_tau, want = usual_pass(torch, rows[:5000].double(), inverse) if not card.real else (None, None)
    if want is not None:
        assert float((form - want).abs().max()) <= 3e-3 * float(want.abs().max())
        assert float((tau - want_tau).abs().max()) <= 3e-3 * float(want_tau.max())
    narrow = inverse.float()
    limit = card.limit_ms(
        n_bytes=n * d * (2 if dtype == "float16" else 4),
        flops=products_of(how, dtype) * 2.0 * n * d * d,
        tf32=how.tf32,
    )
    card.report(
        f"Lewis pass {n} x {d}, {dtype} rows, {how.name}",
        lambda: source.read(how, inverse=inverse, gram_power=0.5 * P - 1.0, tau=tau),
        card.baselines(usual_pass, rows, narrow),
        limit,
        share=0.6,
    )


@pytest.mark.parametrize("tol", [1e-1, 1e-6])
def test_lewis_weights(card, tol):
    """Against twelve usual passes, as many as the plain iteration needs at p = 1 for the looser tol."""
    torch = card.torch
    n, d = card.size(N_ROWS, 300), card.size(N_DIMS, 24)
    rows = card.normal(n, d, "float16")
    assert og.lewis_weights(rows, P, tol=tol).converged
    identity = torch.eye(d, device=rows.device)

    def usual(xp, rows, identity):
        for _ in range(12):
            usual_pass(xp, rows, identity)

    limit = card.limit_ms(n_bytes=n * d * 2.0)
    card.report(
        f"lewis_weights {n} x {d} float16, p = 1, tol {tol:g}",
        lambda: og.lewis_weights(rows, P, tol=tol),
        card.baselines(usual, rows, identity),
        limit,
        times=3,
        against="torch",
    )


def test_streamed(card):
    """Rows of the host, against the time of their copies alone."""
    n, d = card.size(N_ROWS, 300), card.size(N_DIMS, 24)
    host = card.normal(n, d, "float16").cpu().numpy()
    assert np.array_equal(
        og.leverage_scores(host, device="cuda"),
        card.library.to_host(og.leverage_scores(card.library.from_host(host, 0))),
    )
    pinned = card.torch.from_numpy(host)
    if card.real:
        pinned = pinned.pin_memory()
    card.report(
        f"leverage_scores of {n} x {d} float16 rows of the host",
        lambda: og.leverage_scores(host, device="cuda"),
        {"one pinned copy": lambda: pinned.to("cuda" if card.real else "cpu", non_blocking=True)},
        (float("nan"), ""),
    )
