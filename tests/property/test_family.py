"""The strategies of the family pick what their definitions in oneglance.reference say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oneglance as og
from oneglance._types import RowShards
from oneglance.reference import balanced, dedup, facility, herding, nearest, probcover, typiclust
from oneglance.strategies import balance, pairs
from oneglance.strategies.dedup import near_duplicates
from oneglance.strategies.facility import _by_target
from oneglance.strategies.space import Space

METRICS = ("sqeuclidean", "cosine")


@st.composite
def pools(draw, least=2, most=60):
    """Rows without zero rows: Gaussian blobs, or small integers with many duplicates and ties."""
    n, d = draw(st.integers(least, most)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        rows = rng.integers(-2, 3, size=(n, d)).astype(float)
        rows[~rows.any(axis=1)] = 1.0
        return rows
    return rng.normal(size=(n, d)) + 3 * rng.normal(size=(4, d))[rng.integers(0, 4, n)]


@st.composite
def requests(draw, **sizes):
    """Rows, labelled positions, excluded positions, a budget that can be met."""
    x = draw(pools(**sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    order = rng.permutation(len(x))
    a, b = sorted(draw(st.tuples(st.integers(0, len(x) // 2), st.integers(0, len(x) // 2))))
    labelled, excluded = np.sort(order[:a]), np.sort(order[a:b])
    free = np.sort(order[b:])
    return x, labelled, excluded, free, draw(st.integers(1, free.size))


@given(requests(), st.integers(1, 6), st.integers(1, 8), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_typiclust_is_its_definition(asked, neighbors, clusters, min_cluster):
    x, labelled, excluded, free, budget = asked
    got = og.select(
        x,
        budget,
        "typiclust",
        metric="sqeuclidean",
        labelled=labelled,
        exclude=excluded,
        max_clusters=clusters,
        neighbors=neighbors,
        min_cluster=min_cluster,
        explain=False,
    )
    used = np.isin(np.arange(len(x)), np.r_[labelled, free])
    k = got.certificate["clusters"]
    assert k == max(1, min(labelled.size + budget, clusters, int(used.sum()) // (2 * min_cluster)))
    labels = og.kmeans(x, k, mask=used).labels
    want = typiclust.typiclust(
        x, labels, free, labelled, budget, "sqeuclidean", neighbors=neighbors, min_cluster=min_cluster
    )
    assert got.indices.tolist() == want


def test_the_most_typical_item_is_in_the_densest_place():
    x = np.array([[0.0], [1.0], [1.2], [1.3], [5.0], [9.0]])
    assert typiclust.mean_distances(x, 2, "sqeuclidean") == pytest.approx([1.1, 0.25, 0.15, 0.2, 3.75, 5.85], abs=1e-12)
    assert og.select(x, 1, "typiclust", metric="sqeuclidean", neighbors=2).indices.tolist() == [2]


def test_typiclust_leaves_small_clusters_for_the_end():
    rng = np.random.default_rng(0)
    x = np.vstack([c + 0.1 * rng.normal(size=(m, 2)) for c, m in ((0, 30), (50, 20), (100, 3), (-40, 10))])
    which = np.repeat([0, 1, 2, 3], [30, 20, 3, 10])
    picks = og.select(x, 63, "typiclust", metric="sqeuclidean", max_clusters=4, min_cluster=5, seed=1)
    order = which[picks.indices]
    assert order[:9].tolist() == [0, 1, 3] * 3
    assert (order[-3:] == 2).all()
    assert picks.reason[0] == "the most typical of a cluster of 30 items"
    more = og.select(x, 3, "typiclust", metric="sqeuclidean", max_clusters=4, min_cluster=5, labelled=[0], seed=1)
    assert which[more.indices].tolist() == [1, 3, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tile", [1, 7, 4096])
@pytest.mark.parametrize("kept", [0, 2**30])
def test_pairs_are_distances_of_all_with_all(monkeypatch, dtype, tile, kept):
    monkeypatch.setattr(pairs, "_TILE", tile)
    monkeypatch.setattr(pairs, "KEPT_BYTES", kept)
    rng = np.random.default_rng(0)
    used, some = np.sort(rng.permutation(60)[:40]), np.array([3, 39, 0])
    for x in (rng.normal(size=(60, 4)) + 100, rng.integers(1, 4, size=(60, 3)).astype(np.float32)):
        for metric in METRICS:
            rows = nearest.prepared(x[used], metric)
            exact = np.array([nearest.distances(row, rows, metric) for row in rows[some]])
            found = pairs.Pairs(RowShards((x,)), used, metric, dtype)
            got = np.full((3, 40), np.nan)
            for part, columns, d in found.tiles(some):
                got[part, columns] = d
            assert np.abs(got - exact).max() <= found.slack
            for radius in (exact[0, 1], exact[2, 7], float(np.median(exact))):  # ties with the radius are outside
                inside = np.zeros((3, 40), dtype=bool)
                for part, columns, block in found.within(some, radius):
                    inside[part, columns] = block
                assert np.array_equal(inside, exact < radius)


@given(requests(), st.floats(0.01, 20.0), st.sampled_from(METRICS))
@settings(max_examples=150, deadline=None)
def test_probcover_is_its_definition(asked, delta, metric):
    x, labelled, excluded, free, budget = asked
    delta = float(round(delta)) if metric == "sqeuclidean" and delta > 1 else delta  # with ties on integers
    got = og.select(
        x, budget, "probcover", metric=metric, labelled=labelled, exclude=excluded, delta=delta, explain=False
    )
    want, radii = probcover.probcover(x, free, labelled, budget, delta, metric)
    assert got.indices.tolist() == want
    for reason, radius in zip(got.reason, radii, strict=True):
        assert reason.endswith(f"within {radius:.3g}") if radius else "duplicates" in reason


def test_probcover_counts_every_row():
    """The released code forgets the last incomplete batch of rows: here the largest ball is there."""
    rng = np.random.default_rng(0)
    x = np.vstack([100 * rng.normal(size=(500, 3)), 0.01 * rng.normal(size=(30, 3))])
    selection = og.select(x, 2, "probcover", metric="sqeuclidean", delta=1.0)
    assert selection.indices[0] >= 500
    assert selection.reason[0].startswith("30 items not covered before")


def test_the_default_radius_holds_a_share_of_the_pool():
    x = np.random.default_rng(0).normal(size=(900, 4))
    for budget in (5, 30):
        delta = og.select(x, budget, "probcover", metric="sqeuclidean", explain=False).certificate["delta"]
        d = np.array([nearest.distances(row, x, "sqeuclidean") for row in x])[~np.eye(900, dtype=bool)]
        assert np.mean(d < delta) == pytest.approx(1 / budget, abs=1e-5)


@given(requests(), st.sampled_from(METRICS), st.floats(0.3, 3.0), st.floats(0.2, 1.5))
@settings(max_examples=150, deadline=None)
def test_herding_is_its_definition(asked, metric, sigma, alpha):
    x, labelled, excluded, free, budget = asked
    got = og.select(
        x,
        budget,
        "herding",
        metric=metric,
        labelled=labelled,
        exclude=excluded,
        sigma=sigma,
        alpha=alpha,
        explain=False,
    )
    want = herding.herding(x, free, labelled, budget, got.certificate["sigma"] ** 2, alpha, metric)
    assert got.indices.tolist() == want


def test_herding_widths_and_samples():
    x = np.random.default_rng(0).normal(size=(300, 3))
    d = np.array([nearest.distances(row, x, "sqeuclidean") for row in x])[~np.eye(300, dtype=bool)]
    selection = og.select(x, 5, "herding", metric="sqeuclidean")
    assert selection.certificate["sigma"] == pytest.approx(np.sqrt(np.median(d)), rel=1e-12)
    some = [og.select(x, 5, "herding", metric="sqeuclidean", mean_over=m).indices.tolist() for m in (50, 100, 200)]
    assert len({tuple(picks) for picks in some}) > 1
    first = int(np.argmax(herding.kernel(x, np.median(d), "sqeuclidean").mean(axis=1)))
    assert selection.indices[0] == first


@given(requests(), st.sampled_from(METRICS), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_facility_location_is_its_definition(asked, metric, neighbors):
    x, labelled, excluded, free, budget = asked
    if metric == "cosine":  # no parallel rows: their order would depend on the rounding of zero
        x = np.hstack([x, 5 + np.random.default_rng(0).random((len(x), 2))])
    got = og.select(
        x, budget, "facility", metric=metric, labelled=labelled, exclude=excluded, neighbors=neighbors, explain=False
    )
    pool = nearest.prepared(x[np.union1d(free, labelled)], metric)
    d = np.array([nearest.distances(row, pool, metric) for row in pool])
    scale = float(np.median(d[~np.eye(len(pool), dtype=bool)])) if len(pool) > 1 else 1.0
    want, gains = facility.facility(x, free, labelled, budget, neighbors, scale or 1.0, metric)
    assert got.indices.tolist() == want
    assert got.certificate["similarity_gained"] == sum(gains) / facility.UNIT
    assert gains == sorted(gains, reverse=True)


def test_sorting_by_halves_is_a_stable_sort():
    for most in (3, 2**16 - 1, 2**16, 2**20, 2**31 - 1):
        near = np.random.default_rng(most).integers(0, most, 5000, endpoint=True).astype(np.int32)
        near[:2000] = near[2000:4000]
        assert np.array_equal(_by_target(near), np.argsort(near, kind="stable"))


@st.composite
def trees(draw):
    """Levels of clusters, free and labelled items, a count."""
    n, k1, k2 = draw(st.integers(1, 40)), draw(st.integers(1, 8)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    order = rng.permutation(n)
    n_labelled = draw(st.integers(0, n - 1))
    levels = [rng.integers(0, k1, n), rng.integers(0, k2, k1), np.zeros(k2, dtype=int)][: draw(st.integers(1, 3))]
    free, labelled = np.sort(order[n_labelled:]), np.sort(order[:n_labelled])
    return levels, free, labelled, draw(st.integers(1, free.size)), rng.integers(0, 5, n).astype(float)


@given(trees())
@settings(max_examples=300, deadline=None)
def test_balanced_draws_are_their_definition(asked):
    levels, free, labelled, count, key = asked
    given_ = balance.tree_shares(count, levels, free, labelled)
    want = balanced.tree_shares(count, levels, free, labelled)
    assert {c: m for c, m in enumerate(given_.tolist()) if m} == {c: m for c, m in want.items() if m}
    picks = balance.from_clusters(levels[0], key, free, given_)
    assert picks.tolist() == balanced.from_clusters(levels[0], key, free, want)
    assert picks.size == count


def test_hierarchical_draws_rare_kinds_as_often_as_common_ones():
    rng = np.random.default_rng(0)
    x = np.vstack([50 * np.eye(4)[c] + rng.normal(size=(m, 4)) for c, m in enumerate((400, 80, 40, 20))])
    kind = np.repeat(np.arange(4), (400, 80, 40, 20))
    for draw in ("closest", "random"):
        found = og.select(x, 40, "hierarchical", metric="sqeuclidean", levels=[16, 4], draw=draw)
        assert np.bincount(kind[found.indices]).tolist() == [10, 10, 10, 10]
        assert found.certificate["levels"] == [16, 4]
    more = og.select(x, 20, "hierarchical", metric="sqeuclidean", levels=[16, 4], labelled=np.arange(15))
    assert np.bincount(kind[more.indices], minlength=4).tolist() == [0, 7, 7, 6]
    with pytest.raises(og.InvalidInput, match="never rise"):
        og.select(x, 5, "hierarchical", levels=[3, 4])
    with pytest.raises(og.InvalidInput, match="levels asks for 541 clusters of 540 items"):
        og.select(x, 5, "hierarchical", levels=[541])
    with pytest.raises(og.InvalidInput, match="draw must be one of"):
        og.select(x, 5, "hierarchical", draw="far")
    with pytest.raises(og.InvalidInput, match="resample must be an integer >= 0"):
        og.select(x, 5, "hierarchical", resample=0.5)


def test_resampling_evens_out_the_clusters():
    """Centres of plain k-means crowd where the items are; resampling spreads them."""
    rng = np.random.default_rng(0)
    x = np.vstack([rng.normal(size=(3000, 2)), 6 + 3 * rng.random((300, 2))])
    share = []
    for resample in (0, 10):
        found = og.select(x, 60, "hierarchical", metric="sqeuclidean", levels=[60], resample=resample, explain=False)
        share.append(np.mean(found.indices >= 3000))
    assert share[1] > 1.2 * share[0]


@given(requests(), st.sampled_from(["easy", "hard"]), st.booleans(), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_prototypes_are_their_definition(asked, keep, even, clusters):
    x, labelled, excluded, free, budget = asked
    got = og.select(
        x,
        budget,
        "prototypes",
        metric="sqeuclidean",
        labelled=labelled,
        exclude=excluded,
        keep=keep,
        even=even,
        clusters=min(clusters, free.size),
        explain=False,
    )
    found = og.kmeans(x, min(clusters, free.size), mask=np.isin(np.arange(len(x)), np.r_[labelled, free]))
    key = found.distances if keep == "easy" else -found.distances
    if even:
        given_ = balanced.tree_shares(budget, [np.r_[found.labels, found.centers.shape[0] - 1]], free, labelled)
        assert got.indices.tolist() == balanced.from_clusters(found.labels, key, free, given_)
    else:
        assert got.indices.tolist() == sorted(free.tolist(), key=lambda i: (key[i], i))[:budget]


def test_mistakes_of_prototypes_are_named():
    x = np.random.default_rng(0).normal(size=(20, 3))
    for wrong, match in (
        ({"keep": "all"}, "keep must be one of"),
        ({"even": 2}, "even must be True or False"),
        ({"clusters": 21}, "clusters is 21, but only 20 items"),
    ):
        with pytest.raises(og.InvalidInput, match=match):
            og.select(x, 5, "prototypes", **wrong)


@pytest.mark.parametrize("cluster_rows", [1000, 7])
@given(requests(), st.sampled_from([1e-9, 0.01, 0.2, 3.0]))
@settings(max_examples=80, deadline=None)
def test_near_duplicates_are_their_definition(cluster_rows, asked, eps):
    x, labelled, _, free, _ = asked
    candidates = np.isin(np.arange(len(x)), free)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oneglance.strategies.dedup._CLUSTER_ROWS", cluster_rows)
        found = near_duplicates(Space("x", "cosine", RowShards((x,))), candidates, labelled, eps, 0)
    used = candidates.copy()
    used[labelled] = True
    assert found.clusters == max(1, int(used.sum()) // cluster_rows)
    labels = og.kmeans(x, found.clusters, metric="cosine", max_iter=20, mask=used).labels
    assert dict(zip(found.items.tolist(), found.of.tolist(), strict=True)) == dedup.duplicates(
        x, labels, free, labelled, eps
    )
