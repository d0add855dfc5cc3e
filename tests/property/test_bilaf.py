"""BiLAF against its definition, one class at a time; and what must hold for every pool."""

import numpy as np
import pytest

import oneglance as og
from oneglance import _core
from oneglance.cluster.bilaf import largest_remainder
from oneglance.reference import bilaf as reference


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def pool(kind, n=400, d=6, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "clustered":
        return rng.normal(size=(8, d))[rng.integers(0, 8, n)] * 2 + rng.normal(size=(n, d))
    if kind == "duplicates":
        return rng.normal(size=(40, d))[rng.integers(0, 40, n)]
    if kind == "equal":
        return np.ones((n, d))
    return rng.normal(size=(n, d))


KINDS = ["normal", "clustered", "duplicates"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_neighbors", "growth"), [(10, 0.1), (1, 0.3), (500, 0.05), (3, 1.0)])
def test_density_order_is_that_of_the_definition(kind, n_neighbors, growth):
    """So the removed sets are the same: the released code's index error cannot come back."""
    x = pool(kind)
    labels = np.random.default_rng(1).integers(0, 5, len(x))
    members = np.argsort(labels, kind="stable").astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(labels))]).astype(np.int64)
    cores = np.array([members[offsets[i] + 7 * i] for i in range(5)])
    order, _ = _core.denoise([x], members, offsets, cores, n_neighbors, growth, 0.1, True)
    for i in range(5):
        mine = members[offsets[i] : offsets[i + 1]]
        expected = reference.density_order(unit(x[mine]), int(np.searchsorted(mine, cores[i])), n_neighbors, growth)
        np.testing.assert_array_equal(order[offsets[i] : offsets[i + 1]], mine[expected])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", [1.0, 1.1, 1.2, 3.0])
@pytest.mark.parametrize("n_cores", [2, 5, 20])
@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_picks_are_those_of_the_definition(kind, penalty, n_cores, metric):
    """Twenty cores are more than the opponents that are looked at first."""
    x = pool(kind, n=300)
    k = 24 if penalty == 3.0 and n_cores == 2 else 120  # 3^60 would leave no digit of the distances
    cores = np.unique(x, axis=0, return_index=True)[1][:n_cores].astype(np.int64)
    found = og.bilaf(x, k, cores=cores, penalty=penalty, metric=metric)
    rows = unit(x) if metric == "cosine" else x
    kept = np.setdiff1d(np.arange(len(x)), found.removed)
    sizes = np.bincount(found.labels[kept], minlength=n_cores)
    budget = largest_remainder(k, sizes, np.ones(n_cores, dtype=np.int64))
    for i in range(n_cores):
        mine = kept[found.labels[kept] == i]
        others = np.delete(rows[cores], i, axis=0)
        picks, scores = reference.boundary_picks(
            rows[mine], int(np.searchsorted(mine, cores[i])), others, int(budget[i]), penalty
        )
        np.testing.assert_array_equal(found.indices[found.classes == i], mine[picks])
        np.testing.assert_allclose(found.scores[found.classes == i], scores, atol=1e-12)


@pytest.mark.parametrize("kind", [*KINDS, "equal"])
@pytest.mark.parametrize("k", [1, 2, 30, 399, 400])
@pytest.mark.parametrize("cores", ["kmeans", "farthest"])
def test_exactly_k_distinct_rows(kind, k, cores):
    found = og.bilaf(pool(kind), k, cores=cores)
    assert np.unique(found.indices).size == found.indices.size == k
    assert np.isin(found.cores, found.indices).all()


def test_classes_of_one_member_and_more_cores_than_near_ones():
    x = pool("normal", n=60)
    found = og.bilaf(x, 50, cores=np.arange(40))
    assert np.unique(found.indices).size == 50
    assert np.isin(np.arange(40), found.indices).all()


def test_removal_leaves_out_its_share_of_every_class():
    x = pool("clustered")
    found = og.bilaf(x, 40, cores="kmeans", n_cores=8, removal=0.25)
    sizes = np.bincount(found.labels)
    np.testing.assert_array_equal(np.bincount(found.labels[found.removed], minlength=8), np.floor(0.25 * sizes))
    assert not np.isin(found.indices, found.removed).any()
    assert og.bilaf(x, 40, cores="kmeans", n_cores=8, removal=0.0).removed.size == 0


def test_labelled_rows_are_cores_that_are_not_answered():
    x = pool("clustered")
    mask = np.ones(400, dtype=bool)
    mask[350:] = False
    spoiled = x.copy()
    spoiled[350:] = np.nan
    already = np.array([3, 50, 90])
    found = og.bilaf(spoiled, 30, already=already, mask=mask, cores="kmeans", n_cores=4)
    assert found.cores[:3].tolist() == already.tolist()
    assert not np.isin(found.indices, already).any()
    assert (found.indices < 350).all()
    assert (found.labels[350:] == -1).all()


@pytest.mark.parametrize("seed", range(20))
def test_budgets_are_exact_and_within_their_bounds(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 50, size=rng.integers(1, 30))
    total = int(rng.integers(sizes.size, sizes.sum() + 1))
    budget = largest_remainder(total, sizes, np.ones(sizes.size, dtype=np.int64))
    assert budget.sum() == total
    assert (budget >= 1).all()
    assert (budget <= sizes).all()
    inner = (budget > 1) & (budget < sizes)
    if inner.sum() > 1:
        rate = budget[inner] / sizes[inner]
        assert rate.max() - rate.min() <= (1 / sizes[inner]).max() * 2


def test_threads_shards_and_instruction_sets_change_nothing():
    x = pool("clustered", n=900, d=33).astype(np.float32)
    cores = np.arange(0, 900, 90)
    expected = og.bilaf(x, 100, cores=cores)
    for n_threads in (1, 3):
        _core.set_threads(n_threads)
        found = og.bilaf(og.RowShards(tuple(np.split(x, [100, 101, 500]))), 100, cores=cores)
        assert found.indices.tobytes() == expected.indices.tobytes()
        assert found.scores.tobytes() == expected.scores.tobytes()
    _core.set_threads(0)


def test_messages():
    x = pool("normal", n=30)
    for more, words in (
        ({"k": 31}, "k is 31, but only 30 rows can be chosen"),
        ({"cores": "best"}, "cores must be one of"),
        ({"cores": [1, 2, 3, 4, 5, 6]}, "cores must hold 1 to k = 5 rows, got 6"),
        ({"n_cores": 6}, "n_cores is 6, but k is 5"),
        ({"growth": 0}, r"growth must lie in \(0, 1\], got 0"),
        ({"growth": "much"}, "growth must be a number >= 0, got 'much'"),
        ({"removal": 1}, r"removal must lie in \[0, 1\), got 1"),
        ({"compat": "old"}, "compat must be one of"),
        ({"penalty": 0.5}, "penalty must be at least 1, got 0.5"),
        ({"already": [1], "cores": [1]}, "cores holds a row that mask or already leaves out"),
    ):
        with pytest.raises(og.InvalidInput, match=words):
            og.bilaf(x, **{"k": 5, **more})
