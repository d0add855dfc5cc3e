"""Heads, intervals and the comparison: against brute force, by coverage, and against cheating."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from oneglance.errors import InvalidInput
from oneglance.evaluation import (
    HeadScore,
    Interval,
    Picks,
    RidgeHead,
    Scaling,
    Split,
    compare,
    fit_ridge_head,
    kmeans_picker,
    mean_interval,
    one_hot,
    paired_difference,
    plain_pool_mse,
    score_head,
    strategy_picker,
    verdict,
)
from oneglance.evaluation.plot import plot_comparison
from oneglance.evaluation.threads import one_thread


def close(got: object, wanted: object, tol: float) -> None:
    """Fails on NaN too."""
    error = np.abs(np.asarray(got, dtype=float) - np.asarray(wanted, dtype=float)).max()
    assert error <= tol, f"off by {error}"


def problem(m: int = 15, d: int = 4, c: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, d))
    return X, X @ rng.normal(size=(d, c)) + rng.normal(size=(m, c)), rng.uniform(0.2, 5.0, size=m)


# ---- heads


def brute_ridge(X: np.ndarray, Y: np.ndarray, share: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimiser of sum_i share_i |x_i B + b - y_i|^2 + penalty |B|^2, by the normal equations."""
    wide = np.c_[X, np.ones(len(X))]
    pen = penalty * np.diag([1.0] * X.shape[1] + [0.0])
    solution = np.linalg.solve(wide.T @ (share[:, None] * wide) + pen, wide.T @ (share[:, None] * Y))
    return solution[:-1], solution[-1]


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_head_solves_the_weighted_normal_equations(penalty: float, weighted: bool) -> None:
    X, Y, weights = problem()
    head = fit_ridge_head(X, Y, weights if weighted else None, penalties=(penalty,))
    share = weights / weights.sum() if weighted else np.full(len(X), 1 / len(X))
    coef, intercept = brute_ridge(X, Y, share, penalty)
    close(head.coef, coef, 1e-10)
    close(head.intercept, intercept, 1e-10)
    assert head.penalty == penalty


def test_left_out_error_is_that_of_fits_without_the_row() -> None:
    X, Y, weights = problem()
    share = weights / weights.sum()
    wanted = 0.0
    for row in range(len(X)):
        rest = np.where(np.arange(len(X)) == row, 0.0, share)
        coef, intercept = brute_ridge(X, Y, rest, 0.3)
        wanted += share[row] * np.square(X[row] @ coef + intercept - Y[row]).sum()
    close(fit_ridge_head(X, Y, weights, penalties=(0.3,)).left_out_error, wanted, 1e-10)


def test_penalty_is_the_one_with_the_smallest_left_out_error() -> None:
    X, Y, weights = problem(m=9, d=8)
    penalties = (1e-3, 0.1, 1.0, 30.0)
    errors = {p: fit_ridge_head(X, Y, weights, penalties=(p,)).left_out_error for p in penalties}
    assert fit_ridge_head(X, Y, weights, penalties=penalties).penalty == min(errors, key=errors.__getitem__)
    assert len(set(errors.values())) == len(penalties)


def test_a_row_of_weight_two_is_the_row_twice() -> None:
    X, Y, _ = problem(m=16)
    twice = fit_ridge_head(np.r_[X, X[:1]], np.r_[Y, Y[:1]], penalties=(0.2,))
    weighted = fit_ridge_head(X, Y, np.r_[2.0, np.ones(15)], penalties=(0.2,))
    close(weighted.coef, twice.coef, 1e-11)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_fewer_rows_than_features_is_fine(m: int) -> None:
    X, Y, _ = problem(m=m, d=17)
    assert np.isfinite(fit_ridge_head(X, Y).predict(X)).all()


def test_score_by_hand() -> None:
    head = RidgeHead(np.array([[1.0, -1.0]]), np.array([0.0, 0.0]), 0.0, 0.0)
    score = score_head(head, np.array([[1.0], [-1.0], [2.0]]), np.array([0, 1, 1]))
    assert score == HeadScore(accuracy=2 / 3, mse=(1.0 + 1.0 + (4.0 + 9.0)) / 3)


