"""select(): what it picks, in which order, with which numbers."""

from __future__ import annotations

import csv
import sys
import warnings
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

import oneglance as og
from oneglance.errors import MissingDependency
from oneglance.reference import sampling as oracle
from oneglance.strategies import NotConverged, as_pool, coherence_total, kappa
from oneglance.strategies.budget import allocate, parse_budget
from oneglance.strategies.sampling import inclusion_targets

N = 300


@pytest.fixture(scope="module")
def two():
    rng = np.random.default_rng(0)
    vit = rng.standard_t(2, size=(N, 6)).astype(np.float32)
    cnn = rng.standard_normal((N, 9)) * rng.pareto(2, (N, 1))
    return {"vit": vit, "cnn": cnn}


@pytest.fixture(scope="module")
def store(two, tmp_path_factory):
    vit = two["vit"].copy()
    vit[7] = np.nan
    cnn = two["cnn"].copy()
    cnn[9] = 0
    source = {
        "vit": vit,
        "cnn": cnn,
        "name": np.array([f"img{i:03d}.jpg" for i in range(N)]),
        "light": np.array(["day"] * 240 + ["night"] * 60),
    }
    out = tmp_path_factory.mktemp("pool") / "store"
    return og.embed(source, None, out, id_column="name", stratum_column="light")


def leverage(a):
    u, s, _ = np.linalg.svd(np.asarray(a, dtype=np.float64), full_matrices=False)
    return (u[:, s > s[0] * 1e-10] ** 2).sum(axis=1)


def near(got, want, rtol=1e-5):
    got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
    assert got.shape == want.shape
    assert np.all(np.abs(got - want) <= rtol * np.abs(want)), (got, want)


def test_probabilities_follow_the_largest_weight(two):
    selection = og.select(two, 40, seed=3)
    scores = np.maximum(leverage(two["vit"]), leverage(two["cnn"]))
    pi, certain = inclusion_targets(scores, 40)
    near(selection.scores, scores[selection.indices])
    near(selection.inclusion_prob, pi[selection.indices])
    near(selection.weights, 1 / pi[selection.indices])
    assert np.isin(np.flatnonzero(certain), selection.indices).all()
    assert len(set(selection.indices.tolist())) == 40 == len(selection)


@pytest.mark.parametrize("combine", ["mean", "single:cnn"])
def test_combine(two, combine):
    weights = {name: leverage(array) for name, array in two.items()}
    want = np.mean(list(weights.values()), axis=0) if combine == "mean" else weights["cnn"]
    selection = og.select(two, 20, combine=combine)
    near(selection.scores, want[selection.indices])
    assert list(selection.certificate["backbones"]) == (["vit", "cnn"] if combine == "mean" else ["cnn"])


def test_order_is_certain_first_then_by_score(two):
    selection = og.select(two, 120, seed=1)
    certain = selection.inclusion_prob >= 1
    assert 0 < certain.sum() < 120
    assert np.all(certain[: certain.sum()])
    assert np.all(np.diff(selection.scores[certain]) <= 0)
    assert np.all(np.diff(selection.scores[~certain]) <= 0)
    assert selection.rank.tolist() == list(range(1, 121))


def test_reasons_say_why(two):
    selection = og.select(two, 120, seed=1)
    certain = selection.inclusion_prob >= 1
    for sure, reason in zip(certain, selection.reason, strict=True):
        assert reason.startswith("certain: Lewis weight " if sure else "drawn: probability ")
        assert reason.endswith((" under vit", " under cnn"))
    winner = "vit" if leverage(two["vit"])[selection.indices[0]] > leverage(two["cnn"])[selection.indices[0]] else "cnn"
    assert selection.reason[0].endswith(f"under {winner}")
    alone = og.select(two["vit"], 10)
    assert all("Lewis weight" in reason and "under" not in reason for reason in alone.reason)
    assert "every item alike, probability 0.033" in og.select(two, 10, "random").reason[0]


