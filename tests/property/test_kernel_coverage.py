"""Kernel coverage against the greedy with the n x n kernel written out."""

import fractions

import numpy as np
import pytest

import oneglance as og
from oneglance import _core
from oneglance.reference import kernel_coverage as reference

NONE = np.empty(0, dtype=np.int64)


def pool(kind, n, d, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x[rng.integers(0, max(2, n // 5), n)] if kind == "duplicates" else x


@pytest.mark.parametrize("kind", ["normal", "duplicates"])
@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize(("n", "d", "k"), [(300, 5, 40), (1000, 16, 100), (65, 3, 65), (17, 2, 17), (1, 4, 1)])
def test_each_pick_gains_as_much_as_the_best(kind, metric, n, d, k):
    """float32 kernels: where gains differ by less than a rounding another row may win, so gains are compared."""
    x = pool(kind, n, d)
    width = 0.5 if metric == "cosine" else 0.7 * d
    found = og.kernel_coverage(x, k, metric=metric, width=width)
    assert np.unique(found.indices).size == k
    kernel = reference.kernel(x, width, metric)
    covered = np.zeros(n)
    for pick, gain in zip(found.indices, found.gains, strict=True):
        gains = np.maximum(kernel - covered[:, None], 0).mean(axis=0)
        assert gains[pick] >= gains.max() - 1e-6
        assert abs(gains[pick] - gain) <= 1e-6
        covered = np.maximum(covered, kernel[:, pick])
    assert abs(covered.mean() - found.coverage) <= 1e-6


def test_picks_are_those_of_the_definition():
    x = pool("normal", 1000, 16)
    found = og.kernel_coverage(x, 60, width=11.0)
    picks, gains = reference.kernel_coverage(reference.kernel(x, 11.0), 60, NONE, np.ones(1000, dtype=bool))
    np.testing.assert_array_equal(found.indices, picks)
    np.testing.assert_allclose(found.gains, gains, atol=1e-7)
    assert (np.diff(found.gains) <= 1e-7).all()


def test_labelled_rows_cover_and_masked_rows_do_not_count():
    x = pool("normal", 200, 6)
    mask = np.ones(200, dtype=bool)
    mask[150:] = False
    already = np.array([3, 160])  # one inside the mask, one outside
    spoiled = x.copy()
    spoiled[170:] = np.nan
    found = og.kernel_coverage(spoiled, 20, width=4.0, already=already, mask=mask)
    picks, _ = reference.kernel_coverage(reference.kernel(x, 4.0)[:150], 20, already, mask)
    np.testing.assert_array_equal(found.indices, picks)


def test_a_sample_of_evaluated_rows_costs_little_coverage():
    x = pool("normal", 2000, 8)
    whole = og.kernel_coverage(x, 50, width=5.0)
    part = og.kernel_coverage(x, 50, width=5.0, evaluate=500, seed=1)
    kernel = reference.kernel(x, 5.0)
    assert part.evaluated * 500 < whole.evaluated * 2000
    assert kernel[:, part.indices].max(axis=1).mean() >= 0.97 * whole.coverage


def test_many_columns_do_not_fit():
    """More evaluated rows than columns fit in: candidates give up their columns, and get them anew."""
    x = np.random.default_rng(2).normal(size=(70_000, 3)).astype(np.float32)
    found = og.kernel_coverage(x[:1500], 300, width=0.05)
    many = og.kernel_coverage(x, 5, width=3.0, evaluate=2000)
    assert np.unique(found.indices).size == 300
    assert many.indices.size == 5


def test_threads_and_shards_change_no_byte():
    x = pool("normal", 3000, 20).astype(np.float32)
    answers = set()
    for n_threads in (1, 2, 5):
        _core.set_threads(n_threads)
        for rows in (x, og.RowShards(tuple(np.split(x, [7, 700, 2999])))):
            found = og.kernel_coverage(rows, 60)
            answers.add(found.indices.tobytes() + found.gains.tobytes())
    _core.set_threads(0)
    assert len(answers) == 1


def test_the_width_is_the_median_distance():
    x = pool("normal", 500, 6) + 1e6  # a common offset must not cost digits
    d = ((x[:, None] - x) ** 2).sum(axis=2)
    assert og.kernel_coverage(x, 2).width == pytest.approx(np.median(d), rel=0.02)
    assert og.kernel_coverage(np.ones((5, 2)), 3).indices.tolist() == [0, 1, 2]


def test_messages():
    x = pool("normal", 20, 3)
    for more, words in (
        ({"k": 21}, "k is 21, but only 20 rows can be chosen"),
        ({"width": 0}, "width must be a finite number > 0"),
        ({"evaluate": 0}, "evaluate must be an integer >= 1"),
        ({"already": [20]}, r"already must hold positions in 0\.\.19"),
        ({"k": None}, "k must be an integer >= 1, got None. Leave it out only with costs"),
        ({"budget": 3.0}, "budget is money for rows with costs=. Give costs"),
        ({"costs": np.ones(20)}, "costs needs budget="),
        ({"costs": np.ones(20), "budget": 0}, "budget must be a finite number > 0"),
        ({"costs": np.ones(20), "budget": 0.5}, "budget is 0.5, but the cheapest row costs 1"),
        ({"costs": np.arange(20), "budget": 5}, "costs must be finite and > 0, got 0 at row 0"),
        ({"costs": np.ones(3), "budget": 5}, r"costs must have one entry per row of X, shape \(20,\)"),
        ({"weights": -np.ones(20)}, "weights must be finite and >= 0, got -1 at row 0"),
        ({"weights": np.full(20, np.nan)}, "weights must be finite and >= 0, got nan at row 0"),
        ({"weights": np.zeros(20)}, "weights are 0 for every row that counts"),
        ({"weights": ["much"] * 20}, "weights must hold numbers, got list"),
    ):
        with pytest.raises(og.InvalidInput, match=words):
            og.kernel_coverage(x, **{"k": 3, **more})
    x[4] = np.nan
    with pytest.raises(og.InvalidInput, match="X has 1 row with NaN or infinity: 4"):
        og.kernel_coverage(x, 3)


def coverage_of(kernel, picks, weights=None):
    return np.average(kernel[:, picks].max(axis=1, initial=0.0), weights=weights)


@pytest.mark.parametrize("n", [60, 700])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.98])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_weights_are_importances_of_rows(n, zeros, scale):
    x = pool("normal", n, 6)
    rng = np.random.default_rng(1)
    weights = scale * np.where(rng.random(n) < zeros, 0.0, rng.exponential(size=n))
    found = og.kernel_coverage(x, 25, width=5.0, weights=weights)
    kernel = reference.kernel(x, 5.0)
    picks, gains = reference.kernel_coverage(kernel, 25, NONE, np.ones(n, dtype=bool), weights=weights)
    n_same = 25 if zeros < 0.9 else int((weights > 0).sum())  # then nothing is left but gains near 0
    np.testing.assert_array_equal(found.indices[:n_same], picks[:n_same])
    np.testing.assert_allclose(found.gains, gains, atol=1e-6)
    assert abs(found.coverage - coverage_of(kernel, found.indices, weights)) <= 1e-6


def test_equal_weights_change_nothing():
    x = pool("duplicates", 900, 5)
    plain = og.kernel_coverage(x, 60, width=4.0, already=[1, 2])
    same = og.kernel_coverage(x, 60, width=4.0, already=[1, 2], weights=np.full(900, 7.0))
    assert plain.indices.tobytes() == same.indices.tobytes()
    assert plain.gains.tobytes() == same.gains.tobytes()


def test_a_row_that_counts_for_nothing_may_be_picked():
    x = np.array([[-1.0], [0.0], [1.0], [9.0]])
    found = og.kernel_coverage(x, 1, width=10.0, weights=[1.0, 0.0, 1.0, 0.1])
    assert found.indices.tolist() == [1]


@pytest.mark.parametrize("seed", range(6))
def test_costs_and_budget_take_the_better_of_two_greedy_runs(seed):
    rng = np.random.default_rng(seed)
    x = pool("normal", 150, 4, seed)
    costs = rng.choice([1.0, 2.0, 5.0, 10.0], size=150) * rng.uniform(0.5, 1.5, 150)
    weights = rng.exponential(size=150) if seed % 2 else None
    mask = rng.random(150) < 0.8
    already = np.flatnonzero(mask)[:3] if seed % 3 else NONE
    found = og.kernel_coverage(
        x, None, width=3.0, costs=costs, budget=20.0, weights=weights, mask=mask, already=already
    )
    kernel = reference.kernel(x, 3.0)[mask]
    inside = None if weights is None else weights[mask]
    ratio, _ = reference.kernel_coverage(kernel, 150, already, mask, weights=inside, costs=costs, budget=20.0)
    plain = []  # the largest gain among those that can still be paid
    while True:
        left = mask & (costs <= 20.0 - costs[plain].sum())
        left[[*plain, *already]] = False
        if not left.any():
            break
        plain += reference.kernel_coverage(kernel, 1, np.r_[already, plain].astype(int), left, weights=inside)[0]
    values = [coverage_of(kernel, np.r_[already, picks].astype(int), inside) for picks in (ratio, plain)]
    np.testing.assert_array_equal(found.indices, ratio if values[0] >= values[1] else plain)
    assert abs(found.coverage - max(values)) <= 1e-6
    assert found.spent == pytest.approx(costs[found.indices].sum())
    assert found.spent <= 20.0


def test_a_large_row_is_not_forgotten_for_cheap_ones():
    """The ratio rule alone takes the crumb, and then cannot pay the row that covers all."""
    x = np.array([[0.0]] * 50 + [[30.0]])
    costs = np.array([10.0] * 50 + [0.01])
    found = og.kernel_coverage(x, None, width=1.0, costs=costs, budget=10.0)
    assert found.indices.tolist() == [0]
    assert found.coverage == pytest.approx(50 / 51)


def test_money_is_counted_exactly():
    x = pool("normal", 30, 2)
    costs = np.full(30, 0.1)
    costs[0] = 0.2
    found = og.kernel_coverage(x, None, width=1.0, costs=costs, budget=0.3)
    assert sum(map(fractions.Fraction, costs[found.indices])) <= fractions.Fraction(0.3)
    whole = og.kernel_coverage(x, None, width=1.0, costs=np.full(30, 0.5), budget=4.0)
    assert whole.indices.tolist() == og.kernel_coverage(x, 8, width=1.0).indices.tolist()
    assert og.kernel_coverage(x, 3, width=1.0, costs=costs, budget=9.0).indices.size == 3


@pytest.mark.parametrize("k", [1, 7, 200])
@pytest.mark.parametrize("evaluate", [None, 300])
def test_several_panels_passes_and_short_lists(k, evaluate):
    """More rows than a panel, narrow and wide kernels, labelled and masked rows: each pick is the best there is."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1300, 4)) + 4 * rng.normal(size=(6, 4))[rng.integers(0, 6, 1300)]
    mask = rng.random(1300) < 0.9
    already = np.array([4, 5, 1200])
    for width in (0.05, 4.0, 500.0):
        found = og.kernel_coverage(x, k, width=width, mask=mask, already=already, evaluate=evaluate, seed=3)
        assert not np.isin(found.indices, already).any()
        assert mask[found.indices].all()
        if evaluate is not None:
            continue
        kernel = reference.kernel(x, width)[mask]
        covered = kernel[:, already].max(axis=1)
        for pick, gain in zip(found.indices, found.gains, strict=True):
            gains = np.maximum(kernel - covered[:, None], 0).mean(axis=0)
            gains[~mask] = 0
            assert abs(gains[pick] - gain) <= 1e-6
            assert gain >= gains.max() - 1e-6
            covered = np.maximum(covered, kernel[:, pick])


def test_a_smaller_number_of_picks_is_the_beginning():
    x = pool("normal", 2500, 12)
    whole = og.kernel_coverage(x, 150, width=9.0)
    for k in (1, 2, 40):
        np.testing.assert_array_equal(og.kernel_coverage(x, k, width=9.0).indices, whole.indices[:k])
