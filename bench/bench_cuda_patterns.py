"""Patterns of pictures on a card: k-means of every picture's patches, the filter, the class token's attention."""

import numpy as np

from oneglance.cluster import small_kmeans
from oneglance.cuda.patterns import Lloyd, class_attention, picture_patterns

N_ITER = 10


def usual_kmeans(xp, points, k, step):
    """Batched Lloyd in float32, `step` pictures at a time, from the first k patches. Sums by products."""
    out = []
    for first in range(0, len(points), step):
        x = points[first : first + step]
        centers = x[:, :k]
        for _ in range(N_ITER):
            dist2 = (centers * centers).sum(2)[:, None] - 2 * (x @ centers.swapaxes(1, 2))
            labels = dist2.argmin(2)
            member = xp.stack([xp.asarray(labels == one, dtype=xp.float32) for one in range(k)], 1)
            counts = member.sum(2)[:, :, None]
            centers = xp.where(counts > 0, (member @ x) / counts.clip(1), centers)
        out.append(centers)
    return xp.concatenate(out)


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
        card.baselines(lambda xp, points: usual_kmeans(xp, points, 5, 1000), points),
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

    def usual(xp, q, keys):
        scores = (q @ keys.swapaxes(2, 3))[:, :, 0] * 0.125
        terms = xp.exp(scores - xp.amax(scores, 2)[:, :, None])
        return (terms / terms.sum(2)[:, :, None]).mean(1)[:, 1:]

    got = class_attention(q, keys, 0.125, 1, card.library)
    assert float((got - usual(card.torch, q, keys)).abs().max()) <= 1e-5
    card.report(
        f"attention of the class token, {n} pictures, {heads} heads, {tokens} tokens x {d_head}",
        lambda: class_attention(q, keys, 0.125, 1, card.library),
        card.baselines(usual, q, keys),
        card.limit_ms(n_bytes=4.0 * keys.numel()),
    )
