"""Patterns of pictures on a card: k-means of every picture's patches, the filter, the class token's attention."""

import numpy as np

from oneglance.cluster import small_kmeans
from oneglance.cuda.patterns import Lloyd, class_attention, picture_patterns

N_ITER = 10


def usual_kmeans(torch, points, k, step):
    """Batched Lloyd in float32, `step` pictures at a time, from the first k patches."""
    out = []
    for first in range(0, len(points), step):
        x = points[first : first + step]
        centers = x[:, :k].clone()
        for _ in range(N_ITER):
            labels = torch.cdist(x, centers).argmin(dim=2)
            sums = torch.zeros_like(centers).scatter_add_(1, labels[:, :, None].expand_as(x), x)
            counts = torch.zeros(centers.shape[:2], device=x.device).scatter_add_(
                1, labels, torch.ones_like(labels).float()
            )
            centers = torch.where(counts[:, :, None] > 0, sums / counts[:, :, None].clamp(min=1), centers)
        out.append(centers)
    return torch.cat(out)


def pictures(card):
    n, m, d = card.size(100_000, 6), card.size(196, 20), card.size(384, 16)
    return card.normal(n * m, d, "float32").reshape(n, m, d)


def test_small_kmeans(card):
    """The limit: the points read once."""
    points = pictures(card)
    n, m, d = points.shape
    assert small_kmeans(points, None, 5, max_iter=N_ITER, tol=0.0).patterns.shape == (5 * n, d)
    card.report(
        f"k-means of {n} pictures x {m} x {d}, K = 5, {N_ITER} iterations",
        lambda: small_kmeans(points, None, 5, max_iter=N_ITER, tol=0.0),
        {"torch": lambda: usual_kmeans(card.torch, points, 5, 1000)},
        card.limit_ms(n_bytes=4.0 * points.numel()),
        times=10,
        against="torch",
        repeat=5,
    )


def test_filter_and_kmeans(card):
    points = pictures(card)[: card.size(10_000, 6)]
    n, m, d = points.shape
    attention = card.normal(n, m, "float32", seed=1).abs()
    names, how = np.arange(n), Lloyd(5, 0)
    card.report(
        f"patterns of {n} pictures x {m} x {d} by attention, tau 0.5, K = 5",
        lambda: picture_patterns(points, attention, names, how, 0.5, 0.0, card.library),
        {},
        card.limit_ms(n_bytes=4.0 * points.numel()),
    )


def test_attention_of_the_class_token(card):
    n, heads, tokens, d_head = card.size(1024, 3), card.size(6, 2), card.size(197, 10), card.size(64, 8)
    q = card.normal(n * heads, d_head, "float32").reshape(n, heads, 1, d_head)
    keys = card.normal(n * heads * tokens, d_head, "float32", seed=1).reshape(n, heads, tokens, d_head)

    def usual():
        return (q @ keys.transpose(-2, -1) * 0.125).softmax(dim=-1)[:, :, 0].mean(dim=1)[:, 1:]

    got = class_attention(q, keys, 0.125, 1, card.library)
    assert float((got - usual()).abs().max()) <= 1e-5
    card.report(
        f"attention of the class token, {n} pictures, {heads} heads, {tokens} tokens x {d_head}",
        lambda: class_attention(q, keys, 0.125, 1, card.library),
        {"torch": usual},
        card.limit_ms(n_bytes=4.0 * keys.numel()),
    )
