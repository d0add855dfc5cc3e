"""The one-shot protocol: its measures against definitions, what strategies may see, heads, and what may be said."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

import oneglance as og
from oneglance import Patterns, RowShards
from oneglance.errors import InvalidInput
from oneglance.evaluation.heads import Scaling, fit_ridge_head
from oneglance.evaluation.intervals import NO_DIFFERENCE
from oneglance.evaluation.one_shot import (
    Task,
    agreement,
    disagreement,
    evaluate_one_shot,
    imbalance,
    label_in_rounds,
    mean_entropy,
    prepare_one_shot,
    spread,
)
from oneglance.evaluation.one_shot.cell import PAPER, PLAIN, WEIGHTED, loss_weights
from oneglance.evaluation.one_shot.heads import all_classes
from oneglance.evaluation.one_shot.report import balance_table, notes_of, sentences, tables
from oneglance.evaluation.one_shot.scene import OneShotScene
from oneglance.strategies import as_pool

N = 160


@pytest.fixture(scope="module")
def pool():
    """Two backbones and classes, sorted by class as folders are."""
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, 3, size=N))
    centres = 1.5 * rng.normal(size=(3, 6))
    wide = (centres[labels] + rng.normal(size=(N, 6))).astype(np.float32)
    return {"a": wide, "b": (wide[:, :3] + rng.normal(size=(N, 3))).astype(np.float32)}, labels


@pytest.fixture(scope="module")
def targets(pool):
    rng = np.random.default_rng(1)
    return pool[0]["a"] @ rng.normal(size=(6, 2)) + 100.0 * np.array([0, 1]) + rng.normal(size=(N, 2))


def quick(features, labels, strategies=("lewis", "farthest"), budgets=(8, 16), seeds=4, **more):
    settings = {"initial": 12, "splits": 2, **more}
    if settings.get("task") != "regression":
        settings.setdefault("head", "ridge")
    return evaluate_one_shot(features, labels, strategies, budgets, seeds, **settings)


# ---- measures


def leverage(x):
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return np.square(u[:, s > 1e-10 * s[0]]).sum(axis=1)


def test_t_and_kappa_by_their_definitions():
    rng = np.random.default_rng(0)
    parts = {"a": rng.standard_t(2, size=(90, 5)), "b": rng.standard_t(2, size=(90, 7)), "c": np.ones((90, 1))}
    parts["b"][:, 6] = parts["b"][:, 0]  # rank 6
    found = agreement(as_pool(parts).features, 2.0)
    tau = [leverage(x) for x in parts.values()]
    assert found.ranks == (5, 6, 1)
    assert found.bounds == (5, 11, 12)
    np.testing.assert_allclose(found.totals, [sum(map(max, zip(*tau[:k], strict=True))) for k in (1, 2, 3)], rtol=1e-6)
    for share, value in found.kappas.items():
        size = round(90 * share)
        top = set(np.argsort(-np.max(tau, axis=0), kind="stable")[:size])
        # all rows of "c" are tied but for rounding: compare the other two, which fix their part of the mean
        overlaps = [len(top & set(np.argsort(-t, kind="stable")[:size])) / size for t in tau[:2]]
        assert sum(overlaps) / 3 - 1e-12 <= value <= (sum(overlaps) + 1) / 3 + 1e-12
    assert agreement(as_pool(np.eye(4)).features, 2.0).kappas == dict.fromkeys((0.1, 0.2, 0.3, 0.5), 1.0)
    assert agreement(as_pool({"x": np.eye(4), "y": np.eye(4)}).features, 2.0).bounds == (4, 4)  # never above n


def test_imbalance():
    assert imbalance(np.array([0, 0, 0, 1, 2, 2]), 3) == (3.0, 0)
    assert imbalance(np.array([0, 0, 2]), 4) == (float("inf"), 2)
    assert imbalance(np.array([1]), 2) == (float("inf"), 1)


def test_entropy_and_disagreement_by_their_definitions():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(3), size=(2, 10))
    p[0], q[0] = [1, 0, 0], [0, 1, 0]  # certain and of different minds: ln 2 exactly
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = [np.nansum(x * np.log(x / m), axis=1) for x in (p, q)]
        h = [-np.nansum(x * np.log(x), axis=1) for x in (p, q)]
    np.testing.assert_allclose(disagreement([p, q]), np.mean(kl, axis=0), atol=1e-14)
    np.testing.assert_allclose(mean_entropy([p, q]), np.mean(h, axis=0), atol=1e-14)
    assert disagreement([p, q])[0] == pytest.approx(np.log(2))
    assert np.abs(disagreement([p, p])).max() == 0.0
    seen = np.array([[1.0, 5.0], [3.0, 5.0]])  # the second target has no spread yet
    got = spread([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])], seen)
    np.testing.assert_allclose(got, [1.0 / 1.0 + 1.0])


def test_rounds_take_the_largest_scores_ties_to_the_lower_row():
    asked = []

    def scores(labelled):
        asked.append(labelled.tolist())
        values = np.arange(10.0) % 4
        values[labelled] = 99.0  # wanted most, and must not be taken again
        return values

    got = label_in_rounds(scores, 10, np.array([3]), 5, 2)
    assert got.tolist() == [7, 2, 6, 1, 5]  # scores 3, 2, 2 | 1, 1
    assert asked == [[3], [3, 7, 2, 6]]
    asked.clear()
    label_in_rounds(scores, 10, np.array([3]), 2, 50)  # never more rounds than picks
    assert len(asked) == 2


def test_weights_of_random_picks_make_plain_heads():
    n, first, picks = 100, 20, 30
    alike = np.full(picks, (n - first) / picks)
    assert loss_weights(PLAIN, alike, first, n - first) is None
    np.testing.assert_allclose(loss_weights(WEIGHTED, alike, first, n - first), 1.0)
    assert loss_weights(PAPER, alike, first, n - first)[[0, -1]].tolist() == [1.0, 80 / 30]


@pytest.mark.parametrize("weighting", [WEIGHTED, PAPER])
def test_weighted_sums_are_right_on_average(weighting):
    """Random initial labels, then an uneven sample of the others: both weightings estimate the pool's total."""
    rng = np.random.default_rng(0)
    n, first, pi = 40, 10, np.linspace(0.1, 0.9, 40)
    values, total, trials = rng.random(n) + np.arange(n), 0.0, 20_000
    for _ in range(trials):
        order = rng.permutation(n)
        start, rest = order[:first], order[first:]
        taken = rest[rng.random(rest.size) < pi[rest]]
        if taken.size == 0:
            continue
        if weighting == WEIGHTED:  # scale of the docstring: times n / (initial + picks), with the expected count
            factor = loss_weights(WEIGHTED, np.ones(1), first, n - first)[-1]  # 1 / unlabelled
            count = pi.mean() * (n - first)
            share = n / (first + count)
            total += share * (values[start].sum() + (values[taken] / pi[taken]).sum() * count * factor)
        else:
            factors = loss_weights(PAPER, 1.0 / pi[taken], first, n - first)
            total += factors @ values[np.concatenate([start, taken])]
    assert total / trials == pytest.approx(values.sum(), rel=0.01)


