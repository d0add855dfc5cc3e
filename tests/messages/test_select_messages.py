"""The words of select()'s refusals: what was needed, what came, the cure."""

from __future__ import annotations

import numpy as np
import pytest

import oneglance as og
from oneglance.errors import InvalidInput, StoreError
from oneglance.strategies import kappa

X = np.random.default_rng(0).normal(size=(40, 3))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    source = {"vit": X.astype(np.float32), "name": np.array([f"{i}.png" for i in range(40)])}
    return og.embed(source, None, tmp_path_factory.mktemp("messages") / "store", id_column="name")


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (0, r"budget must be at least 1, got 0; 40 items are available\."),
        (-3, "budget must be at least 1, got -3"),
        (41, r"budget is 41, but only 40 items are available\. Ask for at most 40\."),
        ("150%", "budget must be above 0% and at most 100%, got 150%; 40 items are available"),
        ("0%", "above 0% and at most 100%, got 0%"),
        (0.02, r'a whole number or a percentage, got 0\.02\. Write "2%"\.'),
        (5.0, r"got 5\.0\. Write 5\."),
        (float("nan"), "got nan. Write 500."),
        ("lots", "a count like 500 or a percentage like \"2%\", got 'lots'"),
        (True, "a count like 500 or a percentage .* got True"),
        (None, "a count like 500 or a percentage .* got None"),
    ],
)
def test_budget(budget, words):
    with pytest.raises(InvalidInput, match=words):
        og.select(X, budget)


def test_budget_says_what_is_not_available():
    words = r"budget is 30, but only 22 items are available \(40 in the pool, 10 labelled, 10 excluded\)"
    with pytest.raises(InvalidInput, match=words):
        og.select(X, 30, labelled=range(10), exclude=range(8, 18))
    with pytest.raises(InvalidInput, match=r"budget is 1, but 0 items are available .* exclude fewer, or add items"):
        og.select(X, 1, labelled=range(40))


def test_zero_rows_cannot_be_picked_by_weight():
    sparse = X.copy()
    sparse[5:] = 0
    with pytest.raises(InvalidInput, match=r"only 5 of the 40 available items have a Lewis weight above 0 .*zeros"):
        og.select(sparse, 6)
    assert len(og.select(sparse, 6, "random")) == 6


