"""The published code's BiLAF: each of its differences, against a separate oracle or by hand."""

import numpy as np
import pytest

import oneglance as og
from oneglance import _core
from oneglance.cluster.bilaf_released import join, split


def euclidean(x):
    return np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))


def left_out(x, core, *, wrong_index, n_neighbors=10, growth=0.1, removal=0.1):
    """Oracle of the denoising, one row at a time: the set of rows that join last, as in the paper or as published."""
    n, d = len(x), euclidean(x)
    step, inside = max(1, int(growth * n)), [core]
    if wrong_index:  # and the published first round
        inside = sorted(range(n), key=lambda j: d[core, j])[:step]
    while len(inside) < n:
        density = {}
        for j in set(range(n)) - set(inside):
            places = sorted(range(len(inside)), key=lambda p: (d[j, inside[p]], p))[:n_neighbors]
            density[j] = np.mean([d[j, p if wrong_index else inside[p]] for p in places])
        inside += sorted(density, key=lambda j: (density[j], j))[:step]
    return set(inside[n - int(removal * n) :])


def jaccard(a, b):
    return len(a & b) / len(a | b)


def test_the_index_error_is_in_released_alone():
    """Of 200 points the denoising leaves out the oracle's 20; with the error, mostly others."""
    overlap = []
    for seed in range(8):
        x = np.random.default_rng(seed).normal(size=(200, 64))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        right, wrong = left_out(x, 0, wrong_index=False), left_out(x, 0, wrong_index=True)
        members, offsets = np.arange(200), np.array([0, 200])
        order, _ = _core.denoise([x], members, offsets, np.array([0]), 10, 0.1, 0.1, False)
        assert jaccard(set(order[180:].tolist()), right) == 1.0
        released = set(join(euclidean(x), 0, 10, 0.1)[180:].tolist())
        assert jaccard(released, wrong) == 1.0
        overlap.append(jaccard(released, right))
    assert np.mean(overlap) < 0.2


def test_the_first_round_is_nearest_rows_and_the_last_incomplete_one_is_lost():
    x = np.arange(23.0)[:, None]
    joined = join(euclidean(x), 20, 10, 0.1)  # steps of 2: 11 rounds, one row is lost
    assert joined[:2].tolist() == [20, 19]
    assert joined.size == np.unique(joined).size == 22
    assert join(euclidean(x), 5, 10, 1.0).tolist()[:3] == [5, 4, 6]


@pytest.mark.parametrize(
    ("budget", "sizes", "want"),
    [
        (10, [50, 30, 20], [5, 3, 2]),
        (
            7,
            [50, 30, 20],
            [3, 2, 2],
        ),  # 3.5, 2.1, 1.4: the one that is left goes to the least, not the largest remainder
        (6, [90, 4, 3, 3], [5, 1, 0, 0]),  # 5.4, .24, .18, .18: no budget for two classes
        (9, [10, 1, 1], [7, 1, 1]),  # 7.5, .75, .75
        (6, [3, 1, 1], [3, 2, 1]),  # 3.6, 1.2, 1.2: more than the class has
    ],
)
def test_what_is_left_of_the_budget_goes_to_the_smallest_class(budget, sizes, want):
    assert split(budget, np.array(sizes)).tolist() == want


