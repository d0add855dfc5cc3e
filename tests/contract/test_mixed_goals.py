"""Groups, topics, priorities and prices: one contract for every strategy of the registry."""

from __future__ import annotations

import math

import numpy as np
import pytest

import oneglance as og
from oneglance import _core
from oneglance.reference import relevance as oracle
from oneglance.strategies import Pool, as_pool, strategy_names
from oneglance.strategies.goals import WITH_PRIORITY
from oneglance.strategies.groups import Claims, read_groups
from oneglance.strategies.relevance import off_topic, read_queries

N = 150
WEIGHTED = ("lewis", "random")

every_strategy = pytest.mark.parametrize("strategy", strategy_names())
coverage_only = pytest.mark.parametrize("strategy", [name for name in strategy_names() if name not in WEIGHTED])


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    centers = 4 * rng.normal(size=(9, 8))
    return (rng.normal(size=(N, 8)) + centers[rng.integers(0, 9, N) ** 2 // 9]).astype(np.float32)


@pytest.fixture(scope="module")
def groups():
    """40 groups of unlike sizes, and items without one."""
    names = np.array([f"scene {k}" for k in np.random.default_rng(1).integers(0, 40, N)], dtype=object)
    names[[5, 17, 60]] = None
    return names


@pytest.fixture(scope="module")
def prices():
    return np.random.default_rng(2).lognormal(sigma=0.6, size=N)


def most_of_a_group(names, items):
    """The largest number of these items in a group; None stands alone."""
    known = [name for name in names[items] if name is not None]
    return max((known.count(name) for name in known), default=0)


def same_bytes(ask):
    """The answer, after asking for it with other numbers of threads too."""
    try:
        answers = []
        for n_threads in (1, 2, 5):
            _core.set_threads(n_threads)
            answers.append(ask())
    finally:
        _core.set_threads(0)
    assert len({found.indices.tobytes() + found.weights.tobytes() for found in answers}) == 1
    return answers[0]


@every_strategy
@pytest.mark.parametrize(("budget", "per_group"), [(1, 1), (25, 1), (38, 1), (60, 2), (N - 1, 20)])
def test_no_group_gives_more_than_its_share(rows, groups, strategy, budget, per_group):
    found = same_bytes(lambda: og.select(rows, budget, strategy, groups=groups, per_group=per_group, seed=3))
    assert found.indices.size == len(set(found.indices.tolist())) == budget
    assert most_of_a_group(groups, found.indices) <= per_group
    assert found.groups.tolist() == groups[found.indices].tolist()
    assert found.certificate["groups"]["per_group"] == per_group
    assert (found.weights > 0).all()
    if strategy in WEIGHTED:
        assert ((found.inclusion_prob > 0) & (found.inclusion_prob <= 1)).all()
    else:
        assert np.isnan(found.inclusion_prob).all()
        assert found.weights.sum() == N  # every candidate is nearest to one of the final picks
        assert (found.represented_by[found.indices] == found.indices).all()


@every_strategy
def test_labelled_items_count_towards_their_group(rows, groups, strategy):
    labelled = [0, 1, 2, 3, 5]
    found = og.select(rows, 30, strategy, groups=groups, labelled=labelled)
    assert most_of_a_group(groups, found.indices) == 1
    assert not set(groups[found.indices]) & {groups[item] for item in labelled if groups[item] is not None}
    assert found.certificate["n_in_full_groups"] > 0
    assert found.certificate["n_candidates"] == N - 5 - found.certificate["n_in_full_groups"]


@every_strategy
def test_groups_within_strata(rows, strategy):
    strata = np.repeat(["a", "b", "c"], [90, 50, 10])
    groups = np.arange(N) // 5
    found = og.select(rows, 24, strategy, strata=strata, groups=groups, labelled=[2])
    counts = {name: int((strata[found.indices] == name).sum()) for name in "abc"}
    assert sum(counts.values()) == 24
    assert counts == {name: entry["picked"] for name, entry in found.certificate["strata"].items()}
    assert np.bincount(groups[np.append(found.indices, 2)]).max() == 1


@coverage_only
def test_groups_across_strata_leave_every_stratum_its_share(rows, strategy):
    """Stratum c has items of groups 0 .. 9 only, and needs all ten of them."""
    strata = np.repeat(["a", "b", "c"], [90, 50, 10])
    groups = np.concatenate([np.arange(90) % 40, np.arange(50) % 45, np.arange(10)])
    quotas = {"a": 20, "b": 15, "c": 10}
    found = og.select(rows, 45, strategy, strata=strata, groups=groups, quotas=quotas)
    assert {name: int((strata[found.indices] == name).sum()) for name in "abc"} == quotas
    assert np.bincount(groups[found.indices]).max() == 1


def largest_flow(part, group, needs, limit):
    """Picks that are possible, by SciPy: source, parts (at most their needs), groups (at most their room), sink."""
    flow = pytest.importorskip("scipy.sparse.csgraph").maximum_flow
    n_parts, n_groups = len(needs), int(group.max()) + 1
    end = 1 + n_parts + n_groups
    capacity = np.zeros((end + 1, end + 1), dtype=np.int32)
    capacity[0, 1 : 1 + n_parts] = needs
    np.add.at(capacity, (1 + part, 1 + n_parts + group), 1)
    capacity[1 + n_parts : end, end] = limit
    return flow(pytest.importorskip("scipy.sparse").csr_array(capacity), 0, end).flow_value


@pytest.mark.parametrize("seed", range(30))
def test_claims_serve_all_whatever_is_asked_first(seed):
    """Random parts and groups: as many claims as are possible, in any order, and room is never overdrawn."""
    rng = np.random.default_rng(seed)
    n, n_parts, n_groups = 60, 4, 12
    part, group = rng.integers(0, n_parts, n), rng.integers(0, n_groups, n)
    groups = read_groups(as_pool(np.zeros((n, 1))), group, int(rng.integers(1, 4)), np.empty(0, dtype=np.int64))
    rows = [np.flatnonzero(part == number) for number in range(n_parts)]
    needs = [int(rng.integers(0, 9)) for _ in rows]
    claims = Claims(groups, rows, needs)
    assert claims.possible == largest_flow(part, group, needs, groups.limit)
    if claims.possible < sum(needs):
        return
    taken = []
    for number in rng.permutation(n_parts):
        items = rng.permutation(rows[number])
        mine = []
        for item in items:
            if len(mine) < needs[number] and claims.take(number, int(item)):
                mine.append(int(item))
        assert len(mine) == needs[number]
        taken += mine
    assert np.bincount(group[taken], minlength=n_groups).max(initial=0) <= groups.limit


def test_inclusion_probabilities_under_groups_are_exact(rows, groups):
    """The mean weighted sum over many draws is the sum over the pool."""
    for strategy in WEIGHTED:
        sums = [
            float(found.weights @ rows[found.indices, 0].astype(np.float64))
            for found in (og.select(rows, 25, strategy, groups=groups, seed=seed) for seed in range(600))
        ]
        assert abs(np.mean(sums) - rows[:, 0].sum()) < 4 * np.std(sums) / math.sqrt(len(sums))


def test_mistakes_with_groups_are_named(rows, groups):
    with pytest.raises(
        og.InvalidInput, match=r"budget is 60, but with per_group=1 only 43 picks are possible.*at most"
    ):
        og.select(rows, 60, "kernel", groups=groups)
    with pytest.raises(og.InvalidInput, match=r"only 2 picks are possible under these strata"):
        og.select(rows, 20, "random", groups=np.arange(N) // 75, strata=np.arange(N) // 75)
    with pytest.raises(og.InvalidInput, match="per_group must be an integer >= 1, got 0"):
        og.select(rows, 5, groups=groups, per_group=0)
    with pytest.raises(og.InvalidInput, match="per_group is 2, but groups= does not say"):
        og.select(rows, 5, per_group=2)
    with pytest.raises(og.InvalidInput, match=r"groups must hold one group per item, shape \(150,\), got shape \(3,\)"):
        og.select(rows, 5, groups=[1, 2, 3])
    with pytest.raises(og.InvalidInput, match="groups names the column 'scene', but the pool has no such"):
        og.select(rows, 5, groups="scene")
    with pytest.raises(og.InvalidInput, match='sampler="paper" .* at most so many of a group'):
        og.select(rows, 5, sampler="paper", groups=groups)
    with pytest.raises(og.InvalidInput, match='sampler="pivotal" spreads .* at most so many of a group'):
        og.select(rows, 5, sampler="pivotal", groups=groups)
    with pytest.raises(og.InvalidInput, match="groups with items in several strata"):
        og.select(rows, 5, groups=groups, strata=np.arange(N) // 75)
    with pytest.raises(og.InvalidInput, match=r"clusters is 140, but only .* groups and costs had left \d+ items"):
        og.select(rows, 40, "kmeans", groups=groups, clusters=140)
    with pytest.raises(og.InvalidInput, match="start holds an item that belongs to a group that is full"):
        og.select(rows, 5, "farthest", groups=np.arange(N) // 50, per_group=2, start=[0, 1, 2])


@pytest.mark.parametrize("strategy", WITH_PRIORITY)
def test_priority_draws_attention(rows, strategy):
    urgent = np.where(np.arange(N) % 3 == 0, 5.0, 0.5)
    plain, asked = (og.select(rows, 30, strategy, seed=1, **more) for more in ({}, {"priority": urgent}))
    only = same_bytes(lambda: og.select(rows, 30, strategy, seed=1, priority=urgent, priority_weight=1.0))
    assert asked.priority.tolist() == urgent[asked.indices].tolist()
    assert asked.certificate["priority"]["weight"] == 0.5
    for found in (plain, asked, only):
        assert len(set(found.indices.tolist())) == 30
    nothing = og.select(rows, 30, strategy, seed=1, priority=urgent, priority_weight=0.0)
    if strategy in ("kernel", "auto"):
        assert nothing.indices.tolist() == plain.indices.tolist()
    shares = [urgent[found.indices].mean() for found in (plain, asked, only)]
    assert shares[0] < shares[2]


def test_priority_keeps_weights_unbiased(rows):
    urgent = np.random.default_rng(5).exponential(size=N)
    for strategy in WEIGHTED:
        sums = [
            float(found.weights @ rows[found.indices, 0].astype(np.float64))
            for found in (og.select(rows, 25, strategy, priority=urgent, seed=seed) for seed in range(600))
        ]
        assert abs(np.mean(sums) - rows[:, 0].sum()) < 4 * np.std(sums) / math.sqrt(len(sums))
    found = og.select(rows, 25, "random", priority=urgent, groups=np.arange(N) // 3)
    assert np.bincount(found.indices // 3).max() == 1


@every_strategy
def test_who_takes_no_priority_says_who_does(rows, strategy):
    if strategy in WITH_PRIORITY:
        spoiled = np.ones(N)
        spoiled[[3, 9]] = np.nan, -1
        with pytest.raises(og.InvalidInput, match=r"priority must be finite and >= 0 .* row 3: nan, row 9: -1"):
            og.select(rows, 5, strategy, priority=spoiled)
        assert 3 not in og.select(rows, 5, strategy, priority=spoiled, exclude=[3, 9]).indices
        with pytest.raises(og.InvalidInput, match="priority is 0 for every item"):
            og.select(rows, 5, strategy, priority=np.zeros(N))
        with pytest.raises(og.InvalidInput, match="priority must hold numbers, got 'high' at row 0"):
            og.select(rows, 5, strategy, priority=["high"] * N)
        with pytest.raises(og.InvalidInput, match="priority_weight must be at most 1"):
            og.select(rows, 5, strategy, priority=np.ones(N), priority_weight=1.5)
    else:
        with pytest.raises(og.InvalidInput, match=f'strategy "{strategy}" has no place for a priority: .*"kernel"'):
            og.select(rows, 5, strategy, priority=np.ones(N))


@every_strategy
@pytest.mark.parametrize("budget", [18.0, "15%", 1e9])
def test_picks_never_cost_more_than_the_budget(rows, prices, strategy, budget):
    found = same_bytes(lambda: og.select(rows, budget, strategy, costs=prices, labelled=[4, 5], seed=2))
    candidates = np.delete(np.arange(N), [4, 5])
    money = 0.15 * prices[candidates].sum() if budget == "15%" else budget
    spent = math.fsum(prices[found.indices])
    assert len(set(found.indices.tolist())) == found.indices.size > 0
    assert not np.isin(found.indices, [4, 5]).any()
    assert spent <= money
    assert found.costs.tolist() == prices[found.indices].tolist()
    assert math.isclose(found.certificate["costs"]["spent"], spent)
    if budget == 1e9:
        assert sorted(found.indices.tolist()) == candidates.tolist()
    elif strategy not in WEIGHTED:
        left = np.setdiff1d(candidates, found.indices)
        assert prices[left].min() > money - spent  # nothing that is left could still be paid


@every_strategy
def test_equal_prices_are_a_budget_of_items(rows, strategy):
    found = og.select(rows, 10.0, strategy, costs=np.full(N, 0.5), seed=4)
    assert found.indices.size == 20
    if strategy in ("farthest", "facility", "kernel", "auto"):
        assert found.indices.tolist() == og.select(rows, 20, strategy, seed=4).indices.tolist()


@pytest.mark.parametrize("strategy", ["lewis", "random", "kernel", "farthest", "kmeans"])
def test_money_that_pays_for_all_leaves_nothing_to_rounding(rows, prices, strategy):
    dimes = np.full(N, 0.1)  # their exact sum is above 15.0, and rounds to it
    for costs, budget in ((dimes, 15.0), (dimes, "100%"), (dimes * 0.7, "100%"), (prices, "100%")):
        assert len(og.select(rows, budget, strategy, costs=costs)) == N
        strata = np.arange(N) % 7
        assert len(og.select(rows, "100%", strategy, costs=costs, strata=strata)) == N
    assert len(og.select(rows, 10.0, strategy, costs=dimes)) == 100


def test_money_of_strata_that_it_pays_nothing_in_is_told(rows):
    costs = np.where(np.arange(N) < 10, 50.0, 1.0)  # a dear stratum, whose share pays none of it
    with pytest.warns(UserWarning, match="1 of 2 strata get no pick"):
        found = og.select(rows, 20.0, "kmeans", costs=costs, strata=(np.arange(N) < 10).astype(int))
    assert found.certificate["costs"] == {"budget": 20.0, "spent": float(len(found))}


@coverage_only
def test_prices_groups_and_strata_together(rows, groups, prices, strategy):
    strata = np.where(np.arange(N) < 100, "a", "b")
    found = og.select(rows, 30.0, strategy, costs=prices, groups=groups, strata=strata)
    assert math.fsum(prices[found.indices]) <= 30.0
    assert most_of_a_group(groups, found.indices) == 1
    for name in "ab":
        share = 30.0 * prices[strata == name].sum() / prices.sum()
        assert prices[found.indices[strata[found.indices] == name]].sum() <= share


def test_weights_under_prices_are_unbiased(rows, prices):
    for strategy in WEIGHTED:
        answers = [og.select(rows, 40.0, strategy, costs=prices, seed=seed) for seed in range(600)]
        sums = [float(found.weights @ rows[found.indices, 0].astype(np.float64)) for found in answers]
        assert abs(np.mean(sums) - rows[:, 0].sum()) < 4 * np.std(sums) / math.sqrt(len(sums))
        assert max(math.fsum(prices[found.indices]) for found in answers) <= 40.0


def test_mistakes_with_prices_are_named(rows, groups, prices):
    with pytest.raises(og.InvalidInput, match=r"costs must be finite and > 0 .* row 7: 0"):
        og.select(rows, 5, costs=np.where(np.arange(N) == 7, 0.0, 1.0))
    with pytest.raises(og.InvalidInput, match=r"budget pays 0.5, and the cheapest item costs 1; 150 items are"):
        og.select(rows, 0.5, "kmeans", costs=np.ones(N))
    for wrong in ("0%", "120%"):
        with pytest.raises(og.InvalidInput, match=r"budget must be above 0% and at most 100% of the total cost 150"):
            og.select(rows, wrong, costs=np.ones(N))
    with pytest.raises(og.InvalidInput, match="budget must be a number > 0, got 'much'"):
        og.select(rows, "much", costs=np.ones(N))
    with pytest.raises(og.InvalidInput, match="groups and costs together leave no draw"):
        og.select(rows, 40.0, costs=prices, groups=groups)
    with pytest.raises(og.InvalidInput, match="drawn by chance costs"):
        og.select(rows, 3.0, costs=prices)
    with pytest.raises(og.InvalidInput, match='sampler="paper" .* a budget of money'):
        og.select(rows, 40.0, costs=prices, sampler="paper")
    with pytest.raises(og.InvalidInput, match="quotas are counts of picks"):
        og.select(rows, 40.0, "kernel", costs=prices, strata=np.arange(N) // 75, quotas={"0": 3})
    with pytest.raises(og.InvalidInput, match="budget pays 2; divided over 150 strata it pays no item of any"):
        og.select(rows, 2.0, "kmeans", costs=np.ones(N), strata=np.arange(N))
    with pytest.raises(og.InvalidInput, match="start costs 5, the budget is 3. Give fewer"):
        og.select(rows, 3.0, "farthest", costs=np.where(np.arange(N) == 9, 5.0, 1.0), start=[9])
    with pytest.raises(og.InvalidInput, match="start holds 4 items, the budget there is 3. Give fewer"):
        og.select(rows, 3.0, "farthest", costs=np.ones(N), start=[1, 2, 3, 4])


def test_a_nested_search_is_asked_twice_at_most_when_the_mean_price_is_typical(rows, prices, monkeypatch):
    """Its picks that the money pays are the first of the plain answer; the rest is spent on cheaper items."""
    from oneglance.strategies import facility as module

    asked = []
    greedy = module.greedy
    monkeypatch.setattr(module, "greedy", lambda *given: asked.append(given[3]) or greedy(*given))
    found = og.select(rows, 40.0, "facility", costs=prices)
    plain = og.select(rows, 60, "facility").indices
    first = int(np.searchsorted(np.cumsum(prices[plain]), 40.0, side="right"))
    assert found.indices[:first].tolist() == plain[:first].tolist()
    assert len(asked) - 1 <= 2 + found.indices.size - first  # one or two searches, then one for every item besides


@pytest.fixture(scope="module")
def mixed():
    """100 items of a topic around one direction, then 60 of another."""
    rng = np.random.default_rng(3)
    return np.vstack(
        [rng.normal(size=(100, 12)) + 3 * np.eye(12)[0], 0.3 * rng.normal(size=(60, 12)) - 3 * np.eye(12)[1]]
    )


@every_strategy
def test_only_items_on_topic_are_picked(mixed, strategy):
    queries = np.arange(0, 100, 3)
    found = og.select(mixed, 20, strategy, relevant_to=queries, labelled=[6, 7])
    listed = found.certificate["relevance"]
    dropped = np.array(listed["items"])
    assert np.isin(np.arange(100, 160), dropped).all()
    assert (dropped < 100).sum() <= 8
    assert not np.isin(dropped, queries).any()
    assert listed["n_dropped"] == found.certificate["n_off_topic"] == dropped.size == len(listed["p_values"])
    assert found.certificate["n_candidates"] == 158 - dropped.size
    assert not np.isin(found.indices, dropped).any()
    assert found.indices.size == 20
    with pytest.raises(og.InvalidInput, match=r"budget is 120, but only .* off topic"):
        og.select(mixed, 120, strategy, relevant_to=queries)


def test_queries_come_in_many_forms(mixed, tmp_path):
    queries = np.arange(0, 100, 3)

    def dropped(pool, given, **more):
        return og.select(pool, 5, "random", relevant_to=given, **more).certificate["relevance"]["items"]

    mask = np.isin(np.arange(160), queries)
    inside = dropped(mixed, queries)
    assert dropped(mixed, mask) == dropped(mixed, queries.tolist()) == inside
    outside = np.random.default_rng(8).normal(size=(40, 12)) + 3 * np.eye(12)[0]
    far = set(dropped(mixed, outside))
    assert far >= set(range(100, 160))
    assert far == set(dropped(mixed, outside.astype(np.float32).astype(np.float64) * 1.0)) or len(far) < 75
    two = {"a": mixed, "b": mixed[:, ::-1]}
    assert set(dropped(two, {"b": outside[:, ::-1], "a": outside})) >= set(range(100, 160))
    assert dropped(two, queries) == inside


def test_the_test_agrees_with_its_definition(mixed):
    queries, tested = np.arange(0, 100, 3), np.setdiff1d(np.arange(160), np.arange(0, 100, 3))
    pool = as_pool(mixed)
    for given, own in ((queries, queries), (mixed[queries], np.empty(0, dtype=np.int64))):
        rows = np.setdiff1d(np.arange(160), own)
        told = off_topic(pool, read_queries(pool, given, 0.05), np.ones(160, dtype=bool), 1.0)
        assert told.items.tolist() == rows.tolist()
        want = oracle.p_values(mixed, mixed[queries], own, rows, rows)
        if own.size:
            np.testing.assert_allclose(told.p, want)
        else:  # items that equal a query: rounding may tell their distances apart
            assert (np.abs(told.p - want) < 0.03).all()
    assert tested.size == 126


def test_the_share_that_is_lost_is_the_one_allowed():
    """Items like the queries: the mean share that is dropped is at most `relevance`."""
    lost = []
    for seed in range(60):
        rows = np.random.default_rng(seed).normal(size=(300, 6))
        lost.append(og.select(rows, 1, "random", relevant_to=np.arange(60), relevance=0.1).certificate["n_off_topic"])
    assert 0.05 < np.mean(lost) / 240 < 0.1 + 3 * np.std(lost) / 240 / math.sqrt(60)


def test_mistakes_with_topics_are_named(mixed):
    with pytest.raises(og.InvalidInput, match=r"relevant_to holds 5 usable queries; .* relevance=0.05 .* least 19"):
        og.select(mixed, 5, relevant_to=[0, 1, 2, 3, 4])
    for wrong in (0, 1, 2.0, float("nan")):
        with pytest.raises(og.InvalidInput, match="relevance must be a"):
            og.select(mixed, 5, relevant_to=np.arange(30), relevance=wrong)
    with pytest.raises(og.InvalidInput, match="relevant_to has 5 columns of backbone 'features', the pool has 12"):
        og.select(mixed, 5, relevant_to=np.ones((30, 5)))
    with pytest.raises(og.InvalidInput, match="relevant_to has no features of backbone 'a'"):
        og.select({"a": mixed, "b": mixed}, 5, relevant_to={"b": mixed[:30], "c": mixed[:30]})
    spoiled = mixed[:30].copy()
    spoiled[4, 2] = np.inf
    with pytest.raises(og.InvalidInput, match="relevant_to has NaN or infinity in row 4"):
        og.select(mixed, 5, relevant_to=spoiled)
    torn = mixed.copy()
    torn[[3, 50, 120]] = np.nan
    with pytest.warns(UserWarning, match="in 3 rows: 3, 50, 120"):
        found = og.select(torn, 5, "random", relevant_to=np.arange(40))
    assert found.certificate["relevance"]["n_queries"] == 39
    assert found.certificate["n_invalid"] == 3
    with pytest.warns(UserWarning, match="relevant_to drops nothing"):
        og.select(np.tile(mixed[:40], (2, 1)), 5, "random", relevant_to=np.arange(40))
    with (
        pytest.warns(UserWarning, match=r"relevant_to drops 160 of 160 items and keeps 0"),
        pytest.raises(og.InvalidInput, match="160 off topic"),
    ):
        og.select(mixed, 5, "random", relevant_to=np.tile(-9 * mixed[:1] - 7, (30, 1)) + np.eye(12)[0] * 1e-6)


def test_steel_is_told_from_animals_and_back(shared):
    """Real features of a mixed pool: 10,000 pictures of things and 1,440 of steel."""
    data = shared / "data" / "features"
    both = [np.load(data / f"{name}__mnv2.npz")["X_train"] for name in ("cifar10", "neu")]
    pool, n_things = np.vstack(both), len(both[0])
    rng = np.random.default_rng(0)
    for first, last, n_queries in ((n_things, len(pool), 40), (0, n_things, 100)):
        queries = first + rng.choice(last - first, n_queries, replace=False)
        listed = og.select(pool, 20, "random", relevant_to=queries).certificate["relevance"]["items"]
        gone = np.isin(np.arange(len(pool)), listed)
        on = (np.arange(len(pool)) >= first) & (np.arange(len(pool)) < last)
        assert gone[~on].mean() > 0.97
        assert gone[on].sum() <= 0.1 * (on.sum() - n_queries)


def test_columns_of_a_store_are_named(rows, groups, prices):
    columns = {"group": groups, "label": np.array([f"{price}" for price in prices], dtype=object)}
    pool = Pool(as_pool(rows).features, np.ones(N, dtype=bool), columns=columns)
    by_name = og.select(pool, 20, "kmeans", groups="group", per_group=2)
    assert by_name.indices.tolist() == og.select(rows, 20, "kmeans", groups=groups, per_group=2).indices.tolist()
    paid = og.select(pool, 20.0, "random", costs="label", priority="label")
    np.testing.assert_allclose(paid.costs, prices[paid.indices])
    with pytest.raises(og.InvalidInput, match="priority names the column 'x', but the pool has no such: its columns"):
        og.select(pool, 20, "random", priority="x")


def test_a_priority_has_no_place_among_patterns():
    patterns = np.random.default_rng(0).normal(size=(20, 3, 4))
    with pytest.raises(og.InvalidInput, match='strategy "auto" is FreeSel for the pool, .* no place for a priority'):
        og.select(patterns, 5, "auto", priority=np.ones(20))
    scene = np.arange(20) // 2
    assert np.bincount(scene[og.select(patterns, 8, "auto", groups=scene).indices]).max() == 1
    assert og.select(patterns, 6.0, "freesel", costs=np.full(20, 2.0)).indices.size == 3


def test_the_table_has_a_column_for_every_goal(rows, groups, prices):
    table = og.select(rows, 20, "random", groups=groups, priority=prices).to_table()
    assert {"group", "priority"} <= set(table.column_names)
    assert "cost" not in table.column_names
    assert table["group"].null_count == sum(name is None for name in table["group"].to_pylist())
    paid = og.select(rows, 30.0, "random", costs=prices).to_table()
    assert abs(sum(paid["cost"].to_pylist()) - prices[paid["row_id"].to_numpy()].sum()) < 1e-9
