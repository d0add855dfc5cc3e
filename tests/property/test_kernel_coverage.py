"""Kernel coverage against the greedy with the n x n kernel written out."""

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
    ):
        with pytest.raises(og.InvalidInput, match=words):
            og.kernel_coverage(x, **{"k": 3, **more})
    x[4] = np.nan
    with pytest.raises(og.InvalidInput, match="X has 1 row with NaN or infinity: 4"):
        og.kernel_coverage(x, 3)
