"""Nearest centres, neighbours and k-means on a card, against tiled products in Torch and CuPy."""

import pytest

import oneglance as og

N_ROWS, N_CENTERS, N_DIMS = 4_000_000, 16_384, 384


def usual_nearest(xp, queries, rows):
    """Product and argmin of blocks in float32 (or TF32, as the library is set): near-ties fall as they like."""
    wide = xp.asarray(rows, dtype=xp.float32)
    norms = (wide * wide).sum(1)
    out = []
    for first in range(0, len(queries), 8192):
        block = xp.asarray(queries[first : first + 8192], dtype=xp.float32)
        out.append((norms - 2 * (block @ wide.T)).argmin(1))
    return xp.concatenate(out)


def pair(card, dtype):
    n, k, d = card.size(N_ROWS, 200), card.size(N_CENTERS, 50), card.size(N_DIMS, 16)
    return card.normal(n, d, dtype), card.normal(k, d, dtype, seed=1)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_nearest(card, dtype):
    """The limit counts one product in TF32; ours takes three, which decide within a proven bound."""
    torch = card.torch
    queries, rows = pair(card, dtype)
    found = og.nearest(queries, rows).indices[:, 0]
    assert (usual_nearest(torch, queries[:100], rows) == found[:100]).float().mean() > 0.99
    n, k, d = len(queries), len(rows), rows.shape[1]
    limit = card.limit_ms(n_bytes=queries.element_size() * n * d, flops=2.0 * n * k * d, tf32=True)
    card.report(
        f"nearest {n} x {d} {dtype} against {k}",
        lambda: og.nearest(queries, rows),
        card.baselines(usual_nearest, queries, rows),
        limit,
        share=0.6,
    )


def test_neighbours(card):
    n, d = card.size(200_000, 150), card.size(N_DIMS, 16)
    rows = card.normal(n, d, "float16")

    def usual(xp, rows):
        wide = xp.asarray(rows, dtype=xp.float32)
        norms = (wide * wide).sum(1)
        for first in range(0, n, 4096):
            dist2 = norms - 2 * (wide[first : first + 4096] @ wide.T)
            if xp is card.torch:
                xp.topk(dist2, 11, largest=False)
            else:
                xp.sort(dist2, axis=1)[:, :11]

    limit = card.limit_ms(flops=2.0 * n * n * d, tf32=True)
    card.report(
        f"10 neighbours in {n} x {d} float16", lambda: og.knn(rows, 10), card.baselines(usual, rows), limit, share=0.6
    )


def test_kmeans_iterations(card):
    """Ten iterations from random rows."""
    n, k, d = card.size(1_000_000, 200), card.size(1000, 5), card.size(N_DIMS, 16)
    rows = card.normal(n, d, "float16")
    start = rows[:k].double()

    def usual(xp, rows, start):
        centers = xp.asarray(start, dtype=xp.float32)
        wide = xp.asarray(rows, dtype=xp.float32)
        for _ in range(11):
            labels = usual_nearest(xp, wide, centers)
            if xp is card.torch:
                sums = xp.zeros_like(centers).index_add_(0, labels, wide)
            else:
                sums = xp.zeros_like(centers)
                xp.add.at(sums, labels, wide)
            centers = sums / xp.bincount(labels, minlength=k).clip(1)[:, None]

    limit = card.limit_ms(flops=11 * 2.0 * n * k * d, tf32=True)
    card.report(
        f"k-means, 10 iterations, {n} x {d} float16, k = {k}",
        lambda: og.kmeans(rows, k, init=start, max_iter=10, tol=0.0),
        card.baselines(usual, rows, start),
        limit,
    )
