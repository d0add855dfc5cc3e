"""Compiled distances, picks, draws and clusters agree with their definitions on every awkward pool, and do not
depend on threads, panels, shards, strides or instruction set."""

import itertools
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pools import EXACT, cases
from scipy import stats
from search_battery import answers

import oneglance as og
from oneglance import _core
from oneglance.cluster import small_kmeans
from oneglance.reference import draw as draw_reference
from oneglance.reference import farthest as farthest_reference
from oneglance.reference import kmeans as kmeans_reference
from oneglance.reference import nearest as nearest_reference
from oneglance.reference import small_kmeans as small_reference
from oneglance.reference.cover import new_cover

CASES = dict(cases())
METRICS = ("sqeuclidean", "cosine")
FEATURES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "features"

every_case = pytest.mark.parametrize("name", CASES)
both_metrics = pytest.mark.parametrize("metric", METRICS)


@pytest.fixture(autouse=True)
def default_threads():
    yield
    _core.set_threads(0)
    _core.set_panel_rows(0)


def rounding(x, metric):
    """What float64 sums of another order may differ by, absolutely: a few ulp of the largest distance of rows."""
    rows = nearest_reference.prepared(x, metric)
    return 1e-15 * x.shape[1] * (np.abs(rows - rows[0]).max() ** 2 + (0 if metric == "sqeuclidean" else 1.0))


def close(got, want, atol):
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore"):
        assert (same | (np.abs(got - want) <= 1e-12 * np.abs(want) + atol)).all()


def equal_up_to_rounding(got, want, got_d, want_d, atol, exact):
    """Same rows; where float64 rounding decides between equally distant rows, another one is accepted."""
    close(got_d, want_d, atol)
    if exact:
        assert np.array_equal(got, want)
        assert np.array_equal(got_d, want_d)


