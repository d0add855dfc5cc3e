"""The verdict: go only where the mask is better for certain, whatever else is there."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="masks need torch")

from oneglance import InvalidInput  # noqa: E402
from oneglance.masks.guard import Looked, held_out_hits, judge, view_hits  # noqa: E402
from oneglance.masks.settings import choose_settings  # noqa: E402

FACTS = {"keep_rate": 0.9, "emptied": 0, "loss": 2.0, "ln_k": 3.0}


def looked(noise, seed=0, n=60, d=8):
    """Features whose two views differ by `noise`."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(n, d))
    return Looked(plain, (plain + noise * rng.normal(size=(n, d)), plain + noise * rng.normal(size=(n, d))))


def labelled(spread, seed=0, m=60):
    """(m, 8) features of two classes `spread` apart, and the classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(m) % 2
    return rng.normal(size=(m, 8)) + spread * (2 * classes[:, None] - 1) * np.eye(8)[0], classes


def test_without_labels_more_consistent_views_are_needed():
    better = judge({"base": looked(2.0), "mask": looked(0.1)}, **FACTS)
    assert better.go
    assert "no labels to check it" in better.reasons[0]
    assert better.consistency["mask"] > better.consistency["base"]
    same = judge({"base": looked(1.0), "mask": looked(1.0)}, **FACTS)
    assert not same.go
    assert "not a gain for certain" in same.reasons[0]
    worse = judge({"base": looked(0.1), "mask": looked(2.0)}, **FACTS)
    assert not worse.go
    assert "go:" in str(better)
    assert "no-go:" in str(worse)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"keep_rate": 0.4}, "Kept 40.00% of the weights, outside 50% to 99.9%"),
        ({"keep_rate": 0.9999}, "Kept 99.99%"),
        ({"emptied": 2}, "2 tensors are all off"),
        ({"loss": 2.99}, "sits at ln K = 3.000"),
    ],
)
def test_each_fault_alone_is_a_no_go(changed, words):
    verdict = judge({"base": looked(2.0), "mask": looked(0.1)}, **{**FACTS, **changed})
    assert not verdict.go
    assert words in " ".join(verdict.reasons)


def test_a_loss_of_classes_is_not_held_against_ln_k():
    assert judge({"base": looked(2.0), "mask": looked(0.1)}, **{**FACTS, "loss": 2.99}, supervised=True).go


def test_collapsed_features_are_a_no_go_even_with_consistent_views():
    narrow = np.outer(np.linspace(1, 2, 60), np.ones(8)) + 1e-3 * np.random.default_rng(0).normal(size=(60, 8))
    verdict = judge({"base": looked(2.0), "mask": Looked(narrow, (narrow, narrow))}, **FACTS)
    assert verdict.consistency["mask"] > verdict.consistency["base"]
    assert not verdict.go
    assert "RankMe fell" in " ".join(verdict.reasons)


def test_labels_decide_over_views():
    good, classes = labelled(3.0)
    poor, _ = labelled(0.3, seed=1)
    views = {"base": looked(0.1), "mask": looked(2.0)}
    gain = judge(views, **FACTS, classes=classes, labelled_features={"base": poor, "mask": good})
    assert gain.go
    assert gain.gain.low > 0
    assert gain.probe["mask"].mean > 0.95
    loss = judge(
        {"base": looked(2.0), "mask": looked(0.1)},
        **FACTS,
        classes=classes,
        labelled_features={"base": good, "mask": poor},
    )
    assert not loss.go
    assert loss.gain.high < 0
    level = judge(views, **FACTS, classes=classes, labelled_features={"base": good, "mask": good.copy()})
    assert not level.go  # in doubt: the base


def test_adabn_alone_being_better_is_a_no_go():
    best, classes = labelled(4.0)
    good, _ = labelled(1.0, seed=1)
    poor, _ = labelled(0.0, seed=2)
    views = {"base": looked(1.0), "adabn": looked(1.0), "mask": looked(1.0)}
    verdict = judge(views, **FACTS, classes=classes, labelled_features={"base": poor, "adabn": best, "mask": good})
    assert not verdict.go
    assert "AdaBN alone is better." in verdict.reasons
    assert verdict.gain.low > 0


def test_too_few_labels_fall_back_to_views_and_say_so():
    classes = np.array([0, 1, 0, 1])
    rows = np.ones((4, 8))
    verdict = judge(
        {"base": looked(2.0), "mask": looked(0.1)},
        **FACTS,
        classes=classes,
        labelled_features={"base": rows, "mask": rows},
    )
    assert "Too few labels" in verdict.reasons[0]
    assert verdict.gain is None
    one_class = held_out_hits({"base": np.ones((30, 2))}, np.zeros(30), 0)
    assert one_class is None


def test_fewer_than_three_pictures_are_a_no_go():
    assert not judge({"base": looked(1.0, n=2), "mask": looked(0.0, n=2)}, **FACTS).go


@pytest.mark.parametrize("n", [3, 5, 400])
def test_a_handful_of_pictures_that_changed_for_the_better_is_no_certainty(n):
    """All five of five is a toss of five coins; a bootstrap of ones, or of rare ones, never goes below 0."""
    few = min(n, 5)
    rows = np.random.default_rng(0).normal(size=(n, 2 * n))
    worse = rows.copy()
    worse[:few] = np.roll(rows[:few], 1, axis=0)
    verdict = judge({"base": Looked(rows, (rows, worse)), "mask": Looked(rows, (rows, rows))}, **FACTS)
    assert verdict.consistency["mask"] == 1
    assert not verdict.go
    assert "not a gain for certain" in verdict.reasons[0]


@pytest.mark.parametrize("with_labels", [False, True])
def test_features_that_are_not_finite_are_a_no_go(with_labels):
    rows, classes = labelled(2.0)
    broken = rows.copy()
    broken[3] = np.nan
    facts = {**FACTS, "classes": classes, "labelled_features": {"base": rows, "mask": broken}} if with_labels else FACTS
    verdict = judge({"base": looked(2.0), "mask": Looked(broken, (broken, broken))}, **facts)
    assert not verdict.go
    assert "Features are not finite." in verdict.reasons


def test_held_out_hits_never_see_the_row_they_judge():
    rng = np.random.default_rng(0)
    rows, classes = rng.normal(size=(40, 300)), rng.integers(0, 2, 40)  # any labels fit 300 features
    hits = held_out_hits({"base": rows}, classes, 0)["base"]
    assert 0.25 < hits.mean() < 0.75


def test_view_hits_by_definition():
    a = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    b = np.array([[1.0, 0.0], [0.1, 1.0], [1.0, -0.3]])
    assert view_hits(a, b).tolist() == [True, True, False]
    assert not view_hits(np.ones((3, 2)), np.ones((3, 2))).any()
    assert view_hits(np.ones((1, 2)), np.ones((1, 2))).tolist() == [True]


def test_features_that_are_all_zero_are_a_no_go():
    nothing = np.zeros((60, 8))
    verdict = judge({"base": looked(2.0), "mask": Looked(nothing, (nothing, nothing))}, **FACTS)
    assert not verdict.go
    assert verdict.rank_me["mask"] == 0


@pytest.mark.parametrize("n", [1, 3, 40, 64, 255, 256, 1297, 50_000])
def test_automatic_settings_fit_any_pool(n):
    found = choose_settings(n, 64, "resnet")
    assert 1 <= found.batch_size <= min(64, n)
    assert 2 <= found.n_prototypes <= max(2, found.batch_size + found.queue)
    assert found.queue % found.batch_size == 0
    assert found.queue <= n / 2
    assert found.n_projected == 64
    assert found.steps_per_epoch(n) >= 1
    assert found.freeze_steps <= found.n_steps(n) // 10
    assert found.eps == (0.05 if n == 50_000 else 0.03)
    assert [found.rate(0, 100), found.rate(50, 100)] == pytest.approx([1.0, 0.5])


def test_settings_of_the_paper_come_out_for_its_pools():
    assert choose_settings(50_000, 2048, "resnet").n_prototypes == 447
    assert choose_settings(50_000, 2048, "resnet", n_classes=60).n_prototypes == 480
    assert choose_settings(50_000, 768, "vit").lr == 10
    warm = choose_settings(1000, 64, "resnet", given={"warm_up": 0.25})
    assert [warm.rate(step, 100) for step in (0, 5, 25)] == pytest.approx([0.0, 0.2, 1.0])


def test_impossible_settings_are_named():
    for given, words in (
        ({"lr": 0}, "lr must be a finite number > 0"),
        ({"n_prototypes": 1}, "n_prototypes must be >= 2"),
        ({"queue": -1}, "queue must be an integer >= 0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        ({"epochs": 2.5}, "epochs must be an integer >= 1"),
        ({"prototypes": 3}, "unknown setting 'prototypes'; there are"),
        ({"compute": "float16"}, "compute must be float32 or bfloat16"),
    ):
        with pytest.raises(InvalidInput, match=words):
            choose_settings(100, 64, "resnet", given=given)