def test_same_seed_same_bytes_and_threads_do_not_matter(two):
    from oneglance import _core

    first = og.select(two, 30, seed=5)
    before = _core.build_info()["threads"]
    try:
        _core.set_threads(2)
        again = og.select(two, 30, seed=5)
    finally:
        _core.set_threads(before)
    for name in ("indices", "weights", "inclusion_prob", "scores"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.indices.tobytes() != og.select(two, 30, seed=6).indices.tobytes()


def test_labelled_rows_are_left_out_of_the_weights(two):
    labelled = np.arange(0, N, 3)
    left = np.setdiff1d(np.arange(N), labelled)
    selection = og.select(two["vit"], 25, labelled=labelled)
    assert not np.isin(selection.indices, labelled).any()
    scores = np.zeros(N)
    scores[left] = leverage(two["vit"][left])
    near(selection.scores, scores[selection.indices])
    for same in (labelled.tolist(), np.isin(np.arange(N), labelled), np.r_[labelled, labelled]):
        assert np.array_equal(og.select(two["vit"], 25, labelled=same).indices, selection.indices)
    both = og.select(two["vit"], 25, labelled=labelled[:60], exclude=labelled[40:])
    assert np.array_equal(both.indices, selection.indices)
    assert both.certificate["n_candidates"] == 200


def test_store_ids_invalid_rows_and_sources(store):
    selection = og.select(store, 290, labelled=["img000.jpg", "img000.jpg", "img001.jpg"], exclude=[2])
    assert not np.isin(selection.indices, [0, 1, 2, 7, 9]).any()
    assert selection.ids[0] == f"img{selection.indices[0]:03d}.jpg"
    counts = {key: selection.certificate[key] for key in ("n_items", "n_invalid", "n_labelled", "n_excluded")}
    assert counts == {"n_items": N, "n_invalid": 2, "n_labelled": 2, "n_excluded": 1}
    assert selection.certificate["n_candidates"] == 295
    assert len(selection.sources) == 290
    assert np.array_equal(og.select(store.path, 20).indices, og.select(store, 20).indices)
    assert list(og.select(store, 20, backbones=["cnn"]).certificate["backbones"]) == ["cnn"]


def test_strata_share_the_budget_in_proportion(store):
    selection = og.select(store, 50, strata="stratum", seed=2)
    assert selection.certificate["strata"] == {
        "day": {"available": 238, "picked": 40},
        "night": {"available": 60, "picked": 10},
    }
    assert (selection.strata == "night").sum() == 10
    assert np.all(selection.indices[selection.strata == "night"] >= 240)
    fixed = og.select(store, 50, "random", strata="stratum", quotas={"night": 30})
    assert (fixed.strata == "night").sum() == 30
    near(fixed.inclusion_prob[fixed.strata == "night"], np.full(30, 0.5), 1e-12)
    near(fixed.weights[fixed.strata == "day"], np.full(20, 238 / 20), 1e-12)


def test_strata_are_drawn_independently(two):
    twice = np.concatenate([two["vit"], two["vit"]])
    strata = np.repeat(["a", "b"], N)
    for sampler in ("bernoulli", "pivotal", "paper", "unbiased"):
        selection = og.select(twice, 60, strata=strata, sampler=sampler)
        first = selection.indices[selection.strata == "a"]
        second = selection.indices[selection.strata == "b"] - N
        assert len(first) == len(second) == 30
        assert set(first.tolist()) != set(second.tolist())


def test_items_without_a_stratum_form_their_own(two):
    strata = np.array([None] * 100 + ["a"] * 200, dtype=object)
    assert og.select(two, 30, strata=strata).certificate["strata"]["(none)"]["picked"] == 10
    numbers = np.repeat([1.0, np.nan, 3.0], 100)
    assert set(og.select(two, 30, strata=numbers).certificate["strata"]) == {"1.0", "(none)", "3.0"}


class Unknown:
    """Like pandas' NA: comparisons give no truth."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


def test_missing_strata_and_groups_in_a_list_of_names(two):
    for gap in (float("nan"), "", None, Unknown()):
        names = [gap] * 100 + ["a"] * 200
        assert set(og.select(two, 30, strata=names).certificate["strata"]) == {"(none)", "a"}
        grouped = og.select(two, 30, "random", groups=names)  # each of the 100 is a group of its own
        assert np.count_nonzero(grouped.indices >= 100) <= 1
        assert set(grouped.groups) <= {None, "a"}
    priority = np.array([1.0] * 299 + [Unknown()], dtype=object)
    assert len(og.select(two, 30, "random", priority=priority, exclude=[299])) == 30


def test_quotas_of_numbered_strata(two):
    strata = np.arange(N) % 3
    found = og.select(two, 30, "random", strata=strata, quotas={0: 20}).certificate["strata"]
    assert [found[name]["picked"] for name in "012"] == [20, 5, 5]


def test_certificate_of_weights(two):
    certificate = og.select(two, 20, p=1.5, tol=1e-5).certificate
    weights = [og.lewis_weights(array, 1.5, tol=1e-5).weights for array in two.values()]
    near(certificate["total"], oracle.coherence_total(weights), 1e-9)
    near(certificate["kappa_10"], oracle.kappa(weights, 0.1), 1e-12)
    assert certificate["total_bound"] == 15
    assert certificate["converged"] is True
    assert certificate["backbones"]["vit"]["rank"] == 6
    assert certificate["backbones"]["vit"]["residual"] <= 1e-5


def test_stopping_short_is_loud_and_still_selects(two):
    with pytest.warns(NotConverged, match=r'backbone "vit" stopped after 2 passes at residual .* max_passes='):
        selection = og.select({"vit": two["vit"]}, 20, p=1.0, max_passes=2)
    assert len(selection) == 20
    assert selection.certificate["converged"] is False
    assert selection.certificate["backbones"]["vit"]["converged"] is False


def test_fewer_rows_than_features_is_uniform_and_says_so():
    wide = np.random.default_rng(0).normal(size=(12, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selection = og.select(wide, 5)
    near(selection.inclusion_prob, np.full(5, 5 / 12), 1e-9)
    assert "all its weights are 1 and it picks uniformly" in selection.certificate["backbones"]["features"]["note"]


def test_paper_sampler_counts_draws(two):
    selection = og.select(two, 30, sampler="paper", seed=1)
    assert selection.certificate["n_draws"] >= 30
    scores = np.maximum(leverage(two["vit"]), leverage(two["cnn"]))
    share = scores[selection.indices] / scores.sum()
    draws = selection.weights * share * selection.certificate["n_draws"]
    near(draws, np.round(draws), 1e-4)
    near(draws.sum(), selection.certificate["n_draws"], 1e-4)


def test_pivotal_sampler_spreads_over_all_backbones(two):
    plain, spread = (og.select(two, 30, sampler=sampler) for sampler in ("bernoulli", "pivotal"))
    near(spread.weights, 1 / spread.inclusion_prob, 1e-12)
    both = np.intersect1d(plain.indices, spread.indices)
    near(
        spread.inclusion_prob[np.isin(spread.indices, both)].sum(),
        plain.inclusion_prob[np.isin(plain.indices, both)].sum(),
        1e-9,
    )
    only = og.select(two, 30, sampler="pivotal", combine="single:vit")
    alone = og.select({"vit": two["vit"]}, 30, sampler="pivotal")
    assert np.array_equal(only.indices, alone.indices)
    shards = og.select({name: np.vstack([x[:7], x[7:]]) for name, x in two.items()}, 30, sampler="pivotal")
    assert np.array_equal(shards.indices, spread.indices)


def test_unbiased_sampler_has_the_papers_rows(two):
    paper, unbiased = (og.select(two, 30, sampler=sampler, seed=1) for sampler in ("paper", "unbiased"))
    assert np.array_equal(np.sort(paper.indices), np.sort(unbiased.indices))
    assert unbiased.certificate["n_draws"] >= paper.certificate["n_draws"]


def test_kinds_of_input_agree(two):
    import torch

    want = og.select([two["vit"], two["cnn"]], 20).indices
    assert np.array_equal(og.select((two["vit"], two["cnn"]), 20).indices, want)
    assert np.array_equal(og.select(two, 20).indices, want)
    assert np.array_equal(og.select({"a": torch.from_numpy(two["vit"]), "b": two["cnn"]}, 20).indices, want)
    shards = og.RowShards((two["vit"][:100], two["vit"][100:]))
    assert np.array_equal(og.select([shards, two["cnn"]], 20).indices, want)
    assert og.select(two["vit"], 5).ids.dtype == np.int64


def test_written_files_hold_the_selection(store, tmp_path):
    selection = og.select(store, 15, strata="stratum")
    table = pq.read_table(selection.to_parquet(tmp_path / "s.parquet"))
    assert table.column_names == [
        "rank", "row_id", "item_id", "source", "stratum", "score", "inclusion_prob", "weight", "reason"
    ]  # fmt: skip
    assert table["row_id"].to_pylist() == selection.indices.tolist()
    assert table["weight"].to_pylist() == selection.weights.tolist()
    lines = (selection.to_csv(tmp_path / "s.csv")).read_text().splitlines()
    assert len(lines) == 16
    assert lines[1].startswith(f"1,{selection.indices[0]},{selection.ids[0]},")
    frame = selection.to_pandas()
    assert frame["item_id"].tolist() == selection.ids.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.parquet"]
    assert "15 items" in repr(selection)
    assert selection.ids[0] in repr(selection)


def test_ids_of_any_text_come_back_from_csv(tmp_path):
    names = ["a,b", 'say "x"', "two\nlines", "a\rreturn", "both\r\n", "=1+1", "é", "007"]
    pool = replace(as_pool(np.eye(8)), ids=np.array(names, dtype=object))
    path = og.select(pool, 8, "random").to_csv(tmp_path / "s.csv")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["item_id"] for row in rows} == set(names)
    assert path.read_bytes().startswith(b"rank,row_id,item_id,score,inclusion_prob,weight,reason\n")
    assert og.select(pool, 1, "random", exclude=[row["item_id"] for row in rows[:-1]]).ids == [rows[-1]["item_id"]]


def test_pandas_is_optional(two, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingDependency, match="to_pandas needs pandas: pip install pandas"):
        og.select(two, 5).to_pandas()


@pytest.mark.parametrize(
    ("budget", "available", "want"),
    [
        ("2%", 1000, 20),
        (" 0.5 % ", 1000, 5),
        ("0.01%", 50, 1),
        ("100%", 7, 7),
        ("12", 20, 12),
        (np.int32(4), 9, 4),
        ("2.5%", 100, 3),
    ],
)
def test_budgets(budget, available, want):
    assert parse_budget(budget, available) == want


def test_allocation():
    assert allocate(10, {"a": 600, "b": 300, "c": 100}) == {"a": 6, "b": 3, "c": 1}
    assert allocate(3, {"a": 990, "b": 5, "c": 5}) == {"a": 1, "b": 1, "c": 1}
    assert allocate(2, {"a": 10, "b": 10, "c": 10}) == {"a": 1, "b": 1, "c": 0}
    assert allocate(100, {"a": 98, "b": 1, "c": 1}) == {"a": 98, "b": 1, "c": 1}
    assert allocate(10, {"a": 50, "b": 50, "c": 5}, {"c": 4}) == {"a": 3, "b": 3, "c": 4}
    assert allocate(4, {"a": 50, "c": 5}, {"c": 4}) == {"a": 0, "c": 4}
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = {str(i): int(size) for i, size in enumerate(rng.integers(1, 400, rng.integers(1, 30)))}
        budget = int(rng.integers(1, sum(sizes.values()) + 1))
        counts = allocate(budget, sizes)
        assert sum(counts.values()) == budget
        assert all(0 <= counts[name] <= size for name, size in sizes.items())
        assert budget < len(sizes) or min(counts.values()) >= 1


def test_agreement_equals_the_definition():
    rng = np.random.default_rng(1)
    for n in (1, 15, 64, 200):
        weights = [np.round(rng.random(n), 1) for _ in range(3)]  # ties on purpose
        near(coherence_total(weights), oracle.coherence_total(weights), 1e-12)
        for fraction in (0.01, 0.1, 0.5, 1.0):
            near(kappa(weights, fraction), oracle.kappa(weights, fraction), 1e-12)
    assert kappa([rng.random(50)], 0.1) == 1.0
    a = rng.random(40)
    assert coherence_total([a, a]) == a.sum()


def test_lewis_weights_are_kept_with_the_pool_for_the_same_question_only(monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=(60, 5)), "b": rng.normal(size=(60, 3))}
    fresh = og.select(arrays, 7, seed=1).indices
    asked = []

    def counted(rows, **more):
        asked.append(rows)
        return og.lewis_weights(rows, **more)

    monkeypatch.setattr(sys.modules[NotConverged.__module__], "lewis_weights", counted)
    pool = as_pool(arrays)
    assert np.array_equal(og.select(pool, 7, seed=1).indices, fresh)
    og.select(pool, 20, seed=2)
    assert len(asked) == 2
    og.select(pool, 7, exclude=[3])
    og.select(pool, 7, p=1.0)
    og.select(pool, 7, combine="single:b")
    assert len(asked) == 2 + 2 + 2 + 1


def test_labelled_items_of_a_stratum_without_candidates_represent_themselves(two):
    strata = ["done"] * 20 + ["open"] * (N - 20)
    for strategy in ("farthest", "kmeans"):
        selection = og.select(two["vit"], 10, strategy, strata=strata, labelled=np.arange(20))
        assert np.array_equal(selection.represented_by[:20], np.arange(20))
        assert not selection.represented_distance[:20].any()
        picked = np.isin(selection.represented_by[20:], selection.indices)
        assert selection.weights.sum() == picked.sum() < N - 20  # some are nearer to a labelled item


def test_rows_that_a_later_reader_cannot_use_are_left_out_too(two):
    rows = two["vit"].copy()
    rows[3], rows[5] = np.nan, 0  # of no use to the test of relevance; to cosines
    with pytest.warns(UserWarning, match="left out"):
        selection = og.select(rows, 5, "herding", relevant_to=np.arange(10, 60))
    assert selection.certificate["n_invalid"] == 2
    rows[5] = np.nan  # labelled: the weights do not read it, the explanation does
    with pytest.warns(UserWarning, match="left out"):
        selection = og.select(rows, 5, "lewis", labelled=[5], explain=True)
    assert selection.certificate["n_invalid"] == 2
