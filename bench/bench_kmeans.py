"""k-means: one iteration against the floor, the whole fit against faiss and scikit-learn; the patterns of images."""

import numpy as np
import pytest

import oneglance as og
from baselines import small_kmeans_torch
from cases import SHRINK, Floor, clustered, features
from oneglance.cluster import small_kmeans

N_ROWS, N_CLUSTERS, N_DIMS, N_ITER = 200_000 // SHRINK, 1000, 384, 25


def fit(rows, init="k-means++", n_iter=N_ITER):
    return og.kmeans(rows, N_CLUSTERS, init=init, max_iter=n_iter, tol=0.0)


def test_iteration_against_the_floor(versus):
    """Baseline: the multiply-adds of all assignments at the rate of a float32 NumPy product. Gaussian rows have no
    clusters, so that bounds skip almost nothing."""
    rows, floor, n_iter = features(N_ROWS, N_DIMS), Floor(N_ROWS // 2, N_DIMS), 4
    start = rows[:N_CLUSTERS].astype(np.float64)
    found = fit(rows, start, n_iter)
    np.testing.assert_array_equal(found.labels, og.nearest(rows, found.centers).indices[:, 0])
    versus(
        f"kmeans, {N_ROWS} x {N_DIMS}, k={N_CLUSTERS}, {n_iter} iterations + final labels, Gaussian, floor",
        lambda: fit(rows, start, n_iter),
        floor.product,
        rounds=3,
        scale=floor.scale((n_iter + 1) * N_ROWS * N_CLUSTERS * N_DIMS),
        at_most=1.2,
    )


@pytest.mark.parametrize("kind", ["clustered", "Gaussian"])
def test_whole_fit_against_faiss(kind, versus):
    """Baseline: faiss.Kmeans, all rows, its own start."""
    faiss = pytest.importorskip("faiss")
    rows = clustered(N_ROWS, N_DIMS, 700) if kind == "clustered" else features(N_ROWS, N_DIMS)
    peers = []

    def faiss_fit():
        peer = faiss.Kmeans(
            N_DIMS, N_CLUSTERS, niter=N_ITER, seed=1, max_points_per_centroid=N_ROWS, min_points_per_centroid=1
        )
        peer.train(rows)
        peers.append(peer)

    faiss_fit()
    inertia = og.nearest(rows, peers[0].centroids).distances.sum()
    assert fit(rows).inertia <= 1.01 * inertia
    versus(
        f"kmeans whole fit, {N_ROWS} x {N_DIMS}, k={N_CLUSTERS}, {N_ITER} iterations, {kind}, faiss.Kmeans",
        lambda: fit(rows),
        faiss_fit,
        rounds=1,
        at_least=1.3,
    )


def test_whole_fit_against_scikit_learn(versus):
    """Baseline: KMeans(algorithm="lloyd") from random rows, which is its fastest start."""
    cluster = pytest.importorskip("sklearn.cluster")
    rows = clustered(N_ROWS, N_DIMS, 700)
    peer = cluster.KMeans(N_CLUSTERS, init="random", n_init=1, max_iter=N_ITER, tol=0.0, random_state=1)

    def sklearn_fit():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ConvergenceWarning: the number of iterations is the case
            peer.fit(rows)

    sklearn_fit()
    assert fit(rows).inertia <= 1.01 * peer.inertia_
    versus(
        f"kmeans whole fit, {N_ROWS} x {N_DIMS}, k={N_CLUSTERS}, {N_ITER} iterations, clustered, scikit-learn",
        lambda: fit(rows),
        sklearn_fit,
        rounds=1,
        at_least=1.3,
    )


N_IMAGES, N_PATCHES, K = 1000 // SHRINK, 196, 5
IMAGES = f"small_kmeans, {N_IMAGES} images x {N_PATCHES} x {N_DIMS}, K={K}"


def patches():
    """Patches of images: a few parts per image, and noise."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((N_IMAGES, 8, N_DIMS), dtype=np.float32)
    points = 1.5 * rng.standard_normal((N_IMAGES, N_PATCHES, N_DIMS), dtype=np.float32)
    points += np.take_along_axis(parts, rng.integers(0, 8, (N_IMAGES, N_PATCHES))[:, :, None], axis=1)
    return points, np.arange(0, N_IMAGES * N_PATCHES + 1, N_PATCHES)


def inertia(points, centers):
    return sum(og.nearest(p, c).distances.sum() for p, c in zip(points, centers, strict=True))


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_patterns_against_scikit_learn(init, versus):
    """Baseline: scikit-learn's KMeans on a tenth of the images, one after the other; with its default start, and
    with the random points that FreeSel starts from, which cost it much less."""
    cluster = pytest.importorskip("sklearn.cluster")
    points, offsets = patches()
    flat = points.reshape(-1, N_DIMS)
    few = points[: max(1, N_IMAGES // 10)]

    def loop():
        return [cluster.KMeans(K, init=init, n_init=1, random_state=0).fit(p).cluster_centers_ for p in few]

    ours = small_kmeans(flat, offsets, K).patterns.reshape(N_IMAGES, K, N_DIMS)[: len(few)]
    assert inertia(few, ours) <= 1.02 * inertia(few, loop())
    versus(
        f"{IMAGES}, scikit-learn loop, start {init}",
        lambda: small_kmeans(flat, offsets, K),
        loop,
        rounds=5,
        scale=N_IMAGES / len(few),
        at_least=15,
    )


def test_patterns_against_batched_torch(versus):
    """Baseline: all images at once by torch.bmm, until every image has converged."""
    pytest.importorskip("torch")
    points, offsets = patches()
    flat = points.reshape(-1, N_DIMS)
    ours = small_kmeans(flat, offsets, K).patterns.reshape(N_IMAGES, K, N_DIMS)
    assert inertia(points, ours) <= 1.01 * inertia(points, small_kmeans_torch(points, K))
    versus(
        f"{IMAGES}, batched torch",
        lambda: small_kmeans(flat, offsets, K),
        lambda: small_kmeans_torch(points, K),
        rounds=5,
        at_least=4,
    )
