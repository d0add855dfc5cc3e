"""Strategies freesel, farthest and kmeans: what they pick, and who represents whom."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest

import oneglance as og
from oneglance.reference import nearest as nearest_reference

N = 240
STRATEGIES = ("freesel", "farthest", "kmeans")
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(N, 6)) + 5 * rng.normal(size=(12, 6))[rng.integers(0, 12, N)]).astype(np.float32)


@pytest.fixture(scope="module")
def patterns():
    """Items with 0 to 6 patterns."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 7, 90)
    counts[[0, 1]] = 0, 3
    return og.Patterns(rng.normal(size=(counts.sum(), 5)).astype(np.float16), np.concatenate([[0], np.cumsum(counts)]))


def metric_of(selection):
    return selection.certificate["metric"]


def brute_force(rows, chosen, metric, offsets=None):
    """Per item the chosen item that represents it, and the distance, by definition."""
    x = nearest_reference.prepared(np.asarray(rows), metric)
    n_items = len(x) if offsets is None else len(offsets) - 1
    owner = np.arange(len(x)) if offsets is None else np.repeat(np.arange(n_items), np.diff(offsets))
    centers = np.flatnonzero(np.isin(owner, chosen))
    by, distance = np.full(n_items, -1), np.full(n_items, np.nan)
    for item in range(n_items):
        for row in np.flatnonzero(owner == item):
            d = nearest_reference.distances(x[row], x[centers], metric)
            if not d[d.argmin()] <= distance[item]:  # NaN counts as smaller
                distance[item], by[item] = d.min(), owner[centers[d.argmin()]]
    by[chosen], distance[chosen] = chosen, 0.0
    return by, distance


def check_explanation(selection, rows, labelled=(), offsets=None, left_out=()):
    metric = metric_of(selection)
    picks = selection.indices
    by, distance = brute_force(rows, np.r_[np.asarray(labelled, int), picks], metric, offsets)
    assert np.array_equal(selection.represented_by, by)
    assert np.allclose(selection.represented_distance, distance, rtol=1e-9, atol=1e-12, equal_nan=True)
    candidates = np.setdiff1d(np.arange(len(by)), np.r_[np.asarray(labelled, int), np.asarray(left_out, int)])
    if selection.strategy in STRATEGIES:
        counts = [int(np.count_nonzero(by[candidates] == pick)) for pick in picks]
        assert selection.weights.tolist() == counts
        assert min(counts) >= 1
        assert np.isnan(selection.inclusion_prob).all()
    curve = selection.certificate["coverage"]["curve"]
    assert [curve[0]["picks"], curve[-1]["picks"]] == [1, len(picks)]
    assert sorted({point["picks"] for point in curve}) == [point["picks"] for point in curve]
    for point in curve:
        _, d = brute_force(rows, np.r_[np.asarray(labelled, int), picks[: point["picks"]]], metric, offsets)
        known = d[candidates][~np.isnan(d[candidates])]
        assert point["radius"] == pytest.approx(known.max(), rel=1e-9, abs=1e-12)
        assert point["mean"] == pytest.approx(known.mean(), rel=1e-9, abs=1e-12)
    assert selection.certificate["coverage"]["radius"] == curve[-1]["radius"]
    assert np.array_equal(selection.rank, np.arange(1, len(picks) + 1))


@every_strategy
@pytest.mark.parametrize("labelled", [[], [3, 50, 51]], ids=["fresh", "labelled"])
def test_picks_and_who_represents_whom(rows, strategy, labelled):
    for metric in ("sqeuclidean", "cosine"):
        selection = og.select(rows, 40, strategy, labelled=labelled, exclude=[9], metric=metric, seed=3)
        assert len(set(selection.indices.tolist())) == 40
        assert not np.isin(selection.indices, [*labelled, 9]).any()
        check_explanation(selection, rows, labelled, left_out=[9])
        for place, (pick, d, near) in enumerate(
            zip(selection.indices, selection.distances, selection.nearest_selected, strict=True)
        ):
            before = np.r_[np.array(labelled, int), selection.indices[:place]]
            if before.size == 0:
                assert np.isnan(d)
                assert near == -1
                continue
            all_d = nearest_reference.nearest(rows[[pick]], rows[before], 1, metric)
            assert d == pytest.approx(all_d[1][0, 0], rel=1e-9, abs=1e-12)
            assert near == before[all_d[0][0, 0]]