def test_rows_that_do_not_match():
    words = 'features of backbone "b" have 39 rows, those of "a" have 40. All backbones must describe'
    with pytest.raises(InvalidInput, match=words):
        og.select({"a": X, "b": X[1:]}, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_rows_are_named(value):
    bad = X.copy()
    bad[[4, 17], 1] = value
    words = r'NaN or infinity under backbone "b" in 2 rows: 4, 17\. These rows are left out and counted as invalid'
    with pytest.warns(UserWarning, match=words):
        picked = og.select({"a": X, "b": bad}, 38)
    assert picked.certificate["n_invalid"] == 2
    assert set(range(40)) - set(picked.indices.tolist()) == {4, 17}
    spared = og.select({"a": X, "b": bad}, 3, exclude=[4, 17])
    with pytest.warns(UserWarning, match=words):
        left_out = og.select({"a": X, "b": bad}, 3)
    assert spared.indices.tolist() == left_out.indices.tolist()
    assert spared.weights.tolist() == left_out.weights.tolist()


def test_bad_rows_of_all_backbones_are_found_in_one_go():
    one, two = X.copy(), X.copy()
    one[3], two[5] = np.nan, np.inf
    words = r'under backbone "a" in 1 row: 3; backbone "b" in 1 row: 5\.'
    with pytest.warns(UserWarning, match=words):
        assert og.select({"a": one, "b": two}, 3).certificate["n_invalid"] == 2


def test_strata_without_picks_are_warned_of():
    strata = ["a", "b", "c", "d"] * 10
    words = r"2 of 4 strata get no pick, because the budget is too small: 'c', 'd'\. The weights speak for the other"
    with pytest.warns(UserWarning, match=words):
        picked = og.select(X, 2, strata=strata)
    counts = [(name, entry["picked"]) for name, entry in picked.certificate["strata"].items()]
    assert counts == [("a", 1), ("b", 1), ("c", 0), ("d", 0)]
    og.select(X, 6, strata=strata, quotas={"d": 0})  # asked for: no warning


def test_items_in_other_containers():
    assert og.select(X, 3, labelled={7, 8}).certificate["n_labelled"] == 2
    with pytest.raises(InvalidInput, match=r"labelled must be a 1-D list .* got str '7.png'\."):
        og.select(X, 3, labelled="7.png")
    with pytest.raises(InvalidInput, match=r"exclude must be a 1-D list .* got Selection .*Pass its ids\."):
        og.select(X, 3, exclude=og.select(X, 2))


def test_shards_are_not_copied_to_count_their_axes(monkeypatch):
    shards = og.RowShards((X[:10], X[10:]))
    monkeypatch.setattr(og.RowShards, "__array__", None)
    assert len(og.select([shards, shards], 3)) == 3


def test_progress(capsys):
    og.select(X, 3, progress=True)
    assert "Lewis weights of features (40 x 3)" in capsys.readouterr().err
    with pytest.raises(InvalidInput, match="progress must be True, False or a callable, got 'rich'"):
        og.select(X, 3, progress="rich")


def test_a_file_is_not_a_store(tmp_path):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(StoreError, match=r"x\.npy is a file, a feature store is a folder\. .*numpy\.load"):
        og.select(tmp_path / "x.npy", 3)


def test_shapes_and_types():
    with pytest.raises(InvalidInput, match="store_or_arrays holds no backbone"):
        og.select([], 1)
    with pytest.raises(InvalidInput, match=r'"backbone_1" must be 2-D .* got shape \(3,\)\. Use \.reshape'):
        og.select([X, X[0]], 1)
    with pytest.raises(InvalidInput, match="must be 2-D .* got rows of different lengths"):
        og.select({"a": [[1.0, 2.0], [3.0]]}, 1)
    with pytest.raises(InvalidInput, match=r"must be a 2-D array \(rows, features\), got NoneType"):
        og.select(None, 1)
    assert og.select(X.astype(">f8"), 3).weights.tolist() == og.select(X, 3).weights.tolist()
    with pytest.raises(InvalidInput, match=r"must be 2-D \(rows, features\), got shape \(3,\).*reshape\(-1, 1\)"):
        og.select(X[0], 1)
    with pytest.raises(InvalidInput, match=r'features of backbone "a" must be 2-D'):
        og.select({"a": X[0]}, 1)
    with pytest.raises(InvalidInput, match="holds no backbone"):
        og.select({}, 1)
    with pytest.raises(StoreError, match="no feature store at"):
        og.select("/nowhere/at/all", 1)


@pytest.mark.parametrize("p", [0, -1, float("nan")])
def test_p(p):
    with pytest.raises(InvalidInput, match="p must be a finite number > 0, got"):
        og.select(X, 3, p=p)


def test_items(store):
    with pytest.raises(InvalidInput, match=r"labelled must hold positions in 0\.\.39, got 40, -1"):
        og.select(X, 3, labelled=[3, 40, -1])
    with pytest.raises(InvalidInput, match=r"exclude holds names \('a'\), but rows of the pool have no names"):
        og.select(X, 3, exclude=["a"])
    words = r"exclude: 6 of 7 ids are not in the store .*: 'a', .* and 1 more\. Its ids look like '0\.png'"
    with pytest.raises(InvalidInput, match=words):
        og.select(store, 3, exclude=["a", "b", "c", "1.png", "d", "e", "f"])
    with pytest.raises(InvalidInput, match="labelled: 1 of 1 ids is not in the store"):
        og.select(store, 3, labelled=["a", "a"])
    with pytest.raises(InvalidInput, match="labelled is a boolean mask of 3 entries, the pool has 40 items"):
        og.select(X, 3, labelled=[True, False, True])
    with pytest.raises(InvalidInput, match=r"ids .*positions .*or a boolean mask, got dtype float64"):
        og.select(X, 3, labelled=[0.5])
    with pytest.raises(InvalidInput, match=r"1-D list of ids, positions or a boolean mask, got shape \(1, 2\)"):
        og.select(X, 3, labelled=[[1, 2]])


def test_strategy_and_parameters():
    with pytest.raises(
        InvalidInput, match=r"strategy must be one of \['auto', 'lewis', 'freesel', .* 'random'\], got 'best'"
    ):
        og.select(X, 3, "best")
    with pytest.raises(InvalidInput, match='"lewis" does not know q; it takes p, tol, max_passes, ridge, combine'):
        og.select(X, 3, q=1)
    with pytest.raises(InvalidInput, match='"random" does not know p; it takes no parameters'):
        og.select(X, 3, "random", p=2)
    with pytest.raises(
        InvalidInput, match=r"sampler must be one of \['bernoulli', 'pivotal', 'paper', 'unbiased'\], got 'fast'"
    ):
        og.select(X, 3, sampler="fast")
    for wrong in ("best", "single:b", "single"):
        with pytest.raises(InvalidInput, match=r"\"single:NAME\" with NAME one of \['features'\], got "):
            og.select(X, 3, combine=wrong)
    with pytest.raises(InvalidInput, match=r"seed must be an integer in 0 \.\. 2\*\*63 - 1, got -1"):
        og.select(X, 3, seed=-1)
    with pytest.raises(InvalidInput, match=r"backbones must be among \['features'\], got \['vit'\]"):
        og.select(X, 3, backbones=["vit"])


def test_positions_in_other_dress():
    for given in (np.array([1, 2], dtype=object), {1: "a", 2: "b"}.keys(), [np.int32(1), 2, 2]):
        assert og.select(X, 3, "random", labelled=given).certificate["n_labelled"] == 2
    with pytest.raises(InvalidInput, match=r"dtype float64 \(1.0, ...\). Convert them with astype"):
        og.select(X, 3, "random", labelled=[1.0])


def test_priorities_that_draw_too_few():
    few = (np.arange(40) < 5).astype(float)
    with pytest.raises(InvalidInput, match="only 5 of the 40 .* a priority above 0 .* a priority_weight below 1"):
        og.select(X, 9, "random", priority=few, priority_weight=1)
    huge = np.full(40, 1e308)
    assert og.select(X, 9, "random", priority=huge).inclusion_prob == pytest.approx(9 / 40)


def test_strata(store):
    with pytest.raises(InvalidInput, match=r"one stratum per item, shape \(40,\), got shape \(3,\)"):
        og.select(X, 3, strata=[1, 2, 3])
    with pytest.raises(InvalidInput, match="strata names the column 'x', but the pool has no such: it has no columns"):
        og.select(X, 3, strata="x")
    with pytest.raises(InvalidInput, match=r"column 'weather', but the store .* its columns are .'label', 'stratum'"):
        og.select(store, 3, strata="weather")
    with pytest.raises(InvalidInput, match=r"column 'label' of the store .*, which is empty. Use another"):
        og.select(store, 3, strata="label")
    halves = np.repeat(["a", "b"], 20)
    with pytest.raises(InvalidInput, match=r"quotas name the stratum 'c'; available are \['a', 'b'\]"):
        og.select(X, 3, strata=halves, quotas={"c": 1})
    with pytest.raises(InvalidInput, match="quotas ask for 21 items of stratum 'a', which has 20 available"):
        og.select(X, 30, strata=halves, quotas={"a": 21})
    with pytest.raises(InvalidInput, match="quotas fix 5 picks, the budget is 3"):
        og.select(X, 3, strata=halves, quotas={"a": 5})
    with pytest.raises(InvalidInput, match=r"quotas fix 4 picks, the budget is 30, .* have 20 items"):
        og.select(X, 30, strata=halves, quotas={"a": 4})
    with pytest.raises(InvalidInput, match=r"quotas\['a'\] must be an integer >= 0, got 1.5"):
        og.select(X, 3, strata=halves, quotas={"a": 1.5})
    with pytest.raises(InvalidInput, match=r"quotas must be \{stratum: count\} .*, got \['a'\]"):
        og.select(X, 3, strata=halves, quotas=["a"])
    with pytest.raises(InvalidInput, match="quotas need strata="):
        og.select(X, 3, quotas={"a": 1})


def test_files_that_cannot_be_written(tmp_path):
    with pytest.raises(StoreError, match="cannot write"):
        og.select(X, 3).to_csv(tmp_path / "missing" / "s.csv")


def test_agreement():
    with pytest.raises(InvalidInput, match="weights must hold at least one array"):
        kappa([], 0.1)
    with pytest.raises(InvalidInput, match=r"must all have one length, got shapes \[\(2,\), \(3,\)\]"):
        kappa([np.ones(2), np.ones(3)], 0.1)
    with pytest.raises(InvalidInput, match=r"fraction must be in \(0, 1\], got 10. Write 0.1 for ten percent"):
        kappa([np.ones(2)], 10)
