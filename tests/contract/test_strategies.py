"""One contract for every strategy of the registry. A new strategy is tested as soon as it has a name there."""

from __future__ import annotations

import numpy as np
import pytest

import oneglance as og
from oneglance import _core
from oneglance.strategies import STRATEGIES, strategy_names
from oneglance.strategies.registry import parameters

N = 150
WEIGHTED = ("lewis", "random")  # they speak for the pool by inclusion probabilities
WITHOUT_CHANCE = [name for name, strategy in STRATEGIES.items() if not strategy.chance]
NESTED = [name for name, strategy in STRATEGIES.items() if strategy.nested]

every_strategy = pytest.mark.parametrize("strategy", strategy_names())


@pytest.fixture(scope="module")
def rows():
    """Blobs of unlike sizes, away from zero."""
    rng = np.random.default_rng(0)
    centers = 4 * rng.normal(size=(9, 8))
    return (rng.normal(size=(N, 8)) + centers[rng.integers(0, 9, N) ** 2 // 9]).astype(np.float32)


def checked(selection, budget, n_items=N, barred=()):
    """What any answer must be, whatever was asked."""
    picks = selection.indices
    assert picks.dtype == np.int64
    assert picks.shape == (budget,)
    assert len(set(picks.tolist())) == budget
    assert picks.min() >= 0
    assert picks.max() < n_items
    assert not np.isin(picks, barred).any()
    assert selection.rank.tolist() == list(range(1, budget + 1))
    assert np.isfinite(selection.weights).all()
    assert (selection.weights > 0).all()
    assert len(selection.reason) == budget
    assert all(isinstance(reason, str) and reason for reason in selection.reason)
    if selection.strategy not in WEIGHTED:
        assert np.isnan(selection.inclusion_prob).all()
        assert selection.weights.sum() <= n_items
    return picks


@every_strategy
@pytest.mark.parametrize("budget", [1, 2, 10, 75, N - 1, N])
def test_exactly_the_budget_of_distinct_items(rows, strategy, budget):
    picks = checked(og.select(rows, budget, strategy, seed=1), budget)
    if budget == N:
        assert sorted(picks.tolist()) == list(range(N))


@every_strategy
def test_the_same_seed_gives_the_same_bytes_for_any_number_of_threads(rows, strategy):
    def answer():
        found = og.select(rows, 25, strategy, seed=5, labelled=[3, 4], explain=False)
        return found.indices.tobytes() + found.weights.tobytes() + found.scores.tobytes()

    try:
        answers = set()
        for n_threads in (1, 2, 5):
            _core.set_threads(n_threads)
            answers.update(answer() for _ in range(2))
    finally:
        _core.set_threads(0)
    assert len(answers) == 1


@every_strategy
def test_the_seed_matters_where_there_is_chance(rows, strategy):
    several = {og.select(rows, 25, strategy, seed=seed, explain=False).indices.tobytes() for seed in range(4)}
    assert (len(several) == 1) == (strategy in WITHOUT_CHANCE)


@pytest.mark.parametrize("strategy", WITHOUT_CHANCE)
def test_a_pool_too_large_for_some_steps_has_one_answer_too(strategy):
    """Bandwidths, radii and means are taken from samples of it."""
    pool = np.random.default_rng(1).normal(size=(1500, 4)).astype(np.float32)
    samples = {"herding": {"mean_over": 1200}, "kernel": {"evaluate": 1200}}.get(strategy, {})
    answers = [og.select(pool, 25, strategy, seed=seed, explain=False, **samples).indices for seed in range(4)]
    assert len({answer.tobytes() for answer in answers}) == 1


@pytest.mark.parametrize("strategy", NESTED)
@pytest.mark.parametrize("labelled", [[], [3, 80]])
def test_a_larger_budget_begins_with_the_smaller_one(rows, strategy, labelled):
    whole = og.select(rows, 60, strategy, seed=2, labelled=labelled).indices
    for budget in (1, 2, 7, 30, 59):
        assert np.array_equal(og.select(rows, budget, strategy, seed=2, labelled=labelled).indices, whole[:budget])


@every_strategy
@pytest.mark.parametrize("n_labelled", [1, 30, 100])
def test_labelled_and_excluded_items_are_never_picked(rows, strategy, n_labelled):
    labelled = np.random.default_rng(2).permutation(N)[:n_labelled]
    excluded = np.setdiff1d([0, 7, 8], labelled)
    barred = np.union1d(labelled, excluded)
    for budget in (1, 20, N - barred.size):
        checked(og.select(rows, budget, strategy, labelled=labelled, exclude=excluded), budget, barred=barred)
    with pytest.raises(og.InvalidInput, match="budget"):
        og.select(rows, N - barred.size + 1, strategy, labelled=labelled, exclude=excluded)


@pytest.mark.parametrize("strategy", WITHOUT_CHANCE)
def test_excluded_rows_are_as_good_as_absent(rows, strategy):
    inside = np.delete(np.arange(N), [2, 50, 51, N - 1])
    alone = og.select(rows[inside], 30, strategy).indices
    assert np.array_equal(inside[alone], og.select(rows, 30, strategy, exclude=[2, 50, 51, N - 1]).indices)


@every_strategy
def test_strata_and_quotas_are_respected(rows, strategy):
    strata = np.repeat(["a", "b", "c"], [90, 50, 10])
    selection = og.select(rows, 30, strategy, strata=strata, labelled=[1, 2, 95])
    checked(selection, 30, barred=[1, 2, 95])
    assert {name: int((strata[selection.indices] == name).sum()) for name in "abc"} == {"a": 18, "b": 10, "c": 2}
    fixed = og.select(rows, 30, strategy, strata=strata, quotas={"c": 10, "b": 1})
    assert {name: int((strata[fixed.indices] == name).sum()) for name in "abc"} == {"a": 19, "b": 1, "c": 10}


@every_strategy
@pytest.mark.parametrize("kind", ["all equal", "three points", "half a cluster", "one column", "tiny", "huge"])
def test_duplicates_and_degenerate_pools(rows, strategy, kind):
    pool = {
        "all equal": np.full((40, 3), 0.1, dtype=np.float32),
        "three points": np.repeat(np.eye(3, dtype=np.float32), 14, axis=0)[:40],
        "half a cluster": np.vstack([np.repeat(rows[:1], 20, axis=0), rows[:20]]),
        "one column": 1.0 + np.arange(40, dtype=np.float64)[:, None] % 7,
        "tiny": rows[:40].astype(np.float64) * 1e-30,
        "huge": rows[:40].astype(np.float64) * 1e30,
    }[kind]
    for budget in (1, 7, 39, 40):
        checked(og.select(pool, budget, strategy), budget, n_items=40)
    labelled = [0, 5, 6]
    checked(og.select(pool, 37, strategy, labelled=labelled), 37, n_items=40, barred=labelled)


@every_strategy
def test_pools_of_few_items(rows, strategy):
    for n in (1, 2, 3):
        for budget in range(1, n + 1):
            checked(og.select(rows[:n], budget, strategy), budget, n_items=n)
    checked(og.select(rows[:3], 1, strategy, labelled=[0, 2]), 1, n_items=3, barred=[0, 2])


@every_strategy
def test_unusable_rows_are_named_and_left_out(rows, strategy):
    if strategy == "random":
        pytest.skip("reads no rows")
    bad = rows.copy()
    bad[[5, 60]] = np.nan
    with pytest.warns(UserWarning, match="in 2 rows: 5, 60"):
        selection = og.select(bad, 20, strategy, labelled=[7])
    checked(selection, 20, barred=[5, 7, 60])
    assert selection.certificate["n_invalid"] == 2


@every_strategy
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_answer_depends_on_values_not_on_how_they_are_kept(rows, strategy, dtype):
    pool = rows.astype(np.float16).astype(dtype)
    whole = og.select(pool, 20, strategy, seed=3).indices
    shards = og.RowShards(tuple(np.split(pool, [1, 60, 61, 149])))
    assert np.array_equal(og.select(shards, 20, strategy, seed=3).indices, whole)
    if strategy != "lewis":  # its float32 and float64 paths round differently
        assert np.array_equal(og.select(pool.astype(np.float64), 20, strategy, seed=3).indices, whole)


# probcover counts items, so ties are common, and they go to the lower row.
@pytest.mark.parametrize("strategy", [name for name in WITHOUT_CHANCE if name != "probcover"])
def test_the_order_of_rows_is_only_a_name(rows, strategy):
    """For Gaussian rows, without ties. farthest begins at the lowest row, so it gets a labelled one."""
    order = np.random.default_rng(4).permutation(N)
    where = np.argsort(order)
    plain = og.select(rows, 40, strategy, labelled=[3, 80]).indices
    moved = og.select(rows[order], 40, strategy, labelled=where[[3, 80]]).indices
    assert np.array_equal(order[moved], plain)


@every_strategy
def test_near_duplicates_are_dropped_and_listed(rows, strategy):
    twins = np.vstack([rows, rows[:30] * np.float32(2)])  # the same directions
    selection = og.select(twins, N - 5, strategy, dedup=1e-6, labelled=[4, 150], exclude=[31, 32])
    listed = selection.certificate["dedup"]
    gone = [0, *range(151, 154), *range(155, 180), 154]  # 150 and 4 are labelled, so 0 and 154 duplicate them
    assert sorted(listed["items"]) == sorted(gone)
    assert listed["n_dropped"] == selection.certificate["n_near_duplicates"] == 30
    where = dict(zip(listed["items"], listed["duplicate_of"], strict=True))
    assert (where[0], where[154], where[151]) == (150, 4, 1)
    assert selection.certificate["n_candidates"] == N - 4
    checked(selection, N - 5, n_items=180, barred=[4, 150, 31, 32, *gone])
    with pytest.raises(og.InvalidInput, match=r"budget .*30 near-duplicates"):
        og.select(twins, N - 3, strategy, dedup=1e-6, labelled=[4, 150], exclude=[31, 32])
    assert "dedup" not in og.select(rows, 5, strategy).certificate


def test_mistakes_with_near_duplicates_are_named(rows):
    for wrong in (0, -0.1, float("nan"), "much"):
        with pytest.raises(og.InvalidInput, match="dedup must be a"):
            og.select(rows, 5, "random", dedup=wrong)
    with pytest.raises(og.InvalidInput, match=r"dedup compares global features under one backbone, the pool has"):
        og.select({"a": rows, "b": rows}, 5, dedup=0.1)
    spoiled = rows.copy()
    spoiled[3] = 0
    with pytest.warns(UserWarning, match="nothing but zeros under"):
        found = og.select(spoiled, N - 1, "random", dedup=1e-9)
    assert 3 not in found.indices


@every_strategy
def test_mistakes_are_named(rows, strategy):
    with pytest.raises(og.InvalidInput, match=f'strategy "{strategy}" does not know nonsense'):
        og.select(rows, 5, strategy, nonsense=1)
    for budget in (0, -1, N + 1, 2.5, "0%"):
        with pytest.raises(og.InvalidInput, match="budget"):
            og.select(rows, budget, strategy)
    own = parameters(strategy)
    if "metric" in own:
        with pytest.raises(og.InvalidInput, match="metric must be one of"):
            og.select(rows, 5, strategy, metric="manhattan")
    for name, default in own.items():
        if isinstance(default, int) and not isinstance(default, bool) and name != "ridge":
            with pytest.raises(og.InvalidInput, match=name):
                og.select(rows, 5, strategy, **{name: -3})
    with pytest.raises(og.InvalidInput, match="strategy must be one of"):
        og.select(rows, 5, strategy + "x")