def test_plain_pool_error_is_that_of_weighted_least_squares_on_the_picks() -> None:
    X, Y, weights = problem(m=31)
    rows = np.array([3, 4, 8, 15, 16, 23, 30])
    normal = X[rows].T @ (weights[rows, None] * X[rows])
    coef = np.linalg.solve(normal, X[rows].T @ (weights[rows, None] * Y[rows]))
    close(plain_pool_mse(X, Y, rows, weights[rows]), np.square(X @ coef - Y).sum() / 31, 1e-10)


def test_no_picks_beat_the_whole_pool_in_plain_pool_error() -> None:
    X, Y, _ = problem(m=31)
    best = plain_pool_mse(X, Y, np.arange(31))
    for seed in range(10):
        rows = np.random.default_rng(seed).permutation(31)[:16]
        assert plain_pool_mse(X, Y, rows) > best


def test_scaling_gives_mean_zero_spread_one_and_leaves_dead_features_at_zero() -> None:
    X = np.c_[np.random.default_rng(0).normal(5, 3, size=(63, 2)), np.full(63, 0.1), np.zeros(63)]
    Z = Scaling.of(X).apply(X)
    close(Z.mean(axis=0), 0, 1e-12)
    close(Z.std(axis=0), [1, 1, 0, 0], 1e-9)


def test_bad_heads_input() -> None:
    X, Y, _ = problem()
    with pytest.raises(InvalidInput, match=r"X must be \(m, d\) and targets \(m, c\) with the same m >= 1"):
        fit_ridge_head(X, Y[:-1])
    with pytest.raises(InvalidInput, match="weights must be 15 finite numbers > 0"):
        fit_ridge_head(X, Y, np.r_[np.nan, np.ones(14)])
    with pytest.raises(InvalidInput, match=r"with smallest value 0\."):
        fit_ridge_head(X, Y, np.r_[0.0, np.ones(14)])
    with pytest.raises(InvalidInput, match=r"labels must lie in 0\.\.2, got 0\.\.3"):
        one_hot(np.array([0, 3]), 3)
    with pytest.raises(InvalidInput, match=r"For names use numpy\.unique"):
        one_hot(np.array(["a", "b"]), 2)  # type: ignore[arg-type]


# ---- intervals


@pytest.mark.parametrize(("n_values", "draw", "lowest"), [(20, "normal", 0.935), (20, "exponential", 0.905)])
def test_intervals_cover_the_true_mean(n_values: int, draw: str, lowest: float) -> None:
    """2,000 fixed draws (standard error 0.5 %); a plain percentile bootstrap reaches 0.92 and 0.90."""
    rng = np.random.default_rng(7)
    truth = 0.0 if draw == "normal" else 1.0
    hits = 0
    for repetition in range(2000):
        interval = mean_interval(getattr(rng, f"standard_{draw}")(n_values), n_boot=1000, seed=repetition)
        assert interval.low < interval.mean < interval.high
        hits += interval.low <= truth <= interval.high
    assert lowest <= hits / 2000 <= 0.97


def test_interval_agrees_with_the_t_interval_on_many_normal_values() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=40)
    interval = mean_interval(values, n_boot=20000)
    reach = 2.0227 * values.std(ddof=1) / math.sqrt(40)  # t quantile 0.975 at 39 degrees of freedom
    close([interval.low, interval.high], [values.mean() - reach, values.mean() + reach], 0.06)


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(0).normal(size=20)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_pairs_cancel_what_they_share() -> None:
    shared = np.random.default_rng(0).normal(scale=10, size=16)
    difference = paired_difference(shared + 0.5, shared)
    close([difference.mean, difference.low, difference.high], 0.5, 1e-9)


@pytest.mark.parametrize(
    ("low", "high", "higher", "wanted"),
    [
        (0.1, 0.2, True, "better"),
        (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, True, "worse"),
        (-0.2, -0.1, False, "better"),
        (-0.1, 0.2, True, "no difference found"),
        (0.0, 0.2, True, "no difference found"),
        (0.0, 0.0, False, "no difference found"),
    ],
)
def test_verdict_follows_the_interval(low: float, high: float, higher: bool, wanted: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high, 0.95, 20), higher_is_better=higher) == wanted


