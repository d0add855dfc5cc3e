"""evaluate: no leak, one truth for all strategies, the same answer again, and what a kill leaves behind."""

from __future__ import annotations

import errno
import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

import oneglance as og
from oneglance.evaluation import UnitLength, prepare
from oneglance.evaluation.cells import CellStore
from oneglance.evaluation.evaluation import ALL_HEADS, ON_THIS_TEST_SET
from oneglance.evaluation.heads import fit_ridge_head, one_hot
from oneglance.evaluation.intervals import NO_DIFFERENCE
from oneglance.evaluation.plot import plot_evaluation
from oneglance.evaluation.probes import PROBES, RIDGE_PENALTY, fit_logistic, knn_probe, linear_probe, ridge_probe
from oneglance.evaluation.report import conclusions, score_tables, warnings_of
from oneglance.evaluation.splits import codes_of, make_splits
from oneglance.solvers import logistic_path
from oneglance.strategies import as_pool

N = 200


@pytest.fixture(scope="module")
def pool():
    """Features of two backbones and classes, sorted by class as folders are."""
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, 4, size=N))
    centres = 1.5 * rng.normal(size=(4, 6))
    wide = (centres[labels] + rng.normal(size=(N, 6))).astype(np.float32)
    return {"a": wide, "b": (wide[:, :3] + rng.normal(size=(N, 3))).astype(np.float32)}, labels


def quick(pool, strategies, budgets=(8, 16), seeds=4, **more):
    more.setdefault("heads", ("ridge", "knn"))
    more.setdefault("splits", 2)
    return og.evaluate(*pool, strategies, budgets, seeds, **more)


def same(one, other):
    drop = "select_s"
    return one.to_table().drop([drop]).equals(other.to_table().drop([drop]))


# ---- no way to see labels


def test_a_strategy_gets_features_of_the_pool_and_nothing_else(pool):
    features, labels = pool
    seen = []

    def spy(*given):
        seen.append(given)
        return np.arange(given[1])

    job = prepare(features, labels, {"spy": spy}, [8], 4, splits=2)
    job.run()
    assert {type(given[0]) for given in seen} == {dict}
    for given, budget, seed in seen:
        assert budget == 8
        split = job.splits[seed % 2]
        for name, rows in given.items():
            assert (rows == features[name][split.pool]).all()
            assert rows.shape[1] == features[name].shape[1]  # no column more


def test_a_strategy_that_reads_labels_off_a_store_fails(pool, monkeypatch):
    """What reaches `select` has no columns, ids or sources, whatever the pool had."""
    from oneglance.evaluation import scene

    asked = []
    real = scene.select

    def cheat(given, *more, **params):
        asked.append(given)
        with pytest.raises(KeyError):
            given.columns["label"]
        return real(given, *more, **params)

    monkeypatch.setattr(scene, "select", cheat)
    features, labels = pool
    own = og.strategies.as_pool(features)
    object.__setattr__(own, "columns", {"label": labels.astype(object)})
    og.evaluate(own, "label", ["kmeans"], [8], 3, heads="knn", splits=1)
    assert asked
    assert all(given.ids is None and given.sources is None and not given.columns for given in asked)


