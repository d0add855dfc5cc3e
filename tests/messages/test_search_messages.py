"""What a person reads when the search and cluster functions refuse an input."""

import numpy as np
import pytest

import oneglance as og
from oneglance.cluster import small_kmeans


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(20, 3))


FUNCTIONS = {
    "nearest": lambda x, **more: og.nearest(np.ones((2, 3)), x, **more),
    "knn": lambda x, **more: og.knn(x, 2, **more),
    "farthest_points": lambda x, **more: og.farthest_points(x, 4, **more),
    "weighted_draw": lambda x, **more: og.weighted_draw(x, 4, **more),
    "kmeans": lambda x, **more: og.kmeans(x, 4, **more),
    "mini-batch kmeans": lambda x, **more: og.kmeans(x, 4, batch_rows=7, **more),
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@every_function
class TestEveryFunction:
    def test_nan_rows_are_named(self, function, x):
        x[[3, 17], 1] = np.nan, np.inf
        with pytest.raises(og.InvalidInput, match=r"X has 2 rows with NaN or infinity: 3, 17\. Fix them"):
            function(x)

    def test_zero_rows_have_no_cosine(self, function, x):
        x[[3, 17]] = 0
        with pytest.raises(
            og.InvalidInput, match=r"X has 2 rows of zeros, which have no cosine: 3, 17\. .*sqeuclidean"
        ):
            function(x, metric="cosine")

    def test_masked_bad_rows_are_no_problem(self, function, x):
        x[[3, 17]] = np.nan
        function(x, mask=np.isfinite(x).all(axis=1))
        x[[3, 17]] = 0
        function(x, mask=x.any(axis=1), metric="cosine")

    def test_metric(self, function, x):
        with pytest.raises(
            og.InvalidInput, match=r"metric must be one of \['sqeuclidean', 'cosine'\], got 'cosin'\. Did"
        ):
            function(x, metric="cosin")
        with pytest.raises(og.InvalidInput, match=r"got 'euclidean'\. Did you mean \"sqeuclidean\"\?"):
            function(x, metric="euclidean")

    def test_mask_of_another_length(self, function, x):
        with pytest.raises(
            og.InvalidInput, match=r"mask must be a boolean array of shape \(20,\), got bool .* \(19,\)"
        ):
            function(x, mask=np.ones(19, dtype=bool))

    def test_one_dimension(self, function):
        with pytest.raises(og.InvalidInput, match=r"X must be 2-D .* got shape \(5,\)\. Use X\.reshape\(-1, 1\)"):
            function(np.arange(5.0))


def test_bad_queries_are_told_from_bad_rows(x):
    bad = x.copy()
    bad[2], bad[5] = np.nan, 0
    with pytest.raises(og.InvalidInput, match="Q has 1 row with NaN or infinity: 2. Fix them, or leave them out of Q"):
        og.nearest(bad, x)
    bad[2] = 1
    with pytest.raises(og.InvalidInput, match="Q has 1 row of zeros, which have no cosine: 5. Leave them out of Q"):
        og.nearest(bad, x, metric="cosine")


def test_counts(x):
    with pytest.raises(og.InvalidInput, match="k is 21, but X has only 20 rows. Ask for at most 20"):
        og.nearest(x, x, k=21)
    mask = np.arange(20) < 5
    with pytest.raises(og.InvalidInput, match="k is 6, but X has only 5 rows that mask leaves. Ask for at most 5"):
        og.nearest(x, x, k=6, mask=mask)
    with pytest.raises(og.InvalidInput, match="k is 5, but X has only 4 other rows that mask leaves"):
        og.knn(x, 5, mask=mask)
    with pytest.raises(og.InvalidInput, match="k is 6, but X has only 5 rows that mask leaves"):
        og.kmeans(x, 6, mask=mask)
    for wrong in (0, -1, 2.0, True):
        with pytest.raises(og.InvalidInput, match="k must be an integer >= 1, got"):
            og.nearest(x, x, k=wrong)
        with pytest.raises(og.InvalidInput, match="k must be an integer >= 1, got"):
            og.kmeans(x, wrong)
    with pytest.raises(og.InvalidInput, match="Q has 3 columns, X has 2. Both must come from the same backbone"):
        og.nearest(x, x[:, :2])


@pytest.mark.parametrize("function", [og.farthest_points, og.weighted_draw], ids=["farthest_points", "weighted_draw"])
class TestPicks:
    def test_more_than_there_are(self, function, x):
        with pytest.raises(og.InvalidInput, match="k is 21, but X has only 20 rows. Ask for at most 20"):
            function(x, 21)
        with pytest.raises(og.InvalidInput, match="k is 4, but X has only 3 rows outside mask and already"):
            function(x, 4, mask=np.arange(20) < 5, already=[0, 1])
        with pytest.raises(og.InvalidInput, match="k is 4, but X has only 3 items. Ask for at most 3"):
            function(x, 4, offsets=[0, 5, 9, 20])

    def test_items_chosen_before(self, function, x):
        with pytest.raises(og.InvalidInput, match=r"already must hold positions in 0\.\.19, got 20"):
            function(x, 3, already=[20])
        with pytest.raises(og.InvalidInput, match="already must hold each position once, got 4 more than once"):
            function(x, 3, already=[4, 1, 4])
        with pytest.raises(
            og.InvalidInput, match=r"already must be a 1-D list of positions .*numpy\.flatnonzero\(already"
        ):
            function(x, 3, already=np.ones(20, dtype=bool))
        with pytest.raises(og.InvalidInput, match="start and already both hold item 4"):
            function(x, 3, already=[4], start=[1, 4])
        with pytest.raises(og.InvalidInput, match="start holds item 7, which mask leaves out"):
            function(x, 3, mask=np.arange(20) < 5, start=[1, 7])
        with pytest.raises(og.InvalidInput, match="start holds 3 items, k is 2. k counts the items of start too"):
            function(x, 2, start=[1, 2, 3])

    def test_offsets(self, function, x):
        with pytest.raises(
            og.InvalidInput, match="offsets must start at 0 and end at the number of rows, 20; got 0 and"
        ):
            function(x, 2, offsets=[0, 5, 19])
        with pytest.raises(og.InvalidInput, match="offsets must never fall, got 9 and then 5 at item 1"):
            function(x, 2, offsets=[0, 9, 5, 20])
        with pytest.raises(og.InvalidInput, match=r"offsets must be a 1-D integer array \(items \+ 1,\), got float64"):
            function(x, 2, offsets=[0.0, 20.0])
        x[6] = np.nan
        with pytest.raises(
            og.InvalidInput, match="X has 1 row with NaN or infinity: 6. Fix them, or leave their items"
        ):
            function(x, 2, offsets=[0, 5, 20])


def test_exponent_and_seed(x):
    with pytest.raises(og.InvalidInput, match="gamma must be a finite number > 0, got 0"):
        og.weighted_draw(x, 2, gamma=0)
    with pytest.raises(og.InvalidInput, match=r"seed must be an integer in 0 \.\. 2\*\*63 - 1, got -1"):
        og.weighted_draw(x, 2, seed=-1)


def test_kmeans_arguments(x):
    with pytest.raises(og.InvalidInput, match=r"init must be one of \['k-means\+\+', 'random'\] or an array .* 'best'"):
        og.kmeans(x, 2, init="best")
    with pytest.raises(og.InvalidInput, match=r"init must hold k centres of shape \(2, 3\), got shape \(3, 3\)"):
        og.kmeans(x, 2, init=x[:3])
    with pytest.raises(og.InvalidInput, match="init must hold finite centres"):
        og.kmeans(x, 2, init=x[:2] * np.nan)
    with pytest.raises(og.InvalidInput, match="init holds a centre of zeros, which has no cosine"):
        og.kmeans(x, 2, init=x[:2] * 0, metric="cosine")
    with pytest.raises(og.InvalidInput, match="tol must be a finite number >= 0, got -1"):
        og.kmeans(x, 2, tol=-1)
    with pytest.raises(og.InvalidInput, match="batch_rows must be an integer >= 1, got 0"):
        og.kmeans(x, 2, batch_rows=0)


def test_small_kmeans_arguments(x):
    with pytest.raises(og.InvalidInput, match="offsets is needed for flat points"):
        small_kmeans(x, None, 2)
    padded = np.ones((4, 5, 3))
    with pytest.raises(og.InvalidInput, match="offsets is for flat points"):
        small_kmeans(padded, [0, 20], 2)
    with pytest.raises(og.InvalidInput, match=r"counts must hold 4 integers in 0\.\.5, .* from 1 to 6"):
        small_kmeans(padded, None, 2, counts=[1, 2, 3, 6])
    with pytest.raises(og.InvalidInput, match="counts is for padded points"):
        small_kmeans(x, [0, 20], 2, counts=[20])
    with pytest.raises(og.InvalidInput, match=r"items must lie in 0 \.\. 2\*\*32 - 1, got -1"):
        small_kmeans(x, [0, 20], 2, items=[-1])
    with pytest.raises(og.InvalidInput, match="max_iter must be at most 128, got 129"):
        small_kmeans(x, [0, 20], 2, max_iter=129)
    with pytest.raises(og.InvalidInput, match=r"k must be an integer >= 1, got 0"):
        small_kmeans(x, [0, 20], 0)
    x[4] = np.nan
    with pytest.raises(
        og.InvalidInput, match="points has 1 row with NaN or infinity: 4. Fix them, or leave their images"
    ):
        small_kmeans(x, [0, 20], 2)


def test_patterns_are_checked():
    with pytest.raises(og.InvalidInput, match="offsets must start at 0 and end at the number of rows, 4; got 0 and 3"):
        og.Patterns(np.ones((4, 2)), [0, 3])
    with pytest.raises(og.InvalidInput, match="shards needs at least one 2-D array"):
        og.Patterns(np.ones(4), [0, 4])
    patterns = og.Patterns(np.ones((4, 2)), [0, 1, 1, 4])
    assert patterns.counts().tolist() == [1, 0, 3]
    assert patterns.owners().tolist() == [0, 2, 2, 2]
    assert patterns.n_items == len(patterns) == 3


def test_squared_distances_beyond_float64(x):
    far = x.astype(np.float64) * 1e200
    for call in (
        lambda: og.nearest(far, far[::-1].copy() * 2),
        lambda: og.farthest_points(far, 3),
        lambda: og.weighted_draw(far, 3),
        lambda: og.kmeans(far, 3, init="random"),
    ):
        with pytest.raises(og.InvalidInput, match="exceed the range of float64. Divide the rows by a power of ten"):
            call()


@pytest.mark.parametrize(("scale", "gamma"), [(1e-30, 6.0), (1e-20, 10.0), (1e30, 6.0)])
def test_powers_of_distances_neither_vanish_nor_overflow(scale, gamma):
    x = np.random.default_rng(0).standard_normal((200, 5))
    drawn = og.weighted_draw(x * scale, 5, gamma=gamma)
    assert (drawn.rows[1:] >= 0).all()  # each by its distance, none as a left-over