@every_case
@both_metrics
def test_nearest_equals_the_definition(name, metric):
    x = CASES[name]
    exact = name.split("-")[0] in EXACT and metric == "sqeuclidean"
    queries = x[:: max(1, len(x) // 70)]
    for k in {1, min(3, len(x)), min(len(x), 65)}:
        want = nearest_reference.nearest(queries, x, k, metric)
        got = og.nearest(queries, x, k=k, metric=metric)
        equal_up_to_rounding(got.indices, want[0], got.distances, want[1], rounding(x, metric), exact)
        assert all(len(set(row)) == k for row in got.indices.tolist())
        rows = nearest_reference.prepared(x, metric)
        for query, indices, distances in zip(
            nearest_reference.prepared(queries, metric), got.indices, got.distances, strict=True
        ):
            close(nearest_reference.distances(query, rows[indices], metric), distances, rounding(x, metric))


@every_case
@both_metrics
def test_knn_equals_the_definition(name, metric):
    x = CASES[name][:200]
    if len(x) == 1:
        with pytest.raises(og.InvalidInput, match="k is 1, but X has only 0 other rows"):
            og.knn(x, 1, metric=metric)
        return
    k = min(5, len(x) - 1)
    want = nearest_reference.nearest(x, x, k, metric, skip_self=True)
    got = og.knn(x, k, metric=metric)
    exact = name.split("-")[0] in EXACT and metric == "sqeuclidean"
    equal_up_to_rounding(got.indices, want[0], got.distances, want[1], rounding(x, metric), exact)
    assert not (got.indices == np.arange(len(x))[:, None]).any()


@both_metrics
def test_masks_of_nearest(metric):
    x = CASES["integers-float32"]
    mask = np.arange(len(x)) % 3 != 0
    spoiled = x.copy()
    spoiled[~mask] = np.nan
    want = nearest_reference.nearest(x[:50], x, 4, metric, mask=mask)
    got = og.nearest(x[:50], spoiled, k=4, metric=metric, mask=mask)
    equal_up_to_rounding(got.indices, want[0], got.distances, want[1], 1e-14, metric == "sqeuclidean")
    mine = og.knn(spoiled, 4, metric=metric, mask=mask)
    want = nearest_reference.nearest(x, x, 4, metric, mask=mask, skip_self=True)
    assert (mine.indices[~mask] == -1).all()
    assert np.isnan(mine.distances[~mask]).all()
    equal_up_to_rounding(
        mine.indices[mask], want[0][mask], mine.distances[mask], want[1][mask], 1e-14, metric == "sqeuclidean"
    )


def replay(x, got, metric, atol, exact, **request):
    """Every pick of a farthest-first answer is a farthest row at its time: exactly, or up to float64 rounding."""
    start = request.pop("start", ())
    cover = new_cover(np.asarray(x, np.float64), metric, request.get("offsets"), request.get("mask"),
                      request.get("already", ()), start)  # fmt: skip
    assert got.indices[: len(start)].tolist() == list(start)
    for j in range(len(start), got.indices.size):
        item, row = int(got.indices[j]), int(got.rows[j])
        rows = cover.open_rows()
        d = cover.row_distance[rows]
        assert item in cover.open_items()
        if row < 0:
            assert rows.size == 0 or not np.isfinite(d).all() or d.max() <= atol
            lowest = cover.owner[rows[0]] if rows.size else cover.open_items()[0]
            assert not exact or item == lowest
        else:
            assert cover.owner[row] == item
            assert cover.row_distance[row] >= d.max() - atol
            assert not exact or row == rows[np.argmax(d)]
            close(got.radii[j : j + 1], cover.row_distance[row : row + 1], atol)
            assert got.nearest_selected[j] in cover.chosen
            to_nearest = cover.row_distance[row] if exact else got.radii[j]
            mine = cover.x[cover.owner == got.nearest_selected[j]]
            close(nearest_reference.distances(cover.x[row], mine, metric).min(), to_nearest, atol)
        cover.pick(item, row)
    close(got.row_distance, cover.row_distance, atol)
    close(np.array(got.radius), np.array(cover.radius()), atol)
    if exact:
        assert np.array_equal(got.row_nearest, cover.row_nearest)


@every_case
@both_metrics
def test_farthest_points_are_greedy(name, metric):
    x = CASES[name]
    k = min(len(x), 80)
    exact = name.split("-")[0] in EXACT and metric == "sqeuclidean"
    got = og.farthest_points(x, k, metric=metric, assign=True)
    assert len(set(got.indices.tolist())) == k
    replay(x, got, metric, rounding(x, metric), exact)


SAME_PICKS = ("normal", "clustered", "cauchy", "relu", "offset", "n_65", "d_1", "d_65")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", SAME_PICKS)
@both_metrics
def test_farthest_points_are_those_of_one_pass_per_pick(name, dtype, metric):
    if f"{name}-{dtype}" not in CASES:
        pytest.skip(f"{name} does not fit into {dtype}")
    if name == "d_1" and metric == "cosine":
        pytest.skip("two directions only: rounding decides among equal distances")
    x = CASES[f"{name}-{dtype}"]
    if len(np.unique(x, axis=0)) < len(x):
        pytest.skip("rounded to few values: rounding decides among equal distances")
    k = min(len(x), 200)
    assert og.farthest_points(x, k, metric=metric).indices.tolist() == farthest_reference.farthest(x, k, metric).items


def real_features():
    with np.load(FEATURES / "cifar10__mnv1_0.5.npz") as saved:
        return saved["X_train"]


@pytest.mark.skipif(not FEATURES.is_dir(), reason=f"real features are not on this machine ({FEATURES})")
@both_metrics
def test_farthest_points_of_real_features(metric):
    x = real_features()[:4000]
    got = og.farthest_points(x, 300, metric=metric)
    assert got.indices.tolist() == farthest_reference.farthest(x, 300, metric).items
    assert got.readings < 300 / 8


@pytest.mark.parametrize("name", ["normal-float32", "clustered-float16", "duplicates-float64", "cauchy-float64"])
def test_fewer_picks_are_the_beginning_of_more(name):
    x = CASES[name]
    for gamma in (1.0, 2.0):
        whole = og.weighted_draw(x, 300, gamma=gamma, seed=7).indices
        for k in (1, 2, 17, 100, 299):
            assert np.array_equal(og.weighted_draw(x, k, gamma=gamma, seed=7).indices, whole[:k])
    whole = og.farthest_points(x, 300).indices
    assert np.array_equal(og.farthest_points(x, 120).indices, whole[:120])


def item_offsets(n_rows, seed=0):
    cuts = np.sort(np.random.default_rng(seed).integers(0, n_rows + 1, n_rows // 4))
    return np.array([0, *cuts, n_rows], dtype=np.int64)  # some items own nothing


@pytest.mark.parametrize("name", ["normal-float32", "integers-float16", "duplicates-float64", "binary-float32"])
@both_metrics
def test_items_masks_and_earlier_picks(name, metric):
    x = CASES[name]
    offsets = item_offsets(len(x))
    n = offsets.size - 1
    mask = np.random.default_rng(1).random(n) < 0.7
    free = np.flatnonzero(mask)
    already, start = [int(np.flatnonzero(~mask)[3]), int(free[5])], [int(free[9]), int(free[2])]
    exact = name.split("-")[0] in EXACT and metric == "sqeuclidean"
    owner = np.repeat(np.arange(n), np.diff(offsets))
    spoiled = x.copy()
    spoiled[~mask[owner] & (owner != already[0])] = np.nan
    request = {"offsets": offsets, "mask": mask, "already": already, "start": start}
    for k in (2, 3, 60, free.size - 1):
        got = og.farthest_points(spoiled, k, metric=metric, assign=True, **request)
        assert len(set(got.indices.tolist())) == k
        replay(x, got, metric, rounding(x, metric), exact, **request)
        drawn = og.weighted_draw(spoiled, k, metric=metric, assign=True, seed=k, **request)
        assert drawn.indices[:2].tolist() == start[:k]
        assert len(set(drawn.indices.tolist())) == k
        assert mask[drawn.indices].all()
        assert not np.isin(drawn.indices, already).any()
        cover = new_cover(np.asarray(x, np.float64), metric, offsets, mask, already, drawn.indices.tolist())
        close(drawn.row_distance, cover.row_distance, rounding(x, metric))


@pytest.mark.parametrize("name", ["normal-float32", "integers-float16", "offset-float64", "cauchy-float64"])
@both_metrics
def test_threads_panels_shards_and_strides_do_not_change_a_byte(name, metric):
    x = np.concatenate([CASES[name]] * 5)
    x = x[np.random.default_rng(0).permutation(len(x))] * np.linspace(1, 2, len(x))[:, None].astype(x.dtype)
    padded = np.zeros((len(x), x.shape[1] + 7), dtype=x.dtype)
    padded[:, 3:-4] = x
    cuts = [1, 5, 500, 501, 1400]
    want = None
    for rows in (x, padded[:, 3:-4], np.asfortranarray(x), og.RowShards(tuple(np.split(x, cuts)))):
        for threads, panel in ((1, 0), (2, 0), (3, 100)):
            _core.set_threads(threads)
            _core.set_panel_rows(panel)
            found = dict(answers_of(rows, x, metric))
            want = want or found
            assert found == want


def answers_of(rows, x, metric):
    if isinstance(rows, og.RowShards):

        class Sliceable(og.RowShards):
            __slots__ = ()

            def __getitem__(self, part):
                return x[part]

        rows = Sliceable(rows.shards)
    return answers(rows, metric)


@cache
def battery(isa):
    script = Path(__file__).parent / "search_battery.py"
    environment = {**os.environ, "ONEGLANCE_ISA": isa}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, check=True, timeout=300, capture_output=True, text=True
    )
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("isa", _core.build_info()["isa_runnable"])
def test_the_instruction_set_does_not_change_a_byte(isa):
    first = dict(battery(_core.build_info()["isa_runnable"][0]))
    found = dict(battery(isa))
    assert found.pop("isa") == isa
    first.pop("isa")
    assert len(first) > 300
    assert {key for key in first if first[key] != found[key]} == set()


def law_of_sequences(x, k, gamma, metric, offsets):
    """Every sequence of k picks with its exact probability."""
    n_items = len(x) if offsets is None else offsets.size - 1
    law = {}
    for sequence in itertools.permutations(range(n_items), k):
        probability = 1.0
        cover = new_cover(x, metric, offsets, None, [], [])
        for item in sequence:
            probability *= draw_reference.next_item_law(cover, gamma)[item]
            if probability == 0:
                break
            cover.pick(item)
        if probability > 0:
            law[sequence] = probability
    return law


def law_of_sets(x, k, gamma, metric, offsets):
    """Every set of k picks with its exact probability: the law of the next pick depends on the set only."""
    n_items = len(x) if offsets is None else offsets.size - 1
    now = {frozenset(): 1.0}
    for _ in range(k):
        later = {}
        for chosen, probability in now.items():
            law = draw_reference.next_item_law(new_cover(x, metric, offsets, None, sorted(chosen), []), gamma)
            for item in range(n_items):
                if law[item] > 0:
                    key = chosen | {item}
                    later[key] = later.get(key, 0.0) + probability * law[item]
        now = later
    return now


def chi_square(counts, law, n_draws):
    """p-value; outcomes expected fewer than 5 times are put together."""
    assert abs(sum(law.values()) - 1) < 1e-9
    assert set(counts) <= set(law)
    often = [key for key in law if law[key] * n_draws >= 5]
    seen = [counts.get(key, 0) for key in often]
    expected = [law[key] * n_draws for key in often]
    rest = n_draws - sum(expected)
    if rest > 1:
        seen.append(n_draws - sum(seen))
        expected.append(rest)
    return stats.chisquare(seen, np.array(expected) * sum(seen) / sum(expected)).pvalue


SMALL = np.random.default_rng(5).normal(size=(9, 3)) * np.array([[1.0]] * 6 + [[0.1]] * 3) + 1.0
OWNED = np.array([0, 1, 3, 3, 6, 8, 9])  # one item owns nothing


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize(("metric", "offsets"), [("sqeuclidean", None), ("cosine", OWNED)], ids=["rows", "items"])
def test_three_draws_follow_their_exact_law(gamma, metric, offsets):
    x = SMALL.astype(np.float32) if offsets is not None else SMALL[:7]
    law = law_of_sequences(np.asarray(x, np.float64), 3, gamma, metric, offsets)
    n_draws, counts = 8_000, {}
    for seed in range(n_draws):
        picks = tuple(og.weighted_draw(x, 3, gamma=gamma, metric=metric, offsets=offsets, seed=seed).indices.tolist())
        counts[picks] = counts.get(picks, 0) + 1
    assert chi_square(counts, law, n_draws) > 1e-3


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("metric", METRICS)
def test_sets_of_many_draws_follow_their_exact_law(gamma, metric):
    x = np.vstack([SMALL, SMALL[:3] + 0.01])  # near duplicates: old weights are far too large
    law = law_of_sets(x, 6, gamma, metric, None)
    n_draws, counts = 10_000, {}
    for seed in range(n_draws):
        picks = frozenset(og.weighted_draw(x, 6, gamma=gamma, metric=metric, seed=seed).indices.tolist())
        counts[picks] = counts.get(picks, 0) + 1
    assert chi_square(counts, law, n_draws) > 1e-3


def test_draws_among_duplicates_are_uniform():
    x = np.ones((5, 2), dtype=np.float16)
    firsts, seconds = np.zeros(5), np.zeros(5)
    for seed in range(2_000):
        picks = og.weighted_draw(x, 5, seed=seed).indices
        assert sorted(picks.tolist()) == [0, 1, 2, 3, 4]
        firsts[picks[0]] += 1
        seconds[picks[1]] += 1
    assert stats.chisquare(firsts).pvalue > 1e-3
    assert stats.chisquare(seconds).pvalue > 1e-3


def test_items_without_rows_are_drawn_last():
    offsets = np.array([0, 1, 1, 2, 3, 4, 4])
    drawn = [og.weighted_draw(np.ones((4, 2)), 6, offsets=offsets, seed=seed).indices for seed in range(40)]
    assert all(sorted(picks[4:].tolist()) == [1, 5] for picks in drawn)
    assert len({tuple(picks.tolist()) for picks in drawn}) > 20


@every_case
@both_metrics
def test_kmeans_equals_the_definition(name, metric):
    x = CASES[name]
    few_values = len(np.unique(x, axis=0)) < len(x) or name.startswith(("integers", "binary", "d_1"))
    for k in {1, min(7, len(x)), min(len(x), 65)}:
        init = np.asarray(x[np.sort(np.random.default_rng(k).permutation(len(x))[:k])], np.float64)
        got = og.kmeans(x, k, metric=metric, init=init, max_iter=4, tol=1e-6)
        centers, labels, distances, n_iter, shift, converged, reassigned = kmeans_reference.kmeans(
            x, init, metric, max_iter=4, tol=1e-6
        )
        atol = 10 * rounding(x, metric)
        if not few_values:  # else rows lie between two centres, and rounding decides where the iteration goes
            close(got.distances, distances, atol)
            assert np.array_equal(got.labels, labels)
            scale = np.abs(nearest_reference.prepared(x, metric)).max()
            assert np.abs(got.centers - centers).max() <= 1e-12 * scale
            assert got.reassigned == reassigned
            if distances.sum() > atol or metric == "sqeuclidean":  # else shift is rounding over rounding
                assert (got.n_iter, got.converged) == (n_iter, converged)
                assert got.shift == pytest.approx(shift, rel=1e-6, abs=1e-7)
        _, again = nearest_reference.nearest(x, got.centers, 1, metric)
        close(got.distances, again[:, 0], atol)
        rows, ends = nearest_reference.prepared(x, metric), nearest_reference.prepared(got.centers, metric)
        mine = np.array(
            [nearest_reference.distances(r, ends[i : i + 1], metric)[0] for r, i in zip(rows, got.labels, strict=True)]
        )
        close(mine, again[:, 0], atol)


def test_kmeans_with_exact_ties_and_empty_clusters():
    x = np.array([[0.0], [0.0], [1.0], [10.0], [11.0]])
    got = og.kmeans(x, 3, init=[[0.0], [100.0], [200.0]], max_iter=1)
    assert got.reassigned == 2
    assert got.centers[:, 0].tolist() == [1 / 3, 11.0, 10.0]
    assert got.labels.tolist() == [0, 0, 0, 2, 1]
    grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)
    for init in (grid[[9, 14, 49, 54]], grid[[0, 0, 63, 63]], grid[:4] + 100):
        want = kmeans_reference.kmeans(grid, init, max_iter=1)
        got = og.kmeans(grid, 4, init=init, max_iter=1)
        assert np.array_equal(got.centers, want[0])
        assert np.array_equal(got.labels, want[1])
        assert got.reassigned == want[-1]


@both_metrics
def test_kmeans_of_equal_rows_repeats_centres(metric):
    x = np.full((40, 3), 0.1, dtype=np.float32)
    for batch_rows in (None, 16):
        got = og.kmeans(x, 5, metric=metric, batch_rows=batch_rows)
        assert np.abs(got.centers - got.centers[0]).max() <= 1e-15
        assert got.inertia <= 1e-28
        if metric == "sqeuclidean":  # mini-batches: a centre without rows starts anew each time
            assert got.converged == (batch_rows is None)
        assert og.kmeans(x, 40, metric=metric, batch_rows=batch_rows).labels.size == 40


@pytest.mark.parametrize("init", ["k-means++", "random"])
@both_metrics
def test_kmeans_masks_shards_and_threads(metric, init):
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(5000, 24)) + 4 * rng.normal(size=(20, 24))[rng.integers(0, 20, 5000)]).astype(np.float32)
    mask = rng.random(5000) < 0.8
    x[~mask] = np.nan
    for batch_rows in (None, 700):
        want = None
        for rows in (x, og.RowShards(tuple(np.split(x, [1, 999, 1000, 4000])))):
            for threads in (1, 2):
                _core.set_threads(threads)
                got = og.kmeans(rows, 20, metric=metric, init=init, mask=mask, seed=5, batch_rows=batch_rows)
                found = (got.centers.tobytes(), got.labels.tobytes(), got.distances.tobytes(), got.shift, got.n_iter)
                want = want or found
                assert found == want
        assert (got.labels[~mask] == -1).all()
        assert np.isnan(got.distances[~mask]).all()
        assert got.inertia == pytest.approx(np.nansum(got.distances))
        alone = og.kmeans(x[mask], 20, metric=metric, init=got.centers, max_iter=1)
        assert alone.inertia <= got.inertia * (1 + 1e-9)