# ---- heads


def test_classes_without_a_label_get_half_a_labels_share():
    got = all_classes(np.array([[0.25, 0.75]]), np.array([0, 2]), 4, 10)
    share = 0.5 / 11
    np.testing.assert_allclose(got, [[0.25 * (1 - 2 * share), share, 0.75 * (1 - 2 * share), share]])
    task = Task(False, "linear", 2.0, 3)
    rows = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    one_class = task.fit(rows, np.full(6, 1), None)(rows)
    np.testing.assert_allclose(one_class.sum(axis=1), 1.0)
    assert np.isfinite(task.losses(one_class, np.array([0, 1, 2, 0, 1, 2]))["loss"]).all()


@pytest.mark.parametrize("head", ["linear", "ridge"])
def test_weights_of_a_classifier_count_rows(pool, head):
    rows, labels = pool[0]["a"], pool[1]
    task, some = Task(False, head, 2.0, 3), np.arange(0, N, 5)
    times = 1 + np.arange(some.size) % 3
    one = task.fit(rows[some], labels[some], times.astype(float))(rows)
    other = task.fit(rows[np.repeat(some, times)], labels[np.repeat(some, times)], None)(rows)
    np.testing.assert_allclose(one, other, atol=2e-3 if head == "linear" else 1e-4)