def test_farthest_is_the_function_and_extends_itself(rows):
    whole = og.select(rows, 60, "farthest")
    assert np.array_equal(whole.indices, og.farthest_points(rows, 60).indices)
    first = og.select(rows, 25, "farthest")
    more = og.select(rows, 35, "farthest", labelled=first.indices)
    assert np.array_equal(np.r_[first.indices, more.indices], whole.indices)
    given = og.select(rows, 10, "farthest", start=[30, 4])
    assert given.indices[:2].tolist() == [30, 4]
    assert given.reason[0] == "given as a start"
    assert given.distances[1] == pytest.approx(float(((rows[30].astype(float) - rows[4]) ** 2).sum()))


def test_freesel_is_the_function(rows, patterns):
    for pool, offsets in ((rows, None), (patterns, patterns.offsets)):
        flat = rows if offsets is None else patterns.rows
        got = og.select(pool, 30, "freesel", seed=8)
        assert np.array_equal(
            got.indices, og.weighted_draw(flat, 30, gamma=2.0, metric="cosine", offsets=offsets, seed=8).indices
        )
        assert ("note" in got.certificate) == (offsets is None)
        fds = og.select(pool, 30, "freesel", rule="fds", start=[5])
        want = og.farthest_points(flat, 30, metric="cosine", offsets=offsets, start=[5])
        assert np.array_equal(fds.indices, want.indices)
        half = og.select(pool, 15, "freesel", seed=8)
        assert np.array_equal(half.indices, got.indices[:15])
    starts = {int(og.select(patterns, 1, "freesel", rule="fds", seed=seed).indices[0]) for seed in range(40)}
    assert len(starts) > 15
    assert (patterns.counts()[sorted(starts)] > 0).all()


def test_patterns_of_items(patterns):
    labelled = [4, 7, 0]
    counts = patterns.counts()
    selection = og.select(patterns, 25, "freesel", labelled=labelled, seed=1)
    whole = np.asarray(patterns.rows)
    check = (
        selection.represented_by,
        *brute_force(whole, np.r_[labelled, selection.indices], "cosine", patterns.offsets),
    )
    assert np.array_equal(check[0], check[1])
    assert (
        selection.represented_by[(counts == 0) & ~np.isin(np.arange(90), [*labelled, *selection.indices])] == -1
    ).all()
    everything = og.select(patterns, 87, "freesel", labelled=labelled)
    assert sorted(everything.indices.tolist()) == sorted(set(range(90)) - set(labelled))
    last = everything.indices[-int(np.count_nonzero(np.delete(counts, labelled) == 0)) :]
    assert (counts[last] == 0).all()
    assert "without patterns" in everything.reason[-1]
    bare = og.select(patterns, 3, "freesel", start=[0])  # it has no patterns, so nothing is covered at first
    assert bare.certificate["coverage"]["curve"][0] == {"picks": 1, "radius": None, "mean": None}
    assert bare.certificate["coverage"]["radius"] > 0
    check_explanation(og.select(patterns, 20, "freesel", rule="fds"), whole, offsets=patterns.offsets)


def test_an_array_of_patterns_per_item():
    cells = np.random.default_rng(2).normal(size=(50, 4, 3)).astype(np.float32)
    flat = og.Patterns(cells.reshape(200, 3), np.arange(51) * 4)
    assert np.array_equal(og.select(cells, 9, "freesel").indices, og.select(flat, 9, "freesel").indices)
    both = {"vit": cells[:, 0], "cells": cells}
    assert og.select(both, 9, "freesel", backbones=["cells"]).certificate["n_patterns"] == 200
    assert len(og.select(both, 9)) == 9  # lewis: the global features only
    assert len(og.select(cells, 9, "random")) == 9


