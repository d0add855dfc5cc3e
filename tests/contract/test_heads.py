"""Heads: logistic paths against scikit-learn and finite differences; what fit_heads takes, refuses, says and saves."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import oneglance as og
from oneglance.adapt.classify import Problem, fit_nearest_mean, make_folds
from oneglance.adapt.predictions import predictions_of
from oneglance.adapt.temperature import best_temperature, log_loss
from oneglance.reference.heads import logistic_objective
from oneglance.solvers import logistic, logistic_path, single_index
from oneglance.solvers.logistic import _Batch
from oneglance.store.files import digest
from oneglance.strategies.pool import Pool, as_pool

RNG = np.random.default_rng(3)
LAMBDAS = np.logspace(0, -5, 6)


def blobs(n, d, n_classes, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_classes, d))
    codes = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    return (rng.standard_normal((n, d)) + 0.7 * centers[codes]).astype(dtype), codes


def awkward():
    """name -> rows, codes, weights."""
    x, codes = blobs(240, 12, 3, np.float64)
    yield "plain", x, codes, None
    yield "float32", x.astype(np.float32), codes, None
    yield "far from zero", x + 50.0, codes, None
    yield "weights", x, codes, RNG.pareto(1.5, 240) + 1e-3
    yield "huge weights", x, codes, 10.0 ** RNG.uniform(-8, 0, 240)
    yield "duplicated rows", np.repeat(x[:30], 8, axis=0), np.repeat(codes[:30], 8), None
    yield "dependent and constant columns", np.hstack([x, x[:, :3], np.ones((240, 1))]), codes, None
    yield "n < d", *blobs(30, 80, 4, np.float64), None
    yield "two classes", x, (codes > 0).astype(int), None
    yield "a rare class", x, np.where(np.arange(240) == 5, 0, 1 + (codes > 1)), None


CASES = {name: case for name, *case in awkward()}


@pytest.mark.parametrize("name", CASES)
def test_same_optimum_as_scikit_learn_and_a_true_gap(name):
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows, codes, weights = CASES[name]
    n_classes, s = int(codes.max()) + 1, np.ones(len(rows)) if weights is None else weights
    wide = rows.astype(float)
    # A handful of rows holds all the weight of eight decades: there the estimate that stops is a tenth of the truth.
    tol = 1e-7 if name == "huge weights" else 1e-6
    for fit in logistic_path(rows, codes, n_classes, LAMBDAS, weights=weights, tol=tol):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # With two classes scikit-learn has one column w; here that is -w / 2 and w / 2, and |W|^2 half of |w|^2.
            halves = 2 if n_classes == 2 else 1
            peer = linear_model.LogisticRegression(C=halves / (fit.lambda_ * len(rows)), tol=1e-8, max_iter=2000)
            peer.fit(wide, codes, sample_weight=s / s.mean())
        ours = logistic_objective(wide, codes, s, fit.coef, fit.intercept, fit.lambda_)[0]
        coef, intercept = peer.coef_.T, peer.intercept_
        if n_classes == 2:
            coef, intercept = np.hstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        theirs = logistic_objective(wide, codes, s, coef, intercept, fit.lambda_)[0]
        assert ours <= theirs * (1 + 1e-6)
        assert ours - fit.gap <= theirs * (1 + 1e-6)
        assert abs(ours - fit.value) <= 1e-5 * ours
        slope = logistic_objective(wide, codes, s, fit.coef, fit.intercept, fit.lambda_)
        assert np.abs(slope[2]).max() <= 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_by_finite_differences(dtype, monkeypatch):
    monkeypatch.setattr(logistic, "_SMALL", 0)
    rows, codes = blobs(60, 5, 3, dtype)
    weights = RNG.random(60) + 0.1
    batch = _Batch(rows, codes, 3, weights, np.arange(60) % 2)
    theta = RNG.standard_normal((3, rows.shape[1] + 1, 3))
    at = np.arange(3)
    values, slopes, _ = batch.loss(theta, at, 0.1)
    step = 1e-2 if dtype == np.float32 else 1e-5
    for place in [(0, 0, 0), (1, 3, 2), (2, 5, 1)]:
        moved = np.zeros_like(theta)
        moved[place] = step
        up, down = batch.loss(theta + moved, at, 0.1)[0], batch.loss(theta - moved, at, 0.1)[0]
        assert abs((up - down)[place[0]] / (2 * step) - slopes[place]) <= (2e-3 if dtype == np.float32 else 1e-8)
    coef = batch.basis @ theta[2, :-1]
    value = logistic_objective(rows.astype(float), codes, weights, coef, theta[2, -1] - batch.mean @ coef, 0.1)[0]
    assert abs(value - values[2]) <= 1e-5 * value


def test_folds_share_products_and_equal_fits_one_by_one():
    rows, codes = blobs(200, 10, 4, np.float64)
    folds = np.arange(200) % 4
    for fit in logistic_path(rows, codes, 4, [1e-1, 1e-3], folds=folds, tol=1e-10):
        for fold in range(4):
            (single,) = logistic_path(rows[folds != fold], codes[folds != fold], 4, [fit.lambda_], tol=1e-10)
            logits = rows[folds == fold] @ single.coef + single.intercept
            shift = logits.mean(axis=1) - fit.held_out[folds == fold].mean(
                axis=1
            )  # the same for all classes: no matter
            np.testing.assert_allclose(fit.held_out[folds == fold] + shift[:, None], logits, atol=1e-4)


def test_weights_are_repetitions_and_only_their_ratios_matter():
    rows, codes = blobs(120, 8, 3, np.float64)
    counts = RNG.integers(1, 4, 120)
    (one,) = logistic_path(rows, codes, 3, [1e-2], weights=counts.astype(float), tol=1e-10)
    (two,) = logistic_path(np.repeat(rows, counts, axis=0), np.repeat(codes, counts), 3, [1e-2], tol=1e-10)
    (three,) = logistic_path(rows, codes, 3, [1e-2], weights=1e4 * counts, tol=1e-10)
    np.testing.assert_allclose(one.coef, two.coef, atol=1e-4)
    np.testing.assert_allclose(one.coef, three.coef, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_weights_are_repetitions_for_single_index_models(activation):
    rows = RNG.standard_normal((200, 4))
    y = np.tanh(rows @ np.ones(4)) + 0.1 * RNG.standard_normal(200)
    counts = RNG.integers(0, 4, 200)
    one = single_index(rows, y, activation, weights=counts.astype(float), eps=0.01, ridge=0.01, tol=1e-12)
    two = single_index(
        np.repeat(rows, counts, axis=0), np.repeat(y, counts), activation, eps=0.01, ridge=0.01, tol=1e-12
    )
    np.testing.assert_allclose(one.value, two.value, rtol=1e-9)
    np.testing.assert_allclose(one.coef, two.coef, atol=1e-4)


def test_weights_are_repetitions_for_nearest_means():
    """Of the means and the classes they give; temperatures are not the same, as a repeated row is never left alone."""
    rows, codes = blobs(60, 5, 3, np.float64)
    counts = RNG.integers(1, 4, 60)
    many = Problem(np.repeat(rows, counts, axis=0), np.repeat(codes, counts), 3, np.ones(counts.sum()))
    one, two = (fit_nearest_mean(problem) for problem in (Problem(rows, codes, 3, counts.astype(float)), many))
    scale = one[2]["mean_temperature"], two[2]["mean_temperature"]
    np.testing.assert_allclose(one[0]["coef"] * scale[0], two[0]["coef"] * scale[1], rtol=1e-12)
    np.testing.assert_allclose(one[0]["intercept"] * scale[0], two[0]["intercept"] * scale[1], rtol=1e-12)


def test_folds_hold_every_class_and_never_a_single_row():
    codes = np.concatenate([np.zeros(23), np.ones(6), [2], np.full(2, 3)]).astype(np.int64)
    folds = make_folds(codes, 5, 0)
    assert folds[codes == 2].tolist() == [-1]
    for code in (0, 1, 3):
        counts = np.bincount(folds[codes == code], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert make_folds(np.array([0, 1, 2]), 5, 0) is None
    assert make_folds(codes, 5, 0).tolist() == folds.tolist() != make_folds(codes, 5, 1).tolist()


def test_folds_keep_groups_together():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 300)
    codes = np.where(groups % 2 == 0, groups % 3, rng.integers(0, 3, 300)).astype(np.int64)  # half of them mixed
    folds = make_folds(codes, 5, 0, groups)
    assert set(folds.tolist()) == set(range(5))
    for group in np.unique(groups):
        assert np.unique(folds[groups == group]).size == 1
    for code in range(3):
        share = np.bincount(folds[codes == code], minlength=5) / (codes == code).sum()
        assert share.min() > 0.1
        assert share.max() < 0.3
    assert make_folds(codes, 5, 0, groups).tolist() == folds.tolist() != make_folds(codes, 5, 1, groups).tolist()
    alone = make_folds(codes, 5, 0, np.arange(300))
    assert alone.tolist() == make_folds(codes, 5, 0).tolist(), "groups of one are no groups"
    lone = codes.copy()
    lone[groups == 7] = 3  # a class of one group
    folds = make_folds(lone, 5, 0, groups)
    assert (folds[groups == 7] == -1).all()
    assert (folds[groups != 7] >= 0).all()
    assert make_folds(codes[:6] * 0 + np.arange(6) % 2, 5, 0, np.zeros(6, dtype=int)) is None
    two = make_folds(np.array([0, 1, 0, 1]), 5, 0, np.array([0, 0, 1, 1]))
    assert sorted(two.tolist()) == [0, 0, 1, 1]


def softened(logits, codes, weights):
    """Log loss of truths that are sure to 1 - 1 / (m + 2) only, m effective rows."""
    doubt, k = 1 / (weights.sum() ** 2 / (weights**2).sum() + 2), logits.shape[1]
    others = [log_loss(logits, (codes + by) % k, weights) for by in range(1, k)]
    return (1 - doubt) * log_loss(logits, codes, weights) + doubt * np.mean(others)


def test_temperature_minimises_softened_log_loss():
    logits = 3.0 * RNG.standard_normal((200, 5))
    codes = np.where(RNG.random(200) < 0.4, logits.argmax(axis=1), RNG.integers(0, 5, 200))
    weights = RNG.random(200)
    t = best_temperature(logits, codes, weights)
    best = softened(logits / t, codes, weights)
    assert all(best <= softened(logits / other, codes, weights) for other in (0.999 * t, 1.001 * t, 1.0))
    assert best_temperature(logits, codes, 1e200 * weights) == pytest.approx(t)
    assert best_temperature(np.full((3, 2), np.nan), np.zeros(3, dtype=np.int64)) == 1.0
    assert best_temperature(logits, codes, np.zeros(200)) == 1.0
    assert 0 < best_temperature(np.array([[0.0, -np.inf], [1.0, 0.0]]), np.array([0, 1])) <= 20.0


@pytest.mark.parametrize("head", ["linear", "nearest_mean"])
def test_few_labels_that_are_all_right_make_no_head_certain(head):
    """Twelve rows held out and all right asked for a temperature near 0, and the next wrong one cost tens of nats."""
    losses = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        codes = np.concatenate([np.arange(4), rng.integers(0, 4, 596)])
        rows = rng.standard_normal((4, 20))[codes] + rng.standard_normal((600, 20))
        heads = og.fit_heads(rows, codes[:12], np.arange(12), head=head)
        losses.append(log_loss(heads.outputs(rows, rows=np.arange(12, 600))["features"], codes[12:], np.ones(588)))
    assert max(losses) < 1.0
    assert np.mean(losses) < 0.5


def test_nearest_mean_leaves_a_row_out_by_hand():
    rows, codes = blobs(20, 4, 3, np.float64)
    weights = RNG.random(20) + 0.1
    arrays, _, info = fit_nearest_mean(Problem(rows, codes, 3, weights))
    losses = {}
    for t in (0.99, 1.0, 1.01):
        logits = np.empty((20, 3))
        for i in range(20):
            kept = np.arange(20) != i
            for c in range(3):
                own = kept & (codes == c)
                mean = weights[own] @ rows[own] / weights[own].sum()
                logits[i, c] = -0.5 * ((rows[i] - mean) ** 2).sum() / (t * info["mean_temperature"])
        losses[t] = softened(logits, codes, weights)
    assert losses[1.0] <= min(losses.values()) + 1e-9
    assert arrays["coef"].shape == (4, 3)


POOL, TRUE = blobs(400, 20, 4, seed=1)
OTHER = (POOL @ np.random.default_rng(5).standard_normal((20, 9))).astype(np.float32)
NAMES = np.array(["ant", "bee", "cat", "dog"])[TRUE]
BOTH = {"small": POOL, "other": OTHER}


@pytest.mark.parametrize("head", ["linear", "nearest_mean", "knn"])
@pytest.mark.parametrize("scale", ["none", "normalise", "standardise"])
def test_heads_learn_from_picks_save_and_come_back(head, scale, tmp_path):
    if head == "knn" and scale == "standardise":
        with pytest.raises(og.InvalidInput, match="goes by angles"):
            og.fit_heads(POOL, TRUE, head=head, scale=scale)
        return
    picks = og.select(BOTH, 60, p=2, seed=0)
    heads = og.fit_heads(BOTH, NAMES[picks.indices], picks, head=head, scale=scale)
    assert list(heads) == ["small", "other"]
    assert heads.classes.tolist() == ["ant", "bee", "cat", "dog"]
    mean = heads.ensemble(BOTH)
    np.testing.assert_allclose(mean.sum(axis=1), 1.0)
    np.testing.assert_allclose(mean, np.mean(list(heads.predict_proba(BOTH).values()), axis=0))
    assert (heads.predict_ensemble(BOTH) == NAMES).mean() > 0.6
    assert (heads["small"].predict(POOL) == NAMES).mean() > 0.6
    again = og.fit_heads(BOTH, NAMES[picks.indices], picks, head=head, scale=scale)
    pytest.importorskip("safetensors")
    back = og.load_heads(heads.save(tmp_path / "heads"))
    assert back.classes.tolist() == heads.classes.tolist()
    for name in heads:
        for key, value in heads[name].arrays.items():
            assert again[name].arrays[key].tobytes() == value.tobytes() == back[name].arrays[key].tobytes()
        assert back[name].info == heads[name].info
        assert back[name].temperature == heads[name].temperature
    np.testing.assert_array_equal(back.ensemble(BOTH), mean)


def test_all_ways_to_give_labels_agree():
    picks = og.select(POOL, 50, seed=0)
    full = np.full(400, None, dtype=object)
    full[picks.indices] = NAMES[picks.indices]
    ways = [
        og.fit_heads(POOL, NAMES[picks.indices], picks),
        og.fit_heads(POOL, NAMES, picks),
        og.fit_heads(POOL, full, picks),
        og.fit_heads(POOL, {int(row): str(NAMES[row]) for row in picks.indices}, picks),
        og.fit_heads(POOL, NAMES[picks.indices], picks.indices, weights=picks.weights),
    ]
    for way in ways[1:]:
        np.testing.assert_array_equal(way["features"].arrays["coef"], ways[0]["features"].arrays["coef"])
    equal = og.fit_heads(POOL, full, weights="equal")
    assert equal["features"].info["n_labelled"] == 50
    some = NAMES[picks.indices].astype(object)
    some[:5] = None
    assert og.fit_heads(POOL, some, picks)["features"].info["n_unlabelled"] == 5


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_selection_of_all_items_may_have_any_order(task):
    order = np.random.default_rng(1).permutation(400)
    labels = NAMES if task == "classification" else POOL[:, 0] - POOL[:, 1]
    # folds go by the place in the list
    same = {"task": task, **({"lambdas": 1e-3, "calibrate": False} if task == "classification" else {})}
    plain = og.fit_heads(POOL, labels, **same)
    of = {int(row): labels[row].item() for row in order}
    pool = Pool(as_pool(POOL).features, np.ones(400, dtype=bool), columns={"label": labels.astype(object)})
    for mixed in (og.fit_heads(POOL, of, order, **same), og.fit_heads(pool, None, order, **same)):
        np.testing.assert_allclose(mixed.ensemble(POOL), plain.ensemble(POOL), atol=1e-3)
    with pytest.raises(og.InvalidInput, match="in the order of the picks or of the pool"):
        og.fit_heads(POOL, labels, order, task=task)


def test_labels_as_objects_tensors_and_texts_of_numbers():
    torch = pytest.importorskip("torch")
    assert og.fit_heads(POOL, torch.from_numpy(TRUE))["features"].classes.tolist() == [0, 1, 2, 3]
    halves = og.fit_heads(POOL, list(TRUE.astype(np.float32)))["features"].classes.tolist()
    assert [type(value) for value in halves] == [float] * 4  # JSON knows no float32
    targets = POOL[:, 0].astype(object)
    targets[3] = None
    known = og.fit_heads(POOL, targets, task="regression")["features"]
    assert known.info["n_labelled"] == 399
    texts = og.fit_heads(POOL[4:], [str(value) for value in targets[4:]], task="regression")["features"]
    np.testing.assert_allclose(texts.arrays["coef"], known.arrays["coef"], atol=1e-6)


def test_classes_without_labels_get_probability_zero():
    rows = np.flatnonzero(TRUE < 2)[:40]
    heads = og.fit_heads(POOL, NAMES[rows], rows, classes=["cat", "ant", "bee"])
    p = heads.predict_proba(POOL)["features"]
    assert p.shape == (400, 3)
    assert (p[:, 0] == 0).all()
    assert set(heads.predict(POOL)["features"]) == {"ant", "bee"}
    near = og.fit_heads(POOL, NAMES[rows], rows, classes=["cat", "ant", "bee"], head="knn")
    assert set(near.predict(POOL)["features"]) <= {"ant", "bee"}
    one = og.fit_heads(POOL, ["ant"] * 3, [1, 2, 3], classes=["ant", "bee"])
    assert (one.predict(POOL)["features"] == "ant").all()
    assert og.fit_heads(POOL, [7], [0]).predict(POOL)["features"].tolist() == [7] * 400


def test_one_label_per_class_uses_the_penalty_of_experience():
    heads = og.fit_heads(POOL, NAMES[:4], np.arange(4))
    info = heads["features"].info
    assert info["n_folds"] == 0
    assert len(info["tried"]) == 1
    assert abs(info["lambda"] - 3e-4) <= 1e-9
    assert heads["features"].temperature == 1.0


@pytest.mark.parametrize("spread", [0.3, 0.03, 0.003])
def test_rows_that_hardly_differ_are_told_apart(spread):
    """The strongest penalties then leave the loss as it is: no reason to give up (features of cosine 0.99 and more)."""
    rng = np.random.default_rng(5)
    codes = np.arange(120) % 3
    rows = 1.0 + spread * (np.eye(3, 24)[codes] + 0.2 * rng.normal(size=(120, 24)))
    seen = np.arange(0, 120, 4)
    found = og.fit_heads(rows, {int(row): int(codes[row]) for row in seen}, seen)
    assert (found.predict_ensemble(rows) == codes).mean() > 0.97
    assert len(found["features"].info["tried"]) > 9


def test_calibration_on_held_out_labels_lowers_the_loss():
    heads = og.fit_heads(POOL, NAMES[:100], np.arange(100), calibrate=False, lambdas=1e-6)
    rows = np.arange(100, 250)
    cooled = heads.calibrated(POOL, NAMES[rows], rows=rows)
    codes, ones = TRUE[rows], np.ones(150)
    before, after = (log_loss(h.outputs(POOL, rows=rows)["features"], codes, ones) for h in (heads, cooled))
    assert after < before
    assert (cooled.predict(POOL)["features"] == heads.predict(POOL)["features"]).all()


@pytest.mark.parametrize("p", [1, 1.5, 2, 4, np.inf])
def test_regression_heads_of_several_targets(p, tmp_path):
    coef = RNG.standard_normal((20, 2))
    targets = POOL @ coef + 3.0 + 0.01 * RNG.standard_normal((400, 2))
    picks = og.select(BOTH, 120, p=2, seed=0)
    heads = og.fit_heads(BOTH, targets, picks, task="regression", p=p)
    assert all(heads["small"].info["converged"])
    assert np.abs(heads.predict(BOTH)["small"] - targets).max() < 0.1
    assert heads.ensemble(BOTH).shape == (400, 2)
    wide = og.fit_heads(POOL, targets, picks, task="regression", p=p, scale="standardise")
    np.testing.assert_allclose(wide.predict(POOL)["features"], heads.predict(BOTH)["small"], atol=0.02)
    pytest.importorskip("safetensors")
    back = og.load_heads(heads.save(tmp_path))
    np.testing.assert_array_equal(back.ensemble(BOTH), heads.ensemble(BOTH))
    with pytest.raises(og.InvalidInput, match="no probabilities"):
        heads.predict_proba(BOTH)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("p", [1.5, 2, 3])
def test_single_index_finds_a_planted_model(activation, p):
    from oneglance.solvers.single_index import shape_of

    u = 0.5 * POOL[:, :6].astype(float) @ RNG.standard_normal(6) + 0.3
    y = shape_of(activation, u)[0]
    fit = single_index(POOL[:, :6], y, activation, p, intercept=True)
    got = shape_of(activation, POOL[:, :6] @ fit.coef[:, 0] + fit.intercept[0])[0]
    assert (np.abs(got - y) ** p).mean() <= 1e-3 * (np.abs(y - y.mean()) ** p).mean()
    step = 1e-6
    for at in (-1.3, 0.4, 2.0):
        up, down = (shape_of(activation, np.array([at + sign * step]))[0][0] for sign in (1, -1))
        assert abs((up - down) / (2 * step) - shape_of(activation, np.array([at]))[1][0]) <= 1e-6
    heads = og.fit_heads(POOL, y, task="regression", activation=activation, p=p, eps=1e-6, ridge=1e-9)
    assert heads.predict(POOL)["features"].shape == (400, 1)
    if activation == "relu":
        assert heads.predict(POOL)["features"].min() >= 0


def test_relu_beats_the_linear_fit_on_noisy_targets():
    y = np.maximum(POOL[:, 0], 0.0) + 0.1 * RNG.standard_normal(400)
    fit = single_index(POOL, y, "relu", weights=RNG.random(400) + 0.5)
    assert fit.converged.all()
    got = np.maximum(POOL @ fit.coef[:, 0], 0)
    assert np.square(got - y).mean() < 0.5 * np.square(POOL @ np.linalg.lstsq(POOL, y, rcond=None)[0] - y).mean()


def test_heads_of_a_store(tmp_path):
    np.save(tmp_path / "vectors.npy", POOL)
    pool = og.embed(tmp_path / "vectors.npy", None, tmp_path / "store")
    (name,) = pool.backbones
    labels = {item: str(NAMES[row]) for row, item in enumerate(pool.item_ids[:60])}
    heads = og.fit_heads(tmp_path / "store", labels)
    assert heads[name].hash is None  # ready vectors: nobody knows what made them
    np.testing.assert_array_equal(heads.predict(pool)[name], heads[name].predict(POOL))
    entry = dict(pool.manifest["backbones"][name], model_hash="1" * 64)
    known = og.FeatureStore(pool.path, pool.manifest | {"backbones": {name: entry}})
    other = og.FeatureStore(pool.path, pool.manifest | {"backbones": {name: dict(entry, model_hash="2" * 64)}})
    heads = og.fit_heads(known, NAMES[:60], np.arange(60))
    assert len(heads[name].hash) == 64
    with pytest.raises(og.InvalidInput, match=f"the head has {heads[name].hash[:16]} and 20"):
        heads.predict(other)


def test_another_backbone_is_refused():
    heads = og.fit_heads(BOTH, TRUE[:60], np.arange(60))
    with pytest.raises(og.InvalidInput, match=r'"small" .* is another one .* unknown and 7 columns, .* and 20'):
        heads.predict({"small": POOL[:, :7], "other": OTHER})
    with pytest.raises(og.InvalidInput, match='has no backbone "other"'):
        heads.predict({"small": POOL})
    with pytest.raises(og.InvalidInput, match="no head for backbone"):
        heads["third"]
    with pytest.raises(og.InvalidInput, match="have 7 columns, its head was fitted on 20"):
        heads["small"].predict(POOL[:, :7])
    from dataclasses import replace

    from oneglance.adapt import heads as module

    hashed = replace(heads, heads={name: replace(head, hash="a" * 64) for name, head in heads.heads.items()})
    pool, _ = module.as_named(BOTH, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "as_named", lambda source, names: (pool, {"small": "b" * 64, "other": "a" * 64}))
        with pytest.raises(og.InvalidInput, match=f"hash {'b' * 16} and 20 columns, the head has {'a' * 16} and 20"):
            hashed.predict(BOTH)
        alone = hashed.only(["small"])
        one = as_pool(POOL)
        patch.setattr(module, "as_named", lambda source, names: (one, {"features": "b" * 64}))
        with pytest.raises(og.InvalidInput, match=f"hash {'b' * 16} and 20 columns"):
            alone.predict(POOL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "ranking"}, "task must be one of"),
        ({"head": "tree"}, "head must be one of"),
        ({"scale": "unit"}, "scale must be one of"),
        ({"p": 3}, 'p belongs to task="regression". Leave it out for task="classification", head="linear"'),
        ({"ridge": 0.1, "intercept": False}, 'ridge and intercept belong to task="regression". Leave them out'),
        ({"k": 3}, 'k belongs to head="knn". Leave it out'),
        ({"head": "knn", "lambdas": 1.0}, 'lambdas belongs to head="linear" of task="classification"'),
        ({"task": "regression", "classes": ["ant"]}, 'classes belongs to task="classification"'),
        ({"task": "regression", "labels": np.full(60, np.inf)}, "labels must be finite, or NaN where there is none"),
        ({"task": "regression", "lambdas": 1.0}, "Use ridge= or eps= for a regression."),
        ({"task": "regression", "activation": "gelu"}, "activation must be one of"),
        ({"task": "regression", "head": "knn"}, 'has head="linear" only'),
        ({"labels": NAMES[:9]}, "labels must have one entry per pick (60) or one per item of the pool (400)"),
        ({"labels": None}, 'has no column "label"'),
        ({"labels": {999: "ant"}}, "labels must hold positions in 0..399"),
        ({"labels": {399: "ant"}}, "labels name 1 items outside the selection"),
        ({"labels": [None] * 60}, "labels leave nothing to fit"),
        ({"labels": ["ant", 3] * 30}, "labels must be of one sort"),
        ({"classes": ["ant"]}, "labels hold 'bee', which is not among classes"),
        ({"weights": "big"}, 'weights must be numbers, None or "equal"'),
        ({"weights": -np.ones(60)}, "weights must be finite numbers >= 0"),
        ({"lambdas": [1.0, -1.0]}, "lambdas must be finite numbers > 0"),
        ({"folds": 0}, "folds must be an integer >= 1"),
        ({"backbones": ["third"]}, "backbones must be among"),
        ({"task": "regression", "labels": ["ant"] * 60}, 'labels must be numbers for task="regression"'),
        ({"labels": NAMES[:3], "selection": [0, 1, 2], "lambdas": [1.0, 0.1]}, "lambdas: too few labels"),
    ],
)
def test_messages(change, words):
    arguments = {"labels": NAMES[:60], "selection": np.arange(60)} | change
    with pytest.raises(og.InvalidInput) as error:
        og.fit_heads(POOL, **arguments)
    assert words in str(error.value)


def test_rows_with_nan_are_named():
    bad = POOL.copy()
    bad[7, 3] = np.nan
    with pytest.raises(og.InvalidInput, match="NaN or infinity in 1 labelled rows, first row 7"):
        og.fit_heads(bad, NAMES[:20], np.arange(20))
    heads = og.fit_heads(POOL, NAMES[:20], np.arange(20))
    with pytest.raises(og.InvalidInput, match="NaN or infinity in 1 rows, first 7"):
        heads.predict(bad)
    assert heads.predict(bad, rows=[0, 1])["features"].shape == (2,)


def test_damaged_files_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    with pytest.raises(og.StoreError, match="no heads at"):
        og.load_heads(tmp_path / "nothing")
    folder = og.fit_heads(POOL, NAMES[:20], np.arange(20)).save(tmp_path / "heads")
    content = bytearray((folder / "heads.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "heads.safetensors").write_bytes(content)
    with pytest.raises(og.StoreError, match="has another content"):
        og.load_heads(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": 0}, "do not go together"),
        ({"temperature": float("nan")}, "do not go together"),
        ({"kind": "tree"}, "do not go together"),
        ({"kind": "knn"}, "is damaged"),
        ({"scale": "weird"}, "do not go together"),
        ({"seen": [True]}, "do not go together"),
        ({"seen": None}, "do not go together"),
        ({"n_dims": -3}, "do not go together"),
        ({"arrays": ["coef"]}, "is damaged"),
        (3, "is damaged"),
        (None, "is damaged"),
        (b"\xff" * 8, "is no safetensors file"),
    ],
)
def test_files_made_by_others_are_refused(change, words, tmp_path):
    """The hash guards against accidents only: whoever writes the arrays can write their hash."""
    pytest.importorskip("safetensors")
    folder = og.fit_heads(POOL, NAMES[:20], np.arange(20)).save(tmp_path / "heads")
    facts = json.loads((folder / "heads.json").read_text())
    if isinstance(change, bytes):
        (folder / "heads.safetensors").write_bytes(change)
        facts["arrays_blake2b"] = digest(change)
    elif isinstance(change, dict):
        facts["heads"]["features"].update(change)
    else:
        facts["heads"] = {} if change is None else {"features": change}
    (folder / "heads.json").write_text(json.dumps(facts))
    with pytest.raises(og.StoreError, match=words):
        og.load_heads(folder)


def test_what_json_cannot_hold(tmp_path):
    pytest.importorskip("safetensors")
    for labels in ([b"ant", b"bee"], [(1, 2), (3, 4)], [np.datetime64("2026-01-01"), np.datetime64("2026-01-02")]):
        heads = og.fit_heads(POOL, labels * 200)
        with pytest.raises(og.InvalidInput, match="classes must be texts, numbers or booleans to be saved"):
            heads.save(tmp_path / "strange")
    assert not (tmp_path / "strange").exists()
    far = og.fit_heads(POOL.astype(float), [1e200, -1e200] * 200, task="regression", p=3)  # |r|^3 is beyond float64
    assert far["features"].info["value"] == [np.inf]
    back = og.load_heads(far.save(tmp_path / "far"))
    assert back["features"].info["value"] == [None]
    np.testing.assert_array_equal(back.ensemble(POOL), far.ensemble(POOL))


def test_rows_of_zeros_are_never_of_a_class_without_labels():
    near = og.fit_heads(np.abs(POOL), ["ant", "bee"] * 200, head="knn", classes=["ant", "bee", "cat"])
    np.testing.assert_array_equal(near.predict_proba(np.zeros((1, 20)))["features"], [[0.5, 0.5, 0.0]])


def test_rows_to_predict_as_positions_or_a_mask():
    heads = og.fit_heads(POOL, NAMES[:60], np.arange(60))
    mask = np.zeros(400, dtype=bool)
    mask[[5, 9, 300]] = True
    want = heads.predict(POOL)["features"][mask]
    for rows in (mask, [5, 9, 300]):
        np.testing.assert_array_equal(heads.predict(POOL, rows=rows)["features"], want)
        np.testing.assert_array_equal(predictions_of(heads, POOL, rows=rows).rows, [5, 9, 300])
    for wrong in (mask[:9], [0.5], [[1]]):
        with pytest.raises(og.InvalidInput, match="rows must be positions"):
            heads.predict(POOL, rows=wrong)
    bad = POOL.copy()
    bad[300] = np.nan
    with pytest.raises(og.InvalidInput, match="in 1 rows, first 300"):
        heads.predict(bad, rows=[5, 300])


@pytest.mark.parametrize("head", ["linear", "nearest_mean", "knn"])
def test_one_weight_may_be_larger_than_all_others_can_count(head):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heads = og.fit_heads(POOL, NAMES, weights=np.where(np.arange(400) == 7, 1e20, 1.0), head=head)
    assert np.isfinite(heads.ensemble(POOL)).all()
    assert heads.predict(POOL, rows=[7])["features"] == NAMES[7]


def test_classes_from_features_beyond_float32_are_refused():
    huge = 1e40 * POOL.astype(float)
    with pytest.raises(og.InvalidInput, match="beyond float32"):
        og.fit_heads(huge, NAMES, scale="none")
    heads = og.fit_heads(huge, NAMES, scale="standardise")
    assert (heads.predict(huge)["features"] == NAMES).mean() > 0.9


def test_calibration_refuses_labels_that_it_cannot_use():
    heads = og.fit_heads(POOL, NAMES[TRUE < 2], np.flatnonzero(TRUE < 2), classes=["ant", "bee", "cat"])
    rows = np.flatnonzero(TRUE < 3)
    with pytest.raises(og.InvalidInput, match="labels hold 'cat', of which the heads had no label"):
        heads.calibrated(POOL, NAMES[rows], rows=rows)
    with pytest.raises(og.InvalidInput, match="labels hold 'dog', which is no class"):
        heads.calibrated(POOL, NAMES)
    rows = np.flatnonzero(TRUE < 2)
    with pytest.raises(og.InvalidInput, match=f"weights must be {rows.size} finite numbers"):
        heads.calibrated(POOL, NAMES[rows], rows=rows, weights=-np.ones(rows.size))


def test_heads_load_neither_torch_nor_scipy_nor_scikit_learn():
    code = (
        "import sys, numpy as np, oneglance as og\n"
        "x = np.random.default_rng(0).standard_normal((30, 4)); h = og.fit_heads(x, np.arange(30) % 2)\n"
        "og.fit_heads(x, x[:, 0], task='regression', p=1); h.predict(x)\n"
        "print([m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout.strip() == "[]"


def test_real_features(shared):
    folder = shared / "data" / "features"
    data = {name: np.load(folder / f"neu__{name}.npz") for name in ("mnv2", "sqz")}
    pool = {name: d["X_train"] for name, d in data.items()}
    test = {name: d["X_test"] for name, d in data.items()}
    labels, truth = data["mnv2"]["y_train"], data["mnv2"]["y_test"]
    picks = og.select(pool, 60, p=2, seed=0)
    heads = og.fit_heads(pool, labels[picks.indices], picks)
    single = [(guess == truth).mean() for guess in heads.predict(test).values()]
    assert min(single) > 0.6
    assert (heads.predict_ensemble(test) == truth).mean() > 0.75
    rows, brightness = pool["mnv2"][:500, :150], pool["sqz"][:500, :2].astype(float)
    for p in (1, 1.5, 2, 4, np.inf):
        regression = og.fit_heads(rows, brightness, task="regression", p=p, ridge=1e-3)
        assert all(regression["features"].info["converged"])


def test_many_float32_rows_reach_the_minimum_of_float64_ones():
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((6000, 300)).astype(np.float32)
    codes = (rows @ rng.standard_normal((300, 20)) + 5 * rng.gumbel(size=(6000, 20))).argmax(axis=1)
    codes[:20] = np.arange(20)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    lambdas = [1e-3, 1e-5, 1e-6]
    narrow = list(logistic_path(rows, codes, 20, lambdas))
    wide = list(logistic_path(rows.astype(np.float64), codes, 20, lambdas, tol=1e-9))
    for got, want in zip(narrow, wide, strict=True):
        logits = rows.astype(np.float64) @ got.coef + got.intercept
        own = logits[np.arange(6000), codes]
        value = (np.log(np.exp(logits).sum(axis=1)) - own).mean() + 0.5 * got.lambda_ * np.square(got.coef).sum()
        assert value <= want.value * (1 + 1e-6)
