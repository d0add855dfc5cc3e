"""Classifier two-sample test: can a linear classifier tell two pools apart on rows that it has not seen?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, FloatArray, IntArray
from ..adapt.classify import Problem, fit_linear, make_folds
from .chance import coins_tail, share_interval

PENALTIES = tuple(float(value) for value in np.logspace(1, -4, 11))


@dataclass(frozen=True, eq=False)
class TwoSample:
    """correct of n_test unseen rows were told apart: accuracy, its 95 % interval, and p = P(as many heads of n_test
    fair coins), exact.

    rows_y, odds_y   test rows of y, and their log odds to be of y: the most telling ones are those that differ most
    """

    correct: int
    n_test: int
    accuracy: float
    interval: tuple[float, float]
    p: float
    rows_y: IntArray
    odds_y: Float64Array


def c2st(x: FloatArray, y: FloatArray, *, seed: int = 0, draw: int = 0) -> TwoSample:
    """Lopez-Paz and Oquab 2017, with a logistic regression whose penalty is chosen on the training half.

    x, y   (n, d) each, n >= 20

    Half of both pools trains. Each test row comes from x or y by the toss of a coin, so that labels are fair coins
    given the rows and the count of correct answers is exactly binomial where both pools are drawn alike; a few rows
    per side stay unused for it. It sees what a linear score can see: shifts of the mean, after each feature is
    centred and scaled by the training rows' mean and standard deviation.
    """
    n = min(len(x), len(y))
    sides = [_shuffled(len(rows), seed, 4 * draw + i) for i, rows in enumerate((x, y))]
    half = n // 2
    left = n - half
    n_test = max(4, int(2 * left - 4 * np.sqrt(2 * left)))
    coins = _coins(n_test, left, seed, draw)
    n_y = int(np.count_nonzero(coins))
    ones = sides[1][half : half + n_y]
    trained = np.concatenate([x[sides[0][:half]], y[sides[1][:half]]]).astype(np.float64)
    tested = np.concatenate([x[sides[0][half : half + n_test - n_y]], y[ones]]).astype(np.float64)
    centre, spread = trained.mean(axis=0), trained.std(axis=0)
    spread[spread <= 1e-12 * np.maximum(np.abs(centre), 1e-300)] = np.inf
    codes = np.repeat([0, 1], half)
    problem = Problem((trained - centre) / spread / np.sqrt(x.shape[1]), codes, 2, np.ones(2 * half))
    arrays, _, _ = fit_linear(problem, PENALTIES, make_folds(codes, 3, seed), 1e-4, False, prior=False)
    odds = (tested - centre) / spread / np.sqrt(x.shape[1]) @ arrays["coef"] + arrays["intercept"]
    score = odds[:, 1] - odds[:, 0]
    truth = np.arange(n_test) >= n_test - n_y
    correct = int(np.count_nonzero((score > 0) == truth))
    return TwoSample(
        correct,
        n_test,
        correct / n_test,
        share_interval(correct, n_test),
        coins_tail(n_test, correct),
        ones,
        np.asarray(score[truth]),
    )


def _shuffled(n: int, seed: int, draw: int) -> IntArray:
    keys = uniforms(seed, Purpose.AUDIT, np.arange(n), draw=(1 << 28) + draw)
    return np.argsort(keys, kind="stable").astype(np.int64)


def _coins(n_test: int, left: int, seed: int, draw: int) -> BoolArray:
    """n_test fair coins with at most `left` of either side: four standard deviations away, tossed again if not."""
    toss = 0
    while True:
        coins = uniforms(seed, Purpose.AUDIT, np.arange(n_test) + toss * n_test, draw=(1 << 28) + 4 * draw + 2) < 0.5
        heads = int(np.count_nonzero(coins))
        if max(heads, n_test - heads) <= left:
            return np.asarray(coins)
        toss += 1