def test_bad_interval_input() -> None:
    with pytest.raises(InvalidInput, match=r"at least 3 finite numbers, got shape \(2,\)\. Use more seeds"):
        mean_interval([1.0, 2.0])
    with pytest.raises(InvalidInput, match="finite"):
        mean_interval([1.0, 2.0, math.nan])
    with pytest.raises(InvalidInput, match=r"level must lie in \[0\.5, 1\), got 95"):
        mean_interval([1.0, 2.0, 3.0], level=95)
    with pytest.raises(InvalidInput, match="must pair up seed by seed"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])


# ---- compare


def split(n_pool: int = 63, n_held_out: int = 31, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size=n_pool + n_held_out)
    features = {name: rng.normal(size=(labels.size, d)) + 2 * np.eye(3, d)[labels] for name, d in (("a", 4), ("b", 7))}
    return Split(
        {name: rows[:n_pool] for name, rows in features.items()},
        labels[:n_pool],
        {name: rows[n_pool:] for name, rows in features.items()},
        labels[n_pool:],
    )


def first_rows(features: object, budget: int, seed: int) -> Picks:
    return Picks(np.arange(seed, seed + budget), None)


PICKERS = {
    "random": strategy_picker("random", use_weights=False),
    "lewis": strategy_picker("lewis", use_weights=True),
    "kmeans": kmeans_picker(),
}


def test_table_is_tidy_and_the_same_for_the_same_seeds() -> None:
    seen: list[tuple[int, int]] = []
    first = compare(split(), PICKERS, [5, 12], [3, 4, 5], progress=lambda *counts: seen.append(counts))
    again = compare(split(), PICKERS, [5, 12], [3, 4, 5])
    assert seen == [(done, 18) for done in range(1, 19)]
    assert len(first.accuracy) == 3 * 2 * 3 * 2
    assert first.strategies == ["random", "lewis", "kmeans"]
    assert first.budgets == [5, 12]
    for name, column in first.columns().items():
        assert (column == again.columns()[name]).all(), name
    other = compare(split(), PICKERS, [5, 12], [6, 7, 8])
    assert (other.mse != first.mse).any()


def test_a_picker_gets_the_pools_features_and_nothing_else() -> None:
    data = split()
    calls = []

    def spy(*given: object) -> Picks:
        calls.append(given)
        return first_rows(*given)  # type: ignore[arg-type]

    compare(data, {"spy": spy}, [5], [0, 1])
    assert [call[1:] for call in calls] == [(5, 0), (5, 1)]
    for features, _, _ in calls:
        assert isinstance(features, dict)
        assert {name: rows.shape for name, rows in features.items()} == {"a": (63, 4), "b": (63, 7)}


@pytest.mark.parametrize("name", list(PICKERS))
def test_picks_do_not_change_when_the_labels_do(name: str) -> None:
    data, picks = split(), []

    def keep(features: object, budget: int, seed: int) -> Picks:
        picks.append(PICKERS[name](features, budget, seed))  # type: ignore[arg-type]
        return picks[-1]

    compare(data, {name: keep}, [9], [0])
    turned = Split(data.pool, data.pool_labels[::-1].copy(), data.held_out, data.held_out_labels)
    compare(turned, {name: keep}, [9], [0])
    assert (picks[0].indices == picks[1].indices).all()


def test_per_seed_is_the_mean_over_heads() -> None:
    result = compare(split(), {"first": first_rows}, [6], [2, 0, 1])
    rows = {(s, b): a for s, b, a in zip(result.seed, result.backbone, result.accuracy, strict=True)}
    wanted = [(rows[seed, "a"] + rows[seed, "b"]) / 2 for seed in (0, 1, 2)]
    close(result.per_seed("first", 6, "accuracy"), wanted, 1e-15)