def test_kmeans_prefers_clusters_without_labels(rows):
    centers = 50 * np.eye(6)
    blobs = np.repeat(centers, 20, axis=0) + np.random.default_rng(0).normal(size=(120, 6))
    labelled = [0, 25, 45]  # blobs 0, 1, 2
    selection = og.select(blobs, 3, "kmeans", labelled=labelled)
    assert sorted(selection.indices // 20) == [3, 4, 5]
    for pick in selection.indices:
        own = blobs[pick // 20 * 20 :][:20]
        assert ((blobs[pick] - own.mean(axis=0)) ** 2).sum() == ((own - own.mean(axis=0)) ** 2).sum(axis=1).min()
    assert selection.reason[0] == "nearest to the centre of a cluster of 20 items"
    again = og.select(blobs, 12, "kmeans", clusters=6, labelled=labelled)
    assert np.bincount(again.indices // 20).tolist() == [2, 2, 2, 2, 2, 2]
    assert (again.indices[:3] // 20 >= 3).all()
    assert ", 1 of them labelled" in again.reason[-1]


@every_strategy
def test_duplicates_and_whole_pools(strategy):
    same = np.full((30, 3), 0.1, dtype=np.float32)
    for x in (same, np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)):
        for budget in (1, 7, 30):
            selection = og.select(x, budget, strategy)
            assert len(set(selection.indices.tolist())) == budget
            assert selection.weights.sum() == 30
        assert selection.certificate["coverage"]["radius"] <= 1e-15
    assert len(og.select(same[:1], 1, strategy)) == 1


@every_strategy
def test_strata_are_covered_on_their_own(rows, strategy):
    strata = np.array(["a"] * 150 + ["b"] * 60 + ["c"] * 30)
    labelled = [0, 151, 152]
    selection = og.select(rows, 24, strategy, strata=strata, labelled=labelled, seed=2)
    assert len(set(selection.indices.tolist())) == 24
    assert {name: entry["picked"] for name, entry in selection.certificate["strata"].items()} == {
        "a": 15,
        "b": 6,
        "c": 3,
    }
    for cut in (8, 16):  # any beginning of the list is spread alike
        assert (
            np.abs(np.array([(selection.strata[:cut] == s).sum() for s in "abc"]) / cut - [5 / 8, 2 / 8, 1 / 8]).max()
            < 0.13
        )
    check_explanation(selection, rows, labelled)
    if strategy == "farthest":
        alone = og.farthest_points(rows[150:210], 6, already=[1, 2]).indices + 150
        assert np.array_equal(selection.indices[selection.strata == "b"], alone)
    else:
        copies = np.concatenate([rows[:60]] * 5)  # as small parts are, copied out; and drawn independently
        parts = og.select(copies, 40, strategy, strata=np.repeat(list("abcde"), 60))
        picks = [sorted((parts.indices[parts.strata == s] % 60).tolist()) for s in "abcde"]
        assert len(picks[0]) == 8
        assert len({tuple(p) for p in picks}) > 1


@every_strategy
def test_unusable_rows_are_left_out_with_a_warning(rows, strategy):
    bad = rows.copy()
    bad[[5, 60]], bad[9] = np.nan, 0
    with pytest.warns(UserWarning, match="NaN, infinity or nothing but zeros under .* in 3 rows: 5, 9, 60"):
        selection = og.select(bad, 20, strategy, metric="cosine", labelled=[5, 7], exclude=[60])
    assert not np.isin(selection.indices, [5, 7, 9, 60]).any()
    assert selection.represented_by[[5, 9, 60]].tolist() == [-1, -1, -1]
    assert np.isnan(selection.represented_distance[[5, 9, 60]]).all()
    assert selection.certificate["n_invalid"] == 3
    broken = np.ones((30, 2, 3)) + np.arange(60).reshape(30, 2, 1) % 7
    broken[4, 1, 0] = np.inf
    with pytest.warns(UserWarning, match="in 1 item: 4"):
        assert 4 not in og.select(broken, 29, "freesel").indices


@every_strategy
def test_same_seed_same_bytes(rows, strategy):
    first, again = (og.select(rows, 30, strategy, seed=5) for _ in range(2))
    assert first.indices.tobytes() == again.indices.tobytes()
    assert first.represented_distance.tobytes() == again.represented_distance.tobytes()
    other = og.select(rows, 30, strategy, seed=6)
    assert (first.indices.tobytes() == other.indices.tobytes()) == (strategy == "farthest")


def test_lewis_and_random_are_explained_on_request(rows):
    for strategy in ("lewis", "random"):
        plain = og.select(rows, 30, strategy)
        assert plain.represented_by is None
        assert plain.nearest_selected is None
        selection = og.select(rows, 30, strategy, explain=True)
        assert np.array_equal(selection.indices, plain.indices)
        assert np.array_equal(selection.weights, plain.weights)
        selection.certificate["metric"] = "sqeuclidean"
        check_explanation(selection, rows)
    with pytest.raises(og.InvalidInput, match=r"measures distances under one backbone, the pool has \['a', 'b'\]"):
        og.select({"a": rows, "b": rows}, 5, explain=True)
    short = og.select(rows, 30, "farthest", explain=False)
    assert len(short.certificate["coverage"]["curve"]) == 1
    assert short.represented_by is not None


@every_strategy
def test_a_short_explanation_is_the_long_one(rows, strategy):
    long, short = (og.select(rows, 200, strategy, explain=explain, labelled=[3]) for explain in (True, False))
    for name in ("weights", "represented_by", "represented_distance", "nearest_selected", "distances"):
        assert np.allclose(getattr(long, name), getattr(short, name), rtol=1e-9, atol=1e-12, equal_nan=True)


def test_written_files(rows, tmp_path):
    ids = np.array([f"img{i:03d}" for i in range(N)])
    store = og.embed({"vit": rows, "name": ids}, None, tmp_path / "store", id_column="name")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selection = og.select(store, 15, "farthest", labelled=["img003"])
    table = pq.read_table(selection.to_parquet(tmp_path / "s.parquet"))
    assert table.column_names == [
        "rank", "row_id", "item_id", "source", "score", "inclusion_prob", "weight", "distance", "nearest_id", "reason"
    ]  # fmt: skip
    assert table["nearest_id"][0].as_py() == "img003"
    assert table["inclusion_prob"].null_count == 15
    lines = selection.to_csv(tmp_path / "s.csv").read_text().splitlines()
    assert ",img003,farthest from all before: distance " in lines[1]
    everyone = selection.represented_table().to_pylist()
    assert len(everyone) == N
    assert everyone[3] == {"row_id": 3, "item_id": "img003", "represented_by": "img003", "distance": 0.0}
    assert everyone[8]["represented_by"] == ids[selection.represented_by[8]]
    assert 'strategy="farthest", seed=0, first' in repr(selection)
    with pytest.raises(og.InvalidInput, match="was not explained"):
        og.select(store, 3, "random").represented_table()


def test_mistakes_are_named(rows, patterns):
    pool = {"vit": rows, "cnn": rows}
    for strategy in STRATEGIES:
        with pytest.raises(
            og.InvalidInput, match=rf'"{strategy}" measures distances under one backbone, .*\["vit"\] / --backbones vit'
        ):
            og.select(pool, 5, strategy)
        assert len(og.select(pool, 5, strategy, backbones=["cnn"])) == 5
        with pytest.raises(og.InvalidInput, match=r"metric must be one of"):
            og.select(rows, 5, strategy, metric="l2")
    for strategy in ("lewis", "farthest", "kmeans"):
        with pytest.raises(og.InvalidInput, match=rf'"{strategy}" needs global features, and the pool holds patterns'):
            og.select(patterns, 5, strategy)
    with pytest.raises(og.InvalidInput, match=r"rule must be one of \['prob', 'fds'\], got 'max'"):
        og.select(rows, 5, "freesel", rule="max")
    with pytest.raises(og.InvalidInput, match="item 4, which is no candidate: it is labelled, excluded, invalid, in"):
        og.select(rows, 5, "freesel", start=[4], labelled=[4])
    with pytest.raises(og.InvalidInput, match="start holds 3 items, the budget there is 2"):
        og.select(rows, 2, "farthest", start=[4, 5, 6])
    with pytest.raises(og.InvalidInput, match="start must name each item once, got position 4 more than once"):
        og.select(rows, 3, "farthest", start=[4, 4])
    with pytest.raises(og.InvalidInput, match="clusters is 300, but only 240 items can be clustered"):
        og.select(rows, 3, "kmeans", clusters=300)
    with pytest.raises(
        og.InvalidInput, match='"kmeans" does not know gamma; it takes metric, clusters, init, max_iter'
    ):
        og.select(rows, 3, "kmeans", gamma=1)
    with pytest.raises(og.InvalidInput, match=r"patterns of backbone \"features\" must have at least one row"):
        og.select(og.Patterns(np.empty((0, 3)), [0, 0, 0]), 1, "freesel")
    with pytest.raises(og.InvalidInput, match="explain must be True, False or None, got 'yes'"):
        og.select(rows, 3, explain="yes")