def test_unpenalised_heads_are_least_squares_and_p_counts(pool, targets):
    rows = pool[0]["a"].astype(np.float64)
    x = np.column_stack([rows, np.ones(N)])
    want = x @ np.linalg.lstsq(x, targets, rcond=None)[0]
    np.testing.assert_allclose(Task(True, "unpenalised", 2.0, 2).fit(rows, targets, None)(rows), want, atol=1e-8)
    spoilt = targets.copy()
    spoilt[::10] += 1000.0
    heads = [Task(True, "unpenalised", p, 2).fit(rows, spoilt, None) for p in (1.0, 1.5, 2.0)]
    sizes = [np.abs(head(rows) - want).mean() for head in heads]
    assert sizes[0] < 1.0 < sizes[1] < sizes[2]  # p = 1 hardly notices the outliers


def test_a_function_that_answers_no_positions_is_refused(pool, targets):
    how = {"task": "regression", "initial": 12, "splits": 1}
    with pytest.raises(InvalidInput, match="strategy 'own' must return positions of rows"):
        prepare_one_shot(pool[0], targets, {"own": lambda f, b, s: np.arange(b) + 0.5}, [10], 3, **how).run()


def test_scores_are_those_of_heads_fitted_by_hand(pool, targets):
    features = pool[0]
    job = prepare_one_shot(
        features, targets, {"first": lambda f, b, s: np.arange(b)}, [10], 3, task="regression", initial=12, splits=1
    )
    found, split, scene = job.run(), job.splits[0], job.scene(0)
    for at, seed in enumerate((0, 1, 2)):
        start = scene.initial(seed)
        picked = np.setdiff1d(np.arange(split.pool.size), start)[:10]
        labelled = split.pool[np.concatenate([start, picked])]
        for name, rows in features.items():
            unit = targets[split.pool].std(axis=0)
            scale = Scaling.of(rows[split.pool])
            head = fit_ridge_head(scale.apply(rows[labelled]), targets[labelled] / unit)
            for metric, tested in (("loss", split.test), ("pool_loss", split.pool)):
                wrong = head.predict(scale.apply(rows[tested])) - targets[tested] / unit
                got = found.per_seed("first", 10, metric=metric, backbone=name)[at]
                assert got == pytest.approx(np.square(wrong).mean(), rel=1e-4)


# ---- who sees what


def test_a_function_gets_unlabelled_rows_only(pool):
    features, labels = pool
    seen = []

    def spy(*given):
        seen.append(given)
        return np.arange(given[1])

    job = prepare_one_shot(features, labels, {"spy": spy}, [8], 3, initial=12, splits=1)
    job.run()
    scene = job.scene(0)
    assert len(seen) == 3
    for given, budget, seed in seen:
        left = np.setdiff1d(np.arange(job.n_pool), scene.initial(seed))
        assert budget == 8
        assert sorted(given) == ["a", "b"]
        assert (given["a"] == features["a"][job.splits[0].pool[left]]).all()


def test_initial_labels_are_the_same_for_all_and_never_picked(pool, monkeypatch):
    calls = []
    real = OneShotScene._score

    def score(self, picks, start):
        calls.append((start.tolist(), picks.indices.tolist()))
        return real(self, picks, start)

    monkeypatch.setattr(OneShotScene, "_score", score)
    quick(*pool, ("lewis", "farthest", "qbc", "entropy"), budgets=(8,), seeds=3, splits=1)
    assert len(calls) == 5 * 3
    assert len({tuple(start) for start, _ in calls}) == 3
    for start, picks in calls:
        assert len(start) == len(set(start)) == 12
        assert len(picks) == len(set(picks)) == 8
        assert not set(start) & set(picks)


def picks_of(job, rule):
    runs = job.run().to_pandas()
    return runs[runs.strategy.str.startswith(rule) & (runs.seed == 0)].picks_hash.iloc[0]


@pytest.mark.parametrize("rule", ["qbc", "entropy"])
def test_iterative_strategies_use_labels_they_paid_for_only(pool, rule):
    """Labels of rows never picked and test rows are scrambled: the picks stay. Labels of the first round: they move."""
    features, labels = pool
    job = prepare_one_shot(features, labels, f"{rule}:rounds=3", [9], 3, head="ridge", initial=12, splits=1)
    mine = picks_of(job, rule)
    scene, rows = job.scene(0), job.splits[0]
    picks = scene._select(job.entrants[1], 9, 0, scene.initial(0))[0].indices
    paid = rows.pool[np.concatenate([scene.initial(0), picks])]
    free = np.setdiff1d(np.arange(N), paid)

    def picks_hash(changed):
        asked = f"{rule}:rounds=3"
        return picks_of(prepare_one_shot(features, changed, asked, [9], 3, head="ridge", initial=12, splits=1), rule)

    scrambled = labels.copy()
    scrambled[free] = (labels[free] + 1) % 3
    assert picks_hash(scrambled) == mine
    turned = labels.copy()
    turned[paid[:12]] = np.roll(labels[paid[:12]], 5)
    assert picks_hash(turned) != mine