def test_compare_scores_are_those_of_a_head_fitted_by_hand() -> None:
    data = split()
    result = compare(data, {"first": first_rows}, [8], [4])
    scaling = Scaling.of(data.pool["b"])
    head = fit_ridge_head(scaling.apply(data.pool["b"])[4:12], one_hot(data.pool_labels[4:12], 3))
    wanted = score_head(head, scaling.apply(data.held_out["b"]), data.held_out_labels)
    assert HeadScore(result.accuracy[1], result.mse[1]) == wanted


def test_labels_that_were_not_picked_and_held_out_rows_do_not_reach_the_head() -> None:
    data = split()
    scrambled = data.pool_labels.copy()
    scrambled[20:] = 2 - scrambled[20:]
    one = compare(data, {"first": first_rows}, [8], [4])
    other = Split(data.pool, scrambled, data.held_out, data.held_out_labels)
    two = compare(other, {"first": first_rows}, [8], [4])
    assert (one.mse == two.mse).all()
    assert (one.pool_mse != two.pool_mse).all()  # its error is measured on all of the pool
    assert one.ceiling != two.ceiling


def test_kmeans_picks_are_distinct_even_among_identical_rows() -> None:
    rows = {"a": np.repeat(np.random.default_rng(0).normal(size=(21, 3)), 3, axis=0)}
    picks = kmeans_picker()(rows, 20, 0)
    assert np.unique(picks.indices).size == 20
    assert picks.weights is None


def test_kmeans_takes_one_row_from_each_of_far_apart_clumps() -> None:
    rng = np.random.default_rng(0)
    rows = {"a": 100 * np.repeat(np.eye(6), 10, axis=0) + rng.normal(size=(60, 6))}
    assert sorted(kmeans_picker()(rows, 6, 0).indices // 10) == list(range(6))


@pytest.mark.parametrize(
    ("indices", "got"),
    [([0, 1, 1], "3 with 2 distinct"), ([0, 1], "2 with 2 distinct"), ([0, 1, 63], "3 with 3 distinct")],
)
def test_a_strategy_that_cheats_on_its_budget_is_named(indices: list[int], got: str) -> None:
    def cheat(features: object, budget: int, seed: int) -> Picks:
        return Picks(np.array(indices), None)

    with pytest.raises(InvalidInput, match=rf"'cheat' must return 3 distinct rows in 0\.\.62, got {got}"):
        compare(split(), {"cheat": cheat}, [3], [0])


def test_bad_compare_input() -> None:
    data = split()
    with pytest.raises(InvalidInput, match="seeds must hold distinct numbers"):
        compare(data, PICKERS, [5], [1, 1])
    with pytest.raises(InvalidInput, match="budgets must be an integer >= 1, got 0"):
        compare(data, PICKERS, [0], [1])
    with pytest.raises(InvalidInput, match="pickers must name at least one strategy"):
        compare(data, {}, [5], [1])
    with pytest.raises(InvalidInput, match="need the same backbones in one order"):
        Split(data.pool, data.pool_labels, {"a": data.held_out["a"]}, data.held_out_labels)
    with pytest.raises(InvalidInput, match=r'pool\["a"\] must be 2-D with 62 rows'):
        Split(data.pool, data.pool_labels[1:], data.held_out, data.held_out_labels)
    with pytest.raises(InvalidInput, match="nothing was compared for strategy 'x' at budget 5"):
        compare(data, {"first": first_rows}, [5], [1]).per_seed("x", 5, "mse")


def test_plot_writes_a_png_and_refuses_a_missing_baseline(tmp_path: Path) -> None:
    result = compare(split(), {"random": first_rows, "lewis": PICKERS["lewis"]}, [5, 12], [0, 1, 2])
    plot_comparison(result, tmp_path / "x.png", title="t", note="n")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    with pytest.raises(InvalidInput, match="'random' among them"):
        plot_comparison(result, tmp_path / "y.png", names={"lewis": "Lewis"})


def test_one_thread_is_one_thread_and_is_undone() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="without threadpoolctl one_thread does nothing")

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    before = threads()
    with one_thread():
        assert set(threads()) == {1}
    assert threads() == before
