"""Alarms of pretraining: planted collapse is found once, with a cure, and healthy runs are quiet."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

from oneglance.features.source import open_source  # noqa: E402
from oneglance.masks.shelf import fill_shelf  # noqa: E402
from oneglance.pretraining.monitors import alarms, features_of, look, used_share  # noqa: E402
from oneglance.reference.suitability import participation_ratio, rank_me  # noqa: E402

RNG = np.random.default_rng(0)
HEALTHY = RNG.normal(size=(300, 16)) + 3.0


def readings(features, n=4, **more):
    """A run that ends with these features, after healthy ones."""
    return [{**look(HEALTHY), **more}] * (n - 1) + [{**look(np.asarray(features)), **more}]


def said(run, n_epochs=None):
    return alarms(run, n_epochs or len(run))


def test_looks_are_their_definitions():
    found = look(HEALTHY)
    unit = HEALTHY / np.linalg.norm(HEALTHY, axis=1, keepdims=True)
    assert abs(found["spread"] - math.sqrt(unit.var(axis=0).sum())) <= 1e-10  # rms over d of std, times sqrt(d)
    assert abs(found["rank_me"] - rank_me(HEALTHY)) <= 1e-6
    assert abs(found["directions"] - participation_ratio(HEALTHY)) <= 1e-6


def test_two_pictures_are_no_single_direction():
    assert not said([look(HEALTHY[:2])] * 4)
    assert "directions" in look(HEALTHY[:3])


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.ones((50, 16)), "collapsed: all pictures get the same"),
        (np.ones((50, 16)) + 1e-6 * RNG.normal(size=(50, 16)), "collapsed: all pictures get the same"),
        (np.zeros((50, 16)), "collapsed: all pictures get the same"),
        (np.full((50, 16), np.nan), "collapsed: all pictures get the same"),
        (np.ones((50, 16)) + np.outer(RNG.normal(size=50), RNG.normal(size=16)), "one direction only"),
        (np.outer(RNG.normal(size=50), RNG.normal(size=16)), "one direction only"),
        (RNG.normal(size=(50, 2)) @ RNG.normal(size=(2, 16)), "fewer and fewer"),
    ],
    ids=["constant", "nearly-constant", "zero", "nan", "one-dimension-off-origin", "one-dimension", "few-dimensions"],
)
def test_planted_collapse_of_features_is_found_once(features, words):
    run = readings(features)
    (found,) = said(run)
    assert words in found
    assert "lr" in found  # a cure
    assert said([*run, run[-1]]) == []  # it has been said
    assert said([*run, {"loss": 1.0}]) == []  # and not all epochs are looked at
    assert said([*run, {"loss": 1.0}, run[-1]]) == []


def test_collapse_in_the_first_epoch_is_found():
    assert "collapsed" in said(readings(np.ones((50, 16)), n=1))[0]


@pytest.mark.parametrize("ratio", [0.981, 1.0, 1.2])
def test_a_loss_of_guessing_is_found_after_a_third_of_the_stage(ratio):
    run = [{"loss_over_ln_k": ratio}] * 10
    spoken = [said(run[:n], 10) for n in range(1, 11)]
    assert [len(part) for part in spoken] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert "loss stays at that of guessing" in spoken[3][0]
    assert "eps (0.03)" in spoken[3][0]


def test_a_loss_that_left_guessing_is_quiet():
    assert all(not said([{"loss_over_ln_k": v}] * n, 10) for v in (0.5, 0.979) for n in range(1, 11))
    dips = [{"loss_over_ln_k": v} for v in (1.0, 1.0, 0.97, 0.985, 0.97, 0.985)]
    assert not any(said(dips[:n], 6) for n in range(1, 7))


def test_a_loss_that_rises_when_the_queue_begins_is_found_once():
    run = [{"loss_over_ln_k": v} for v in (0.9, 0.7, 0.75, 0.85, 0.9)]
    spoken = [said(run[:n], 5) for n in range(1, 6)]
    assert [len(part) for part in spoken] == [0, 0, 0, 1, 0]
    assert "shorten it" in spoken[3][0]


@pytest.mark.parametrize(
    ("n_prototypes", "used", "loud"), [(64, 1 / 64, 1), (6, 1 / 6, 1), (3000, 0.05, 1), (6, 0.5, 0)]
)
def test_prototypes_that_are_not_used_are_found(n_prototypes, used, loud):
    run = [{"prototypes_used": share, "n_prototypes": n_prototypes} for share in (0.9, used)]
    assert ["few prototypes" in text for text in said(run)] == [True] * loud


def test_used_share_counts_prototypes_in_even_use():
    for n in (1, 2, 7):
        shares = torch.zeros(10)
        shares[:n] = 3.0
        assert abs(float(used_share(shares)) - n / 10) <= 1e-6
    assert math.isfinite(float(used_share(torch.zeros(4))))


def test_a_healthy_run_is_quiet_from_random_weights_on():
    run = []
    for epoch in range(10):
        grows = HEALTHY @ np.diag(np.exp(-np.arange(16) * (1 - epoch / 10)))
        run.append(
            {**look(grows), "loss_over_ln_k": 1 - epoch / 20, "prototypes_used": 0.4 + epoch / 20, "n_prototypes": 50}
        )
        assert said(run, 10) == []


def test_runs_without_numbers_are_not_judged():
    assert said([], 5) == []
    assert said([{"loss": 3.0, "stage": "mae"}] * 3) == []


def test_features_are_those_of_evaluation_and_modes_come_back():
    pictures = RNG.random((30, 2, 4, 4)).astype(np.float32)
    shelf = fill_shelf(open_source(pictures, None, for_backbones=True).pictures, lambda tensor: tensor)
    encoder = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.Dropout(0.5), torch.nn.Flatten()).train()
    encoder[1].eval()
    found = features_of(encoder, shelf, torch.device("cpu"), most=10)
    with torch.no_grad():
        chosen = shelf.plain(torch.linspace(0, 29, 10).round().long(), torch.device("cpu"))
        assert np.array_equal(found, encoder.eval()(chosen).numpy())
    encoder.train()
    encoder[1].eval()
    features_of(encoder, shelf, torch.device("cpu"))
    assert (encoder.training, encoder[0].training, encoder[1].training) == (True, True, False)