def test_qbc_takes_what_heads_fitted_by_hand_disagree_on(pool, targets):
    features = pool[0]
    job = prepare_one_shot(features, targets, "qbc:rounds=1", [6], 3, task="regression", initial=15, splits=1)
    scene, rows = job.scene(0), job.splits[0].pool
    start = scene.initial(1)
    unit = targets[rows].std(axis=0)
    guesses = []
    for x in features.values():
        z = Scaling.of(x[rows]).apply(x[rows])
        guesses.append(fit_ridge_head(z[start], targets[rows][start] / unit).predict(z))
    wanted = (np.var(guesses, axis=0) / np.var(targets[rows][start] / unit, axis=0)).sum(axis=1)
    wanted[start] = -1.0
    got = scene._select(job.entrants[1], 6, 1, start)[0].indices
    assert sorted(got) == sorted(np.argsort(-wanted)[:6])


# ---- results


def test_every_part_of_a_classification(pool):
    found = quick(*pool, None, head="linear", budgets=(8,), seeds=3)
    assert found.strategies == (
        *("random", "lewis", "lewis mean", "lewis single:a", "lewis single:b", "farthest", "entropy", "qbc"),
    )
    assert found.weightings("random") == (PLAIN,)
    assert found.weightings("lewis") == (PLAIN, WEIGHTED, PAPER)
    assert found.to_table().num_rows == 3 * 2 * (4 + 4 * 3)
    titles = " ".join(title for title, _, _ in tables(found))
    for text in (
        "log loss",
        "accuracy",
        "What the maximum over backbones gains",
        "T(k)",
        "kappa(t)",
        "class",
        "seconds",
    ):
        assert text in titles
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["agreement"]["kappas"].keys() == {"10%", "20%", "30%", "50%"}
    assert len(document["contrasts"]) == 2 * (3 + 4 * 3)
    assert "lewis mean, plain heads, against lewis: no difference found at any budget." in sentences(found)
    assert any("intervals from 3 seeds" in note for note in notes_of(found))
    with pytest.raises(InvalidInput, match="nothing was evaluated for strategy 'kmeans'"):
        found.per_seed("kmeans", 8)


def test_means_are_over_heads_and_differences_in_pairs(pool, targets):
    found = quick(pool[0], targets, task="regression")
    for seed_values, backbone in ((found.per_seed("lewis", 8, backbone=b), b) for b in found.backbones):
        runs = found.to_pandas().query("strategy == 'lewis' and budget == 8 and weighting == 'plain'")
        assert runs[runs.backbone == backbone].sort_values("seed").loss.tolist() == seed_values.tolist()
    both = [found.per_seed("lewis", 8, backbone=b) for b in found.backbones]
    np.testing.assert_allclose(found.per_seed("lewis", 8), np.mean(both, axis=0))
    contrast = next(c for c in found.contrasts() if (c.strategy, c.weighting, c.budget) == ("lewis", WEIGHTED, 8))
    ours = found.per_seed("lewis", 8, weighting=WEIGHTED) - found.per_seed("random", 8)
    assert contrast.difference.mean == pytest.approx(ours.mean())
    assert contrast.relative == pytest.approx(ours.mean() / found.per_seed("random", 8).mean())
    against = found.contrasts("loss", "lewis")
    assert {(c.strategy, c.weighting, c.against_weighting) for c in against} == {
        ("random", PLAIN, PLAIN),
        ("farthest", PLAIN, PLAIN),
    }
    assert np.isnan(found.contrasts("pool_loss")[0].test_margin)


