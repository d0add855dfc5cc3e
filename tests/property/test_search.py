"""Properties of the definitions of nearest rows, farthest points, weighted draws and k-means."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oneglance.reference import draw, farthest, kmeans, nearest
from oneglance.reference.cover import new_cover
from oneglance.reference.small_kmeans import image_patterns, small_kmeans

METRICS = ("sqeuclidean", "cosine")


@st.composite
def pools(draw_, least=2, most=40, integers=None):
    """Rows without zero rows: Gaussian, or small integers with many duplicates and ties."""
    n, d = draw_(st.integers(least, most)), draw_(st.integers(1, 5))
    rng = np.random.default_rng(draw_(st.integers(0, 2**32)))
    if integers if integers is not None else draw_(st.booleans()):
        rows = rng.integers(-2, 3, size=(n, d)).astype(float)
        rows[~rows.any(axis=1)] = 1.0
        return rows
    return rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 4)


@given(pools(), st.sampled_from(METRICS))
@settings(max_examples=80, deadline=None)
def test_distances_are_a_metric_when_rooted(x, metric):
    rows = nearest.prepared(x, metric)
    roots = np.sqrt([nearest.distances(row, rows, metric) for row in rows])
    assert np.array_equal(roots, roots.T)
    assert np.all(np.diag(roots) == 0)
    slack = 1e-12 * roots.max()
    assert np.all(roots[:, :, None] <= roots[:, None, :] + roots.T[None] + slack)
    if metric == "cosine":
        cos = (x @ x.T) / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(x, axis=1))
        assert np.all(np.abs(roots**2 - (1 - cos)) <= 1e-12)


@given(pools(integers=True), st.data())
@settings(max_examples=80, deadline=None)
def test_nearest_is_brute_force_with_ties_to_the_lower_row(x, data):
    k = data.draw(st.integers(1, len(x) - 1))
    indices, distances = nearest.nearest(x, x, k, skip_self=True)
    for i in range(len(x)):
        exact = sorted((int(((x[i] - x[j]) ** 2).sum()), j) for j in range(len(x)) if j != i)[:k]
        assert exact == [(int(d), j) for d, j in zip(distances[i], indices[i].tolist(), strict=True)]


@given(pools(), st.sampled_from(METRICS), st.data())
@settings(max_examples=80, deadline=None)
def test_the_covering_radius_never_grows(x, metric, data):
    k = data.draw(st.integers(1, len(x)))
    cover = farthest.farthest(x, k, metric)
    assert sorted(set(cover.items)) == sorted(cover.items)
    told = np.array(cover.rows[1:]) >= 0  # the others only duplicate earlier picks
    assert np.array_equal(told, np.sort(told)[::-1])
    radii = np.array([*np.array(cover.picked_at[1:])[told], cover.radius()])
    assert np.all(np.diff(radii) <= 0)
    for j, item in enumerate(cover.items[1:], start=1):
        _, d = nearest.nearest(x, x[cover.items[:j]], 1, metric)
        assert d.max() == d[item, 0] == (cover.picked_at[j] if told[j - 1] else 0)
        assert cover.rows[j] == (item if told[j - 1] else -1)


@given(pools(most=9), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_covering_radius_is_at_most_twice_the_best(x, k):
    k = min(k, len(x))
    radius = np.sqrt(farthest.farthest(x, k).radius())
    roots = np.sqrt([nearest.distances(row, x, "sqeuclidean") for row in x])
    best = min(roots[:, list(some)].min(axis=1).max() for some in itertools.combinations(range(len(x)), k))
    assert radius <= 2 * best * (1 + 1e-12)


@given(pools(), st.data())
@settings(max_examples=80, deadline=None)
def test_items_own_rows_masks_and_earlier_picks_are_respected(x, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(x)), min_size=3, max_size=8)))
    offsets = np.array([0, *cuts, len(x)], dtype=np.int64)
    n = offsets.size - 1
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    mask[:2] = True
    already, start = [0], [1]
    k = data.draw(st.integers(1, int(mask[1:].sum())))
    owner = np.repeat(np.arange(n), np.diff(offsets))
    for found in (
        farthest.farthest(x, k, offsets=offsets, mask=mask, already=already, start=start).items,
        draw.weighted_draw(x, k, np.random.default_rng(0), offsets=offsets, mask=mask, already=already, start=start),
    ):
        assert len(found) == len(set(found)) == k
        assert found[0] == 1
        assert mask[found].all()
        assert 0 not in found
        empty = [item for item in found[1:] if not (owner == item).any()]
        assert found[1:] == [item for item in found[1:] if item not in empty] + empty


@given(pools(), st.floats(0.2, 6.0), st.sampled_from(METRICS))
@settings(max_examples=60, deadline=None)
def test_the_law_of_a_draw(x, gamma, metric):
    cover = new_cover(x, metric, None, None, [0], [])
    law = draw.next_item_law(cover, gamma)
    assert abs(law.sum() - 1) <= 1e-12
    assert law[0] == 0
    d = nearest.nearest(x, x[:1], 1, metric)[1][:, 0]
    if d.any():
        assert np.all((law > 0) <= (d > 0))
        i, j = np.argsort(d)[-2:]
        assert law[i] * (d[j] / d.max()) ** gamma == pytest.approx(law[j] * (d[i] / d.max()) ** gamma, rel=1e-9)


@given(pools(), st.sampled_from(METRICS), st.data())
@settings(max_examples=60, deadline=None)
def test_lloyd_never_raises_the_inertia(x, metric, data):
    k = data.draw(st.integers(1, len(x)))
    centers = x[np.sort(np.random.default_rng(k).permutation(len(x))[:k])]
    before = np.inf
    for n_iter in range(1, 6):
        c, labels, d, done, *_ = kmeans.kmeans(x, centers, metric, max_iter=n_iter, tol=0.0)
        again, exact = nearest.nearest(x, c, 1, metric)
        assert np.array_equal(labels, again[:, 0]) or metric == "cosine"
        assert np.all(np.abs(d - exact[:, 0]) <= 1e-12 * max(1.0, d.max()))
        inertia = d.sum()
        assert inertia <= before * (1 + 1e-12) + 1e-15
        before = inertia
        if done < n_iter:
            break
    if metric == "cosine":
        assert np.all(np.abs(np.linalg.norm(c, axis=1) - 1) <= 1e-12)


def test_an_empty_cluster_takes_the_farthest_row_and_centres_may_repeat():
    x = np.array([[0.0], [0.0], [1.0], [10.0], [11.0]])
    centers = np.array([[0.0], [100.0], [200.0]])
    c, labels, d, *_, reassigned = kmeans.kmeans(x, centers, max_iter=1)
    assert reassigned == 2
    assert c[:, 0].tolist() == [1 / 3, 11.0, 10.0]
    assert labels.tolist() == [0, 0, 0, 2, 1]
    same = np.ones((6, 2))
    c, labels, d, n_iter, shift, converged, _ = kmeans.kmeans(same, same[:4])
    assert (c == 1).all()
    assert labels.tolist() == [0] * 6
    assert (d.sum(), n_iter, shift, converged) == (0, 1, 0, True)


@given(pools(least=1), st.integers(1, 6), st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_patterns_of_an_image(x, k, seed):
    found = image_patterns(x, k, seed=seed, item=7)
    assert found.shape == (min(k, len(x)), x.shape[1])
    if k >= len(x):
        assert np.array_equal(found, x)
    elif k == 1:
        assert np.all(np.abs(found[0] - x.mean(axis=0)) <= 1e-12 * np.abs(x).max())
    else:
        assert np.all(found >= x.min(axis=0) - 1e-12)
        assert np.all(found <= x.max(axis=0) + 1e-12)


def test_patterns_of_an_image_do_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    x, offsets = rng.normal(size=(90, 4)).astype(np.float32), np.array([0, 30, 30, 33, 90])
    patterns, ends = small_kmeans(x, offsets, 5, seed=2)
    assert ends.tolist() == [0, 5, 5, 8, 13]
    assert np.array_equal(patterns[5:8], x[30:33])
    alone, _ = small_kmeans(x[33:], np.array([0, 57]), 5, seed=2, items=np.array([3]))
    assert np.array_equal(patterns[8:], alone)
