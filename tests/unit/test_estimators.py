"""The scikit-learn style selectors."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

import oneglance as og

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from oneglance.estimators import FarthestSelector, KMeansSelector, StrategySelector, WeightedDrawSelector  # noqa: E402
from oneglance.strategies import strategy_names  # noqa: E402

SELECTORS = (FarthestSelector, KMeansSelector, StrategySelector, WeightedDrawSelector)
every_selector = pytest.mark.parametrize("selector", SELECTORS, ids=lambda selector: selector.__name__)
EXPECTED_TO_FAIL: dict[str, str] = {}


@every_selector
def test_scikit_learns_own_checks(selector):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the checks themselves
        results = check_estimator(selector(), expected_failed_checks=EXPECTED_TO_FAIL, on_fail="raise", on_skip=None)
    passed = [result["check_name"] for result in results if result["status"] == "passed"]
    assert len(passed) >= 25
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []


@every_selector
def test_selects_distinct_rows_with_their_support(selector):
    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    fitted = selector(30).fit(x)
    assert len(set(fitted.selected_idx_.tolist())) == 30
    assert fitted.get_support().sum() == 30
    assert np.array_equal(np.flatnonzero(fitted.get_support()), fitted.get_support(indices=True))
    assert fitted.sample_weight_.sum() == 200
    assert fitted.n_features_in_ == 6
    assert fitted.nearest_selected_[0] == -1
    assert set(fitted.represented_by_.tolist()) == set(fitted.selected_idx_.tolist())
    assert not hasattr(fitted, "transform")
    assert len(selector(0.25).fit(x).selected_idx_) == 50
    again = clone(fitted).fit(x)
    assert np.array_equal(again.selected_idx_, fitted.selected_idx_)
    more = selector(10).fit(x, labelled=fitted.selected_idx_)
    assert not np.isin(more.selected_idx_, fitted.selected_idx_).any()
    assert len(selector(0.5).fit(x, labelled=fitted.get_support()).selected_idx_) == 85


def test_they_are_the_functions():
    x = np.random.default_rng(1).normal(size=(120, 5))
    far = FarthestSelector(20, metric="cosine", start=[7]).fit(x)
    want = og.farthest_points(x, 20, metric="cosine", start=[7])
    assert np.array_equal(far.selected_idx_, want.indices)
    assert np.array_equal(far.scores_[1:], want.radii[1:])
    drawn = WeightedDrawSelector(20, gamma=1.0, metric="sqeuclidean", random_state=4).fit(x)
    assert np.array_equal(drawn.selected_idx_, og.weighted_draw(x, 20, gamma=1.0, seed=4).indices)
    state = np.random.RandomState(0)
    assert not np.array_equal(
        KMeansSelector(20, random_state=state).fit(x).selected_idx_,
        KMeansSelector(20, random_state=state).fit(x).selected_idx_,
    )


@every_selector
def test_mistakes_are_named(selector):
    x = np.random.default_rng(1).normal(size=(20, 5))
    with pytest.raises(og.InvalidInput, match=r"n_to_select must be an integer >= 1 or a share in \(0, 1\], got 1.5"):
        selector(1.5).fit(x)
    with pytest.raises(og.InvalidInput, match="budget is 30, but only 20 items are available"):
        selector(30).fit(x)
    if selector is not StrategySelector:
        with pytest.raises(og.InvalidInput, match="metric must be one of"):
            selector(3, metric="l1").fit(x)
    with pytest.raises(ValueError, match="NaN"):
        selector(3).fit(np.full((4, 2), np.nan))


def test_scikit_learn_is_optional():
    code = "import sys; sys.modules['sklearn'] = None\nimport oneglance\ntry:\n    import oneglance.estimators\n"
    code += "except oneglance.MissingDependency as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "oneglance.estimators needs scikit-learn: pip install 'oneglance[sklearn]'" in done.stdout, done.stderr


@pytest.mark.parametrize("strategy", strategy_names())
def test_any_strategy_by_name(strategy):
    x = np.random.default_rng(2).normal(size=(90, 4))
    fitted = StrategySelector(12, strategy=strategy, random_state=3).fit(x)
    assert np.array_equal(fitted.selected_idx_, og.select(x, 12, strategy, seed=3, explain=False).indices)
    assert fitted.get_support().sum() == 12


def test_its_parameters_reach_the_strategy():
    x = np.random.default_rng(2).normal(size=(90, 4))
    fitted = StrategySelector(12, strategy="kernel", params={"width": 2.0}).fit(x)
    assert np.array_equal(fitted.selected_idx_, og.select(x, 12, "kernel", width=2.0).indices)
    with pytest.raises(og.InvalidInput, match='"kernel" does not know sigma'):
        StrategySelector(12, strategy="kernel", params={"sigma": 2.0}).fit(x)


def test_params_are_those_of_the_strategy_alone():
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(og.InvalidInput, match='strategy "lewis" does not know seed; it takes p, tol'):
        StrategySelector(5, strategy="lewis", params={"seed": 3}).fit(X)
    with pytest.raises(og.InvalidInput, match="params must be a dict of the strategy's own parameters"):
        StrategySelector(5, params=["p"]).fit(X)