def test_random_labels_show_no_difference_and_a_coherent_pool_shows_one():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    x[:20] *= 50.0  # few rows decide; random picks miss most of them
    clean = x @ np.array([1.0, -2.0, 3.0, 0.5])
    noisy = clean + np.where(np.abs(x[:, 0]) > 10, 0.1, 3.0) * rng.normal(size=400)
    how = {"task": "regression", "head": "unpenalised", "initial": 0, "splits": 1}
    found = evaluate_one_shot(x, noisy, "lewis", [16], 30, test=(x, clean), **{**how, "splits": None})
    lewis = next(c for c in found.contrasts() if c.weighting == PLAIN)
    assert lewis.verdict.startswith("better")
    assert lewis.relative < -0.5
    nothing = evaluate_one_shot(rng.normal(size=(200, 4)), rng.normal(size=200), "lewis", [30], 12, **how)
    assert {c.verdict for c in nothing.contrasts()} == {NO_DIFFERENCE}
    assert found.weightings("lewis") == (PLAIN, WEIGHTED)  # without initial labels "paper" is the same


def test_missing_classes_are_said(pool):
    features, labels = pool
    rare = np.where(np.arange(N) < 3, 3, labels)
    found = quick(features, rare, ("farthest",), budgets=(4,), initial=4)
    assert np.isinf(found.per_seed("random", 4, metric="imbalance")).any()
    assert "runs lack a class" in " ".join(cell for row in balance_table(found)[2] for cell in row)
    assert any("a class has no label" in note for note in notes_of(found))
    assert (np.isinf(found.runs["imbalance"]) == (found.runs["n_missing_classes"] > 0)).all()


def test_a_class_of_the_test_set_alone_is_not_missing_among_the_picks(pool):
    features, labels = pool
    other = np.where(np.arange(N) % 9 == 0, 7, labels)
    found = quick(features, labels, ("farthest",), budgets=(30,), splits=None, seeds=3, test=(features, other))
    assert found.n_outputs == 4
    assert np.isfinite(found.per_seed("random", 30, metric="imbalance")).all()
    assert any("1 classes of the test set are in no label of the pool" in note for note in found.notes)


def test_finished_cells_are_used_again_and_other_runs_refused(pool, tmp_path):
    features, labels = pool
    first = quick(features, labels, out=tmp_path / "e")
    notes = []
    second = quick(features, labels, ("lewis", "farthest", "entropy"), out=tmp_path / "e", progress=notes.append)
    assert notes[0] == "24 of 32 cells are there already"
    table = (
        second.to_table()
        .to_pandas()
        .query("strategy != 'entropy'")
        .drop(columns=["heads_s", "sampling_s", "weights_s"])
    )
    mine = first.to_table().to_pandas().drop(columns=["heads_s", "sampling_s", "weights_s"])
    assert table.reset_index(drop=True).equals(mine)
    with pytest.raises(InvalidInput, match="another evaluation .different: initial"):
        quick(features, labels, initial=13, out=tmp_path / "e")
    with pytest.raises(InvalidInput, match="holds another run .evaluate one-shot"):
        og.evaluate(features, labels, ["farthest"], [8], 3, heads="knn", splits=1, out=tmp_path / "e")


def test_other_patterns_are_other_cells(pool, tmp_path):
    features, labels = pool
    told = []
    for seed in (0, 0, 1):
        rows = np.random.default_rng(seed).standard_normal((3 * N, 4)).astype(np.float32)
        plain = as_pool({"a": features["a"]})
        some = replace(plain, patterns={"a": Patterns(RowShards((rows,)), np.arange(0, 3 * N + 1, 3))})
        quick(some, labels, ("freesel",), (8,), 4, out=tmp_path / "e", progress=told.append)
        told.append("next")
    there = [text for text in told if "there already" in text]
    assert there == ["8 of 8 cells are there already"]  # the second run; the third has other patterns


def test_strategies_that_choose_in_order_choose_once(pool, monkeypatch):
    from oneglance.evaluation.one_shot import scene

    asked = []
    real = scene.select

    def counted(given, budget, strategy, **more):
        asked.append((strategy, budget))
        return real(given, budget, strategy, **more)

    monkeypatch.setattr(scene, "select", counted)
    found = quick(*pool, ("farthest",), seeds=3, splits=1)
    assert [budget for strategy, budget in asked if strategy == "farthest"] == [16] * 3
    monkeypatch.undo()
    alone = quick(*pool, ("farthest",), budgets=(8,), seeds=3, splits=1)
    assert (found.per_seed("farthest", 8) == alone.per_seed("farthest", 8)).all()


