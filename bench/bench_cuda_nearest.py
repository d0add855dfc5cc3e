"""Nearest centres, neighbours and k-means on a card, against tiled Torch."""

import pytest

import oneglance as og

N_ROWS, N_CENTERS, N_DIMS = 4_000_000, 16_384, 384


def usual_nearest(torch, queries, rows, step):
    """Product and argmin of blocks, in TF32: near-ties fall as they like."""
    norms = (rows.float() ** 2).sum(dim=1)
    out = []
    for first in range(0, len(queries), step):
        dist2 = norms - 2 * (queries[first : first + step].float() @ rows.float().T)
        out.append(dist2.argmin(dim=1))
    return torch.cat(out)


def pair(card, dtype):
    n, k, d = card.size(N_ROWS, 200), card.size(N_CENTERS, 50), card.size(N_DIMS, 16)
    return card.normal(n, d, dtype), card.normal(k, d, dtype, seed=1)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_nearest(card, dtype):
    """The limit counts one product in TF32; ours takes three, which decide within a proven bound."""
    torch = card.torch
    queries, rows = pair(card, dtype)
    found = og.nearest(queries, rows).indices[:, 0]
    assert (usual_nearest(torch, queries[:100].double(), rows.double(), 100) == found[:100]).float().mean() > 0.99
    n, k, d = len(queries), len(rows), rows.shape[1]
    limit = card.limit_ms(n_bytes=queries.element_size() * n * d, flops=2.0 * n * k * d, tf32=True)
    card.report(
        f"nearest {n} x {d} {dtype} against {k}",
        lambda: og.nearest(queries, rows),
        {"torch": lambda: usual_nearest(torch, queries, rows, 8192)},
        limit,
        share=0.6,
    )


def test_neighbours(card):
    n, d = card.size(200_000, 150), card.size(N_DIMS, 16)
    rows = card.normal(n, d, "float16")

    def usual():
        norms = (rows.float() ** 2).sum(dim=1)
        for first in range(0, n, 4096):
            dist2 = norms - 2 * (rows[first : first + 4096].float() @ rows.float().T)
            card.torch.topk(dist2, 11, largest=False)

    limit = card.limit_ms(flops=2.0 * n * n * d, tf32=True)
    card.report(f"10 neighbours in {n} x {d} float16", lambda: og.knn(rows, 10), {"torch": usual}, limit, share=0.6)


def test_kmeans_iterations(card):
    """Ten iterations from random rows."""
    n, k, d = card.size(1_000_000, 200), card.size(1000, 5), card.size(N_DIMS, 16)
    rows = card.normal(n, d, "float16")
    start = rows[:k].double()

    def usual():
        centers = start.float()
        for _ in range(11):
            labels = usual_nearest(card.torch, rows, centers, 8192)
            sums = card.torch.zeros_like(centers).index_add_(0, labels, rows.float())
            centers = sums / card.torch.bincount(labels, minlength=k).clamp(min=1)[:, None]

    limit = card.limit_ms(flops=11 * 2.0 * n * k * d, tf32=True)
    card.report(
        f"k-means, 10 iterations, {n} x {d} float16, k = {k}",
        lambda: og.kmeans(rows, k, init=start, max_iter=10, tol=0.0),
        {"torch": usual},
        limit,
    )