def test_order_of_the_input_tells_nothing():
    """Evenly spaced rows of a pool sorted by class would be one per class; the shuffle leaves a random draw."""
    labels = np.repeat(np.arange(20), 20)
    rows = np.eye(20)[labels] + 0.01 * np.random.default_rng(0).normal(size=(400, 20))

    def spaced(features, budget, seed):
        n = len(features["features"])
        return (np.arange(budget) * n // budget + seed) % n

    found = og.evaluate(rows, labels, {"spaced": spaced}, [16], 20, heads="knn")
    assert found.per_seed("spaced", 16, metric="n_classes_seen").mean() < 13  # 16 if it could; 11.2 by chance
    assert found.contrasts()[0].verdict == NO_DIFFERENCE


@pytest.mark.parametrize("strategy", ["kmeans", "farthest", "lewis", "random"])
def test_picks_do_not_change_when_the_labels_do(pool, strategy):
    features, labels = pool
    turned = labels[np.random.default_rng(1).permutation(N)]
    one, other = (quick((features, y), [strategy]).to_table() for y in (labels, turned))
    assert one["picks_hash"].equals(other["picks_hash"])
    assert not one["accuracy"].equals(other["accuracy"])


def test_labels_that_were_not_picked_do_not_reach_the_heads(pool):
    features, labels = pool
    job = prepare(features["a"], labels, {"first": lambda f, b, s: np.arange(b)}, [10], 3, splits=1)
    split = job.splits[0]
    scrambled = labels.copy()
    scrambled[split.pool[10:]] = 3 - scrambled[split.pool[10:]]
    one = job.run()
    other = prepare(features["a"], scrambled, {"first": lambda f, b, s: np.arange(b)}, [10], 3, splits=1).run()
    assert (one.per_seed("first", 10) == other.per_seed("first", 10)).all()


def test_a_function_cannot_change_the_features_of_others(pool):
    def centred(features, budget, seed):
        rows = features["a"]
        rows -= rows.mean(axis=0)
        return np.arange(budget)

    with pytest.raises(ValueError, match="read-only"):
        quick(pool, {"centred": centred, "kmeans": "kmeans"}, [8])
    assert pool[0]["a"].flags.writeable


@pytest.mark.parametrize("answer", [np.arange(8) + 0.5, None, np.ones(8, dtype=bool), np.zeros((8, 1), dtype=int)])
def test_a_function_answers_positions(pool, answer):
    with pytest.raises(og.InvalidInput, match="strategy 'own' must return positions of rows"):
        quick(pool, {"own": lambda *_: answer}, [8])


def test_random_labels_show_no_difference(pool):
    found = quick((pool[0], np.random.default_rng(5).integers(0, 4, N)), ["kmeans", "farthest"], seeds=8)
    assert {contrast.verdict for contrast in found.contrasts()} == {NO_DIFFERENCE}
    assert all("no difference found at any budget" in text for text in conclusions(found.contrasts()))


# ---- the same for all


def test_splits_are_divisions_and_folds_test_every_item_once():
    for splits in (make_splits(63, 0.25, 3, None, None), make_splits(63, 0.2, None, 5, None)):
        for split in splits:
            assert sorted([*split.pool, *split.test]) == list(range(63))
    assert [s.test.size for s in make_splits(63, 0.25, 3, None, None)] == [16, 16, 16]
    folds = make_splits(63, 0.2, None, 5, None)
    assert sorted(np.concatenate([split.test for split in folds])) == list(range(63))


def test_groups_are_never_divided(pool):
    groups = np.array([f"scene {i // 7}" for i in range(N)], dtype=object)
    for more in ({"splits": 3}, {"folds": 3}):
        job = prepare(*pool, ["kmeans"], [8], 3, groups=groups, **more)
        for split in job.splits:
            assert not set(groups[split.pool]) & set(groups[split.test])
    assert any("never divided" in note for note in job.notes)


@pytest.mark.parametrize("gap", [None, float("nan"), ""])
def test_items_without_a_group_stand_alone(pool, gap):
    groups = [gap if i % 2 else f"scene {i // 20}" for i in range(N)]
    for split in prepare(*pool, ["kmeans"], [8], 5, groups=groups).splits:
        assert 0 < np.count_nonzero(split.test % 2) < N // 2


def test_random_is_always_there_and_first(pool):
    found = quick(pool, ["kmeans"])
    assert found.strategies == ("random", "kmeans")
    assert found.backbones == ("a", "b", "stacked")
    assert quick(pool, ["kmeans", "random"], backbones=["a+b", "b"]).strategies == ("random", "kmeans")
    assert (found.difference("random", 8).low, found.difference("random", 8).high) == (0.0, 0.0)


def test_a_strategy_without_chance_runs_once_per_split(pool):
    found = quick(pool, ["farthest"], backbones=["a"])
    runs = found.to_pandas().query("strategy == 'farthest' and head == 'ridge' and budget == 8")
    assert runs["split"].tolist() == [0, 1]
    assert runs["without_chance"].all()
    values = found.per_seed("farthest", 8)
    assert values[0] == values[2]
    assert values[1] == values[3]
    assert "no chance in farthest: run once per split (2), seeds do not matter" in found.notes
    assert np.isnan(found.mean("farthest", 8).low)  # two runs make no interval
    rows = score_tables(found, found.contrasts())[0][2]
    assert [row[2].endswith("[2 runs]") for row in rows if row[1] == "farthest"] == [True] * 3
    assert found.summary_table()["mean_low"].null_count == found.summary_table().num_rows
    three = quick(pool, ["farthest"], backbones=["a"], splits=3, seeds=9)
    assert three.mean("farthest", 8).n_values == 3


def test_a_function_that_ignores_its_seed_is_noticed(pool):
    found = quick(pool, {"first": lambda features, budget, seed: np.arange(budget)}, backbones=["a"])
    assert any("first made the same picks for every seed" in note for note in found.notes)


def test_scores_are_those_of_heads_fitted_by_hand(pool):
    features, labels = pool
    job = prepare(
        features, labels, {"first": lambda f, b, s: np.arange(b)}, [12], 3, heads=("ridge", "linear", "knn"), splits=1
    )
    found, split = job.run(), job.splits[0]
    unit = UnitLength.of({name: rows[split.pool] for name, rows in features.items()})
    train, test = (
        unit.apply({name: rows[part] for name, rows in features.items()}).astype(np.float32)
        for part in (split.pool, split.test)
    )
    for head, probe in (("ridge", ridge_probe), ("linear", linear_probe), ("knn", knn_probe)):
        right = probe(train[:12], labels[split.pool][:12], None, test) == labels[split.test]
        assert found.per_seed("first", 12, head=head, backbone="stacked")[0] == right.mean()
        recalls = [right[labels[split.test] == c].mean() for c in range(4)]
        balanced = found.per_seed("first", 12, head=head, backbone="stacked", metric="balanced_accuracy")[0]
        assert balanced == pytest.approx(np.mean(recalls), abs=1e-12)
    distance = np.linalg.norm(train[:, None] - train[None, :12], axis=2).min(axis=1)
    for metric, wanted in (("coverage_mean", distance.mean()), ("coverage_max", distance.max())):
        got = found.per_seed("first", 12, backbone="stacked", metric=metric)[0]
        assert got == pytest.approx(wanted, abs=2e-3)


def test_budgets_that_share_a_selection_are_those_selected_singly(pool):
    one = quick(pool, ["farthest"], [5, 9, 20], backbones=["a"]).to_pandas()
    for budget in (5, 9, 20):
        alone = quick(pool, ["farthest"], [budget], backbones=["a"]).to_pandas()
        part = one[one.budget == budget].reset_index(drop=True)
        assert part.picks_hash.tolist() == alone.picks_hash.tolist()
        assert part.accuracy.tolist() == alone.accuracy.tolist()


def test_a_test_set_of_its_own(pool):
    features, labels = pool
    test = ({name: rows[::3] for name, rows in features.items()}, labels[::3])
    rest = np.arange(N) % 3 != 0
    found = og.evaluate({n: r[rest] for n, r in features.items()}, labels[rest], ["kmeans"], ["10%"], 3, test=test)
    assert (found.n_pool, found.n_test, found.n_splits) == (int(rest.sum()), len(labels[::3]), 1)


def test_items_without_a_label_take_no_part(pool):
    features, labels = pool
    part = [None if row % 4 else int(value) for row, value in enumerate(labels)]
    found = quick((features, part), ["kmeans"])
    assert found.n_pool + found.n_test == 50
    assert any("50 of 200 items take part: 150 have no label" in note for note in found.notes)
    by_name = quick((features, {row: int(labels[row]) for row in range(0, N, 4)}), ["kmeans"])
    assert same(found, by_name)
    for gap in (float("nan"), "", "-1"):  # in a list of names; "-1" is a name like any other
        names = [gap if row % 4 else f"class {value}" for row, value in enumerate(labels)]
        assert prepare(features, names, ["kmeans"], [8], 3, splits=2).classes.size == (N if gap == "-1" else 50)


def test_labels_by_id_want_the_ids_of_the_store(pool):
    features, labels = pool
    store = replace(as_pool(features), ids=np.array([str(N - i) for i in range(N)], dtype=object))
    by_id = {str(N - i): int(value) for i, value in enumerate(labels)}
    assert prepare(store, by_id, ["kmeans"], [8], 3, splits=2).classes.tolist() == labels.tolist()
    with pytest.raises(og.InvalidInput, match="labels must be .item id: class. with the ids .*, got the key 200"):
        prepare(store, {int(key): value for key, value in by_id.items()}, ["kmeans"], [8], 3, splits=2)


def test_a_strategy_that_cannot_pick_so_many_is_named(pool):
    rows = pool[0]["a"].copy()
    rows[::4] = 0  # no cosine
    with pytest.raises(og.InvalidInput, match=r"strategy 'herding' at budget 150: budget is 150, but only \d+ items"):
        quick((rows, pool[1]), ["herding"], [8, 150])


def test_names_of_classes_that_look_like_numbers():
    assert codes_of(["10", "9", "-1", None])[1] == ["-1", "9", "10"]
    assert codes_of(["1", "01", "001", "2"])[1] == ["001", "01", "1", "2"]  # not in the order of a set
    assert codes_of(["\u00b2", "1"])[1] == ["1", "\u00b2"]
    assert codes_of(["--1", "1"])[1] == ["--1", "1"]


def test_numbers_of_numpy_are_shares_and_budgets(pool):
    job = prepare(*pool, ["kmeans"], np.int64(8), 3, test=np.float32(0.25), splits=2)
    assert (list(job.budgets), job.n_test) == ([8], 50)


def test_baseline_budgets_lengthen_the_curve_of_random_alone(pool):
    found = quick(pool, ["kmeans"], [8], baseline_budgets=[40, 80], backbones=["a"])
    assert (found.budgets, found.baseline_budgets) == ((8,), (8, 40, 80))
    assert set(found.to_pandas().query("strategy == 'kmeans'").budget) == {8}
    assert found.saving("kmeans", 8).high <= 10


def test_weights_go_into_the_loss_only_where_asked(pool):
    features = {"a": pool[0]["a"]}
    found = quick(
        (features, pool[1]), ["lewis", "lewis:use_weights=true", "kmeans:metric=cosine"], [20], heads="ridge"
    ).to_pandas()
    by_name = dict(list(found.groupby("strategy")))
    assert by_name["lewis"].picks_hash.tolist() == by_name["lewis:use_weights=true"].picks_hash.tolist()
    assert by_name["lewis"].accuracy.tolist() != by_name["lewis:use_weights=true"].accuracy.tolist()


# ---- what may be said


def oracle(labels):
    """A strategy that was told the labels: what a real difference looks like."""

    def pick(features, budget, seed):
        rows = features["a"]
        rng = np.random.default_rng(seed)
        lookup = {row.tobytes(): label for row, label in zip(*labels, strict=True)}
        classes = np.array([lookup[row.tobytes()] for row in rows])
        return np.concatenate([rng.permutation(np.flatnonzero(classes == c))[: budget // 4] for c in range(4)])

    return pick


def test_a_difference_that_is_there_is_found_and_one_on_few_test_rows_is_marked(pool):
    features, labels = pool
    told = {"told": oracle((features["a"], labels))}
    found = quick((features, labels), told, [4], seeds=20, backbones=["a"], heads="knn", splits=5)
    (contrast,) = found.contrasts()
    assert contrast.verdict == "better"
    assert contrast.difference.low > 0
    assert contrast.p_holm == contrast.p < 0.01
    few = ({"a": features["a"][1::40]}, labels[1::40])
    (contrast,) = og.evaluate({"a": features["a"]}, labels, told, [4], 60, test=few, heads="knn").contrasts()
    assert contrast.difference.low > 0
    enough = contrast.difference.mean >= contrast.test_margin
    assert contrast.verdict == ("better" if enough else "better" + ON_THIS_TEST_SET)
    assert contrast.test_margin > 0.1  # five rows


def test_margin_of_the_test_rows_is_that_of_the_mean_difference_per_row(pool):
    stats = pytest.importorskip("scipy.stats")
    found = quick(pool, ["kmeans"], backbones=["a"])
    hits = {name: found._hits["a", name, 8] for name in found.strategies}
    per_row = np.mean([hits["kmeans"][head] - hits["random"][head] for head in found.heads], axis=0)
    per_row = per_row[~np.isnan(per_row)]
    wanted = stats.t.ppf(0.975, per_row.size - 1) * per_row.std(ddof=1) / np.sqrt(per_row.size)
    assert found.test_margin("kmeans", [8], head=ALL_HEADS, backbone="a") == pytest.approx(wanted, rel=1e-6)


def test_tables_name_everything_and_intervals_are_always_there(pool):
    found = quick(pool, ["kmeans", "farthest"])
    contrasts = found.contrasts()
    assert len(contrasts) == 3 * 2 * 3
    tables = score_tables(found, contrasts)
    assert len(tables) == 3
    for _, header, rows in tables:
        assert len(rows) == 2 + 2 * 3
        for row in rows:
            assert len(row) == len(header)
            assert "[" in row[2]
            assert row[1] == "random" or "[" in row[3]
    assert found.summary_table().num_rows == 3 * len(contrasts)
    assert any("from 4 seeds are too narrow" in text for text in warnings_of(found, contrasts))


def test_files(pool, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    found = quick(pool, ["kmeans"])
    assert pq.read_table(found.to_parquet(tmp_path / "x.parquet")).equals(found.to_table())
    assert found.to_table().num_rows == 3 * 2 * 2 * 4 * 2  # backbones, strategies, budgets, seeds, heads
    plot_evaluation(found, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


# ---- the same again, killed and continued


def test_the_same_call_gives_the_same_table(pool):
    assert same(quick(pool, ["kmeans", "lewis"]), quick(pool, ["kmeans", "lewis"]))


def killed_after(n_cells):
    """put() of a CellStore that is killed at a cell."""
    real, left = CellStore.put, [n_cells]

    def put(self, key, cell):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self, key, cell)

    return put


def test_a_killed_run_goes_on(pool, tmp_path, monkeypatch):
    whole = quick(pool, ["kmeans"])
    with monkeypatch.context() as patch:
        patch.setattr(CellStore, "put", killed_after(7))
        with pytest.raises(KeyboardInterrupt):
            quick(pool, ["kmeans"], out=tmp_path / "e")
    notes: list[str] = []
    again = quick(pool, ["kmeans"], out=tmp_path / "e", progress=notes.append)
    assert notes[0] == "7 of 48 cells are there already"
    assert same(whole, again)
    notes.clear()
    more = quick(pool, ["kmeans", "farthest"], [8, 16, 24], 6, out=tmp_path / "e", progress=notes.append)
    assert notes[0].startswith("48 of ")
    assert same(more, quick(pool, ["kmeans", "farthest"], [8, 16, 24], 6))


def test_a_damaged_cell_is_computed_again(pool, tmp_path):
    whole = quick(pool, ["kmeans"], out=tmp_path)
    cells = sorted(tmp_path.glob("cells/*/*/*/*.json"))
    assert len(cells) == 48
    cells[3].write_text("{")
    cells[9].unlink()
    assert same(whole, quick(pool, ["kmeans"], out=tmp_path))


def test_other_labels_or_heads_are_another_evaluation(pool, tmp_path):
    features, labels = pool
    quick(pool, ["kmeans"], out=tmp_path)
    with pytest.raises(og.InvalidInput, match=r"holds another evaluation \(different: labels\).*--fresh"):
        quick((features, labels[::-1].copy()), ["kmeans"], out=tmp_path)
    with pytest.raises(og.InvalidInput, match=r"\(different: heads\)"):
        quick(pool, ["kmeans"], heads="knn", out=tmp_path)
    fresh = quick(pool, ["kmeans"], heads="knn", out=tmp_path, fresh=True)
    assert same(fresh, quick(pool, ["kmeans"], heads="knn"))


def test_other_features_and_parameters_do_not_meet_old_cells(pool, tmp_path):
    features, labels = pool
    quick(pool, {"k": ("kmeans", {"max_iter": 1})}, out=tmp_path)
    other = {"k": ("kmeans", {"max_iter": 50})}
    assert same(quick(pool, other, out=tmp_path), quick(pool, other))
    moved = {name: rows[:, ::-1].copy() ** 3 for name, rows in features.items()}
    assert same(quick((moved, labels), other, out=tmp_path), quick((moved, labels), other))


def test_a_lock_that_cannot_be_made_is_an_error_not_a_wait(pool, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("oneglance.store.lock.os.open", full)
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waits for a lock that nobody holds"))
    with pytest.raises(og.StoreError, match="disk full while writing .*lock"):
        quick(pool, ["kmeans"], out=tmp_path / "e")


def test_cells_that_stay_behind_are_an_error_not_the_new_answer(pool, tmp_path, monkeypatch):
    features, labels = pool
    quick(pool, ["kmeans"], out=tmp_path)

    def refused(path, *args, **kwargs):
        if kwargs.get("ignore_errors"):
            return
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refused)
    with pytest.raises(og.StoreError, match="finished cells cannot be removed .Permission denied"):
        quick((features, labels[::-1].copy()), ["kmeans"], out=tmp_path, fresh=True)


def work(features, labels, out):
    og.evaluate(features, labels, ["kmeans"], [8, 16], 4, heads=("ridge", "knn"), splits=2, out=out)


def test_two_processes_share_one_folder(pool, tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(*pool, tmp_path / "e")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert same(quick(pool, ["kmeans"], out=tmp_path / "e"), quick(pool, ["kmeans"]))
    assert json.loads((tmp_path / "e" / "run.json").read_text())["request"]["command"] == "evaluate"
    assert not list((tmp_path / "e").rglob("*.tmp"))


# ---- heads


def test_logistic_is_the_minimum_in_either_shape():
    """The gradient vanishes, with and without the reduction to fewer dimensions."""
    rng = np.random.default_rng(0)
    for m, d in ((40, 7), (12, 40)):
        X, y = rng.normal(size=(m, d)), rng.integers(0, 3, m)
        weights = rng.uniform(0.5, 2.0, m)
        coef, intercept = fit_logistic(X, y, 3, weights, decay=0.05, max_iter=2000, tol=1e-9)
        logits = X @ coef + intercept
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = (powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[y]) * (weights / weights.sum())[:, None]
        assert np.abs(X.T @ error + 0.05 * coef).max() <= 1e-6
        assert np.abs(error.sum(axis=0)).max() <= 1e-6
        exact = next(logistic_path(X, y, 3, [0.05], weights=weights, tol=1e-12))
        theirs = np.exp(X @ exact.coef + exact.intercept)
        mine = powers / powers.sum(axis=1, keepdims=True)
        assert np.abs(theirs / theirs.sum(axis=1, keepdims=True) - mine).max() <= 1e-6


def test_knn_by_hand():
    rows = np.eye(3, dtype=np.float32)
    labels = np.array([5, 7, 7])
    assert knn_probe(rows[:1], labels[:1], None, rows).tolist() == [5, 5, 5]
    assert knn_probe(rows[:2], labels[:2], None, rows[:2]).tolist() == [5, 7]


# ---- messages


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"strategies": ["kmean"]}, r"strategy must be one of \["),
        ({"strategies": ["kmeans:metric"]}, r"'kmeans:metric' must read strategy:parameter=value, got 'metric'"),
        ({"strategies": ["kmeans:p=2"]}, 'strategy "kmeans" does not know p'),
        ({"strategies": {"random": "kmeans"}}, '"random" is the baseline'),
        ({"strategies": ["kmeans", "kmeans"]}, "must have different names, got 'kmeans' twice"),
        ({"budgets": [0]}, "budgets: budget must be at least 1, got 0"),
        ({"budgets": [161]}, r"budgets: budget is 161, but only 160 items are available in the pool of a split"),
        ({"budgets": []}, "budgets must hold at least one count"),
        ({"seeds": 2}, "seeds must be at least 3 for an interval, got 2"),
        ({"seeds": [1, 1, 2]}, "seeds must be distinct"),
        ({"seeds": "20"}, "seeds must be a number of seeds or a list of them, got '20'"),
        ({"seeds": [0, 2, 4], "splits": 2}, "leave some of 2 splits without one"),
        ({"seeds": 4, "splits": 5}, "seeds are 4, splits 5"),
        ({"heads": ["svm"]}, r"heads must be different ones among \['ridge', 'linear', 'knn'\]"),
        ({"test": 1.5}, "test must be a share between 0 and 1"),
        ({"test": "20%"}, r"test must be a share such as 0\.2, or \(features, labels\)"),
        ({"folds": 3, "splits": 2}, "folds and splits exclude each other"),
        ({"backbones": ["c"]}, r"backbones must be among \['a', 'b'\], \"a\+b\" of them, or \"stacked\"; got 'c'"),
        ({"level": 95}, "level must lie in"),
        ({"labels": np.zeros(N)}, "labels must hold at least 2 classes"),
        ({"labels": np.linspace(0, 1, N)}, r"labels must be classes \(names or whole numbers\), got 0\.005"),
        ({"labels": [0, 1]}, r"one class per item, shape \(200,\), got shape \(2,\).*None for the others"),
        ({"labels": "label"}, "labels names the column 'label', but the pool has no such"),
        ({"labels": [None] * N}, "leave no usable item"),
        ({"groups": ["x"]}, "groups must hold one group per item"),
        ({"groups": ["x"] * N}, "needs at least 2 items or groups, got 1"),
    ],
)
def test_messages(pool, change, text):
    given = {"labels": pool[1], "strategies": ["kmeans"], "budgets": [8], "seeds": 5, **change}
    with pytest.raises(og.InvalidInput, match=text):
        prepare(pool[0], **given)


def test_test_sets_that_do_not_fit_are_named(pool):
    features, labels = pool
    with pytest.raises(og.InvalidInput, match=r"test lacks the backbones \['b'\]"):
        prepare(features, labels, ["kmeans"], [8], 3, test=({"a": features["a"]}, labels))
    with pytest.raises(og.InvalidInput, match='test has 5 features of backbone "a", the pool has 6'):
        prepare({"a": features["a"]}, labels, ["kmeans"], [8], 3, test=({"a": features["a"][:, :5]}, labels))
    with pytest.raises(og.InvalidInput, match="splits and folds have no meaning with a test set of its own"):
        prepare(features, labels, ["kmeans"], [8], 3, test=(features, labels), splits=2)


def test_folders_of_others_are_left_alone(pool, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(og.InvalidInput, match=r"is not empty and was not made by evaluate"):
        quick(pool, ["kmeans"], out=tmp_path, fresh=True)
    (tmp_path / "run.json").write_text('{"request": {"command": "select"}}')
    with pytest.raises(og.InvalidInput, match=r"holds another run \(select\)"):
        quick(pool, ["kmeans"], out=tmp_path, fresh=True)
    assert (tmp_path / "mine.txt").read_text() == "x"


def test_a_strategy_that_cheats_on_its_budget_is_named(pool):
    with pytest.raises(og.InvalidInput, match="'cheat' must return 8 distinct rows in 0..159, got 8 with 1 distinct"):
        quick(pool, {"cheat": lambda features, budget, seed: np.zeros(budget, dtype=np.int64)})


def test_one_label_per_class_and_one_class_twice_do_not_make_that_class_win():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(6, 40))
    labels = np.repeat(np.arange(6), 20)
    rows = centers[labels] + 0.3 * rng.normal(size=(120, 40))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    picks = np.array([0, 1, 20, 40, 60, 80, 100])
    for name, probe in PROBES.items():
        assert (probe(rows[picks], labels[picks], None, rows) == labels).mean() > 0.9, name


@pytest.mark.parametrize(
    ("n_rows", "n_dims", "weighted"), [(30, 50, False), (80, 40, False), (80, 40, True), (7, 99, True)]
)
def test_the_ridge_probe_is_the_ridge_head_at_its_penalty(n_rows, n_dims, weighted):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n_rows, n_dims))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    labels, test = rng.integers(0, 5, n_rows), rng.normal(size=(300, n_dims)).astype(np.float32)
    weights = rng.random(n_rows) + 0.1 if weighted else None
    seen, codes = np.unique(labels, return_inverse=True)
    head = fit_ridge_head(rows * np.sqrt(n_dims), one_hot(codes, seen.size), weights, penalties=(RIDGE_PENALTY,))
    wanted = seen[head.predict(test * np.sqrt(n_dims)).argmax(axis=1)]
    assert (ridge_probe(rows, labels, weights, test) == wanted).mean() > 0.99