def test_dead_features_and_a_backbone_twice(pool, targets):
    """A dead feature and a duplicated backbone: nothing breaks, nothing warns."""
    wide = np.column_stack([pool[0]["a"], np.zeros(N), np.full(N, 1e-3)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = quick({"x": wide, "y": wide}, targets, ("lewis", "qbc"), budgets=(8,), seeds=3, task="regression")
    assert (found.per_seed("lewis", 8, backbone="x") == found.per_seed("lewis", 8, backbone="y")).all()
    assert found.agreement.kappas[0.1] == 1.0


# ---- messages


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"task": "ranking"}, "task must be one of ['classification', 'regression'], got 'ranking'"),
        ({"head": "knn"}, "head of a classification must be one of ['linear', 'ridge'], got 'knn'"),
        ({"task": "regression", "head": "linear"}, "head of a regression must be one of ['ridge', 'unpenalised']"),
        ({"p": float("inf")}, "p must be finite: the largest error of a head has no mean over rows. Use p=8, say."),
        ({"task": "regression", "p": 0.5}, "p must be >= 1, got 0.5: below 1 the loss is not convex"),
        (
            {"initial": 120, "budgets": [30]},
            "initial labels and the largest budget are 120 + 30, the pool of a split",
        ),
        ({"initial": 0, "strategies": "qbc"}, '"qbc" needs labels to begin with. Use initial=.'),
        ({"task": "regression", "strategies": "entropy"}, '"entropy" needs probabilities, a regression has none'),
        ({"backbones": ["a"], "strategies": "qbc"}, '"qbc" asks where heads disagree, and there is one backbone only'),
        ({"strategies": "qbc:rounds=0"}, "rounds must be an integer >= 1, got 0 for 'qbc:rounds=0'"),
        ({"strategies": "qbc:width=2"}, "'qbc' takes rounds, got width"),
        (
            {"strategies": "lewis:use_weights=true"},
            "asks for use_weights, but heads with and without weights",
        ),
        ({"strategies": "lewis:combine"}, "'lewis:combine' must read strategy:parameter=value, got 'combine'"),
        ({"seeds": 1}, "seeds must be at least 3"),
        ({"level": 0.2}, "level must lie in [0.5, 1)"),
        ({"features_s": -1.0}, "features_s must be a finite number >= 0"),
    ],
)
def test_messages(pool, change, text):
    given = {"strategies": "lewis", "budgets": [8], "seeds": 4, "splits": 2, **change}
    with pytest.raises(InvalidInput) as caught:
        prepare_one_shot(*pool, **given)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array(["cat"] * N), "labels of a regression must be numbers: could not convert"),
        (np.arange(N - 1.0), f"labels must hold one number or row of numbers per item, ({N},) or ({N}, targets), got"),
        (np.full(N, np.inf), "labels must be finite, or NaN where there is no label; got infinity"),
        (np.ones(N), "labels: target 0 is the same for all rows of a pool. Leave it out."),
        (np.ones((N, 2, 2)), "labels must be (items,) or (items, targets), got shape"),
        ("size", "labels names the column 'size', but the pool has no such: it has no columns"),
    ],
)
def test_messages_of_targets(pool, labels, text):
    with pytest.raises(InvalidInput) as caught:
        prepare_one_shot(pool[0], labels, "lewis", [8], 5, task="regression")
    assert text in str(caught.value)


def test_rows_without_a_target_take_no_part(pool, targets):
    some = targets.copy()
    some[::4, 1] = np.nan
    job = prepare_one_shot(pool[0], some, "lewis", [8], 4, task="regression", splits=2)
    assert len(job.labels) == N - N // 4
    assert any(f"{N - N // 4} of {N} items take part" in note for note in job.notes)
    with_ids = prepare_one_shot(
        pool[0], {i: float(i) for i in range(100)}, "lewis", [8], 4, task="regression", splits=2
    )
    assert sorted(with_ids.labels[:, 0]) == list(range(100))
    texts = np.array([str(v) for v in targets[:, 0]], dtype=object)
    texts[:5] = None
    assert len(prepare_one_shot(pool[0], texts, "lewis", [8], 4, task="regression", splits=2).labels) == N - 5
    test = (pool[0], targets[:, 0])
    with pytest.raises(InvalidInput, match="labels of test have 1 targets, those of the pool 2"):
        prepare_one_shot(pool[0], targets, "lewis", [8], 4, task="regression", test=test)