@both_metrics
def test_mini_batches_come_close_to_full_readings(metric):
    rng = np.random.default_rng(4)
    x = (rng.normal(size=(8000, 16)) + 3 * rng.normal(size=(30, 16))[np.sort(rng.integers(0, 30, 8000))]).astype("f2")
    full, batches = (og.kmeans(x, 40, metric=metric, seed=1, batch_rows=rows) for rows in (None, 1000))
    assert batches.inertia <= 1.02 * full.inertia
    again, other = (og.kmeans(x, 40, metric=metric, seed=seed, batch_rows=1000) for seed in (1, 2))
    assert again.centers.tobytes() == batches.centers.tobytes() != other.centers.tobytes()
    one = og.kmeans(x, 40, metric=metric, init=x[:40], batch_rows=10**6, max_iter=1)  # one batch: one Lloyd step
    lloyd = og.kmeans(x, 40, metric=metric, init=x[:40], max_iter=1)
    if one.reassigned == lloyd.reassigned == 0:
        assert np.abs(one.centers - lloyd.centers).max() <= 1e-12


def test_small_kmeans_equals_the_definition():
    rng = np.random.default_rng(2)
    sizes = [0, 1, 4, 5, 6, 15, 16, 17, 40, 63, 65, 196]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    for d in (1, 7, 16, 33):
        points = rng.normal(size=(offsets[-1], d)).astype(np.float32) * 10
        points[offsets[8] : offsets[9]] = points[offsets[8]]  # an image of equal points: empty clusters
        for k in (1, 2, 5, 16):
            items = rng.integers(0, 2**32, len(sizes))
            got = small_kmeans(points, offsets, k, seed=9, items=items)
            want, ends = small_reference.small_kmeans(points, offsets, k, seed=9, items=items)
            assert np.array_equal(got.offsets, ends)
            assert got.patterns.dtype == np.float32
            assert np.abs(got.patterns - want).max() <= 1e-5