def scaled(n=300, seed=0):
    """Rows of unequal norms: raw distances and those of unit rows disagree."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, 8))[rng.integers(0, 6, n)] * 2 + rng.normal(size=(n, 8))
    return x * rng.uniform(0.3, 3, size=(n, 1))


def test_rows_are_measured_as_they_are():
    x = scaled()
    cores = np.arange(0, 300, 50)
    found = og.bilaf(x, 40, cores=cores, compat="released")
    raw = np.sqrt(((x[:, None] - x[cores][None]) ** 2).sum(axis=2))
    np.testing.assert_array_equal(found.labels, raw.argmin(axis=1))
    assert not np.array_equal(found.labels, og.bilaf(x, 40, cores=cores).labels)


def test_one_opponent_alone_is_penalised():
    """Two picks of a class, recomputed by hand from the answer's own classes."""
    x, cores = scaled(n=120), np.array([0, 40, 80])
    found = og.bilaf(x, 30, cores=cores, compat="released", removal=0.0, growth=1.0, penalty=2.0)
    budget = split(30, np.bincount(found.labels))
    raw = np.sqrt(((x[:, None] - x[cores][None]) ** 2).sum(axis=2))
    for one, core in enumerate(cores):
        members, times, picks = np.flatnonzero(found.labels == one), np.zeros(3), [core]
        intra = {j: np.linalg.norm(x[members] - x[j], axis=1).mean() for j in members}
        left = list(members)
        for _ in range(budget[one] - 1):
            near = sorted(left, key=lambda j: -1 if j == picks[-1] else np.linalg.norm(x[j] - x[picks[-1]]))
            left = sorted(set(left) - set(near[: members.size // budget[one]]))
            value = []
            for j in left:
                other = np.delete(np.arange(3), one)[np.delete(raw[j], one).argmin()]
                top = max(raw[j, other], intra[j])
                value.append((raw[j, other] * 2.0 ** times[other] - intra[j]) / top)
            picks.append(left[int(np.argmin(value))])
            times[np.delete(np.arange(3), one)[np.delete(raw[picks[-1]], one).argmin()]] += 1
        np.testing.assert_array_equal(found.indices[found.classes == one], picks)
    assert found.repeats == 0


@pytest.mark.parametrize("kind", ["scaled", "duplicates", "equal"])
@pytest.mark.parametrize("k", [1, 3, 60, 119, 120])
def test_exactly_k_distinct_rows_whatever_the_published_code_would_do(kind, k):
    x = {"scaled": scaled(n=120), "equal": np.ones((120, 3))}.get(kind)
    if x is None:
        x = np.random.default_rng(1).normal(size=(7, 3))[np.arange(120) % 7]
    found = og.bilaf(x, k, cores=np.arange(min(k, 9)), compat="released")
    assert np.unique(found.indices).size == found.indices.size == k
    assert found.indices.min() >= 0
    assert found.indices.max() < 120
    more = og.bilaf(x, min(k, 110), cores=np.arange(5, 6), already=np.arange(5), compat="released")
    assert np.unique(more.indices).size == min(k, 110)
    assert (more.indices >= 5).all()


def test_repeats_are_counted_and_replaced():
    """Classes of 15, 1 and 1 rows after the denoising: a small one gets more than it has."""
    x = np.concatenate([np.linspace(0, 1, 16), [50.0], [90.0]])[:, None]
    found = og.bilaf(x, 17, cores=[0, 16, 17], compat="released")
    assert found.repeats > 0
    assert np.unique(found.indices).size == 17
    assert og.bilaf(x, 17, cores=[0, 16, 17], metric="sqeuclidean").repeats == 0


def test_a_class_without_budget_gives_no_row():
    x = np.concatenate([np.random.default_rng(0).normal(size=(96, 2)), [[90.0, 0], [0, 90.0], [-90.0, 0], [0, -90.0]]])
    found = og.bilaf(x, 6, cores=[0, 96, 97, 98, 99], compat="released")
    assert found.indices.size == 6
    assert np.bincount(found.classes, minlength=5).tolist() == [5, 1, 0, 0, 0]


def test_the_strategy_says_so_in_its_certificate():
    x = scaled(n=120).astype(np.float32)
    picks = og.select(x, 20, "bilaf", compat="released", cores="kmeans", seed=1)
    assert picks.certificate["compat"] == "released"
    assert picks.certificate["n_repeats"] >= 0
    assert np.unique(picks.indices).size == 20
    plain = og.select(x, 20, "bilaf", cores="kmeans", seed=1)
    assert plain.certificate["compat"] == "paper"
    assert "n_repeats" not in plain.certificate
