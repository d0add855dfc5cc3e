"""`evaluate_one_shot`: the multi-model protocol of Huang et al. (ICLR 2024), arXiv 2405.14121."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

from .prepare import BUDGETS, INITIAL, prepare_one_shot
from .result import OneShot


def evaluate_one_shot(
    store_or_arrays: Any,
    labels: Any,
    strategies: Any = None,
    budgets: Sequence[int | str] = BUDGETS,
    seeds: int | Sequence[int] = 20,
    *,
    task: str = "classification",
    head: str | None = None,
    p: float = 2.0,
    initial: int | str = INITIAL,
    test: Any = None,
    splits: int | None = None,
    folds: int | None = None,
    groups: Any = None,
    backbones: Sequence[str] | None = None,
    level: float = 0.95,
    features_s: float | None = None,
    out: str | PathLike[str] | None = None,
    fresh: bool = False,
    progress: bool | Callable[[str], None] | None = None,
    device: str = "cpu",
) -> OneShot:
    """What one selection is worth to the heads of all backbones together, against random picks and iterative ones.

    store_or_arrays, test, splits, folds, groups, level, out, fresh, progress, device   as for `evaluate`; `test` of
                     a regression may be (features, targets)
    labels           classification: as for `evaluate`. Regression: (n,) or (n, c) numbers, NaN for no label; a column
                     of numbers; or {item id: number or numbers}
    strategies       as for `evaluate`, and "entropy" (classification) and "qbc", which label in rounds:
                     "qbc:rounds=5". Default: "lewis" with the maximum, the mean, and each single backbone's weights,
                     "farthest", entropy, qbc. "random" is always there. Your function gets the unlabelled rows only
    budgets          picks on top of the initial labels: counts, or percentages of the pool
    task, head       "classification" with head "linear" (multinomial logistic regression, log loss; the default) or
                     "ridge" (least squares to one-hot classes, squared error), both with fixed penalties; or
                     "regression" with head "ridge" (penalty by leave-one-out; the default) or "unpenalised" (what the
                     theory is about): |error|^p, targets in units of their spread over the pool, features at unit
                     spread
    p                1 <= p < inf for a regression; of the Lewis weights of the default strategies, T(k) and kappa, too
    initial          labels before the selection: random rows, the same for all strategies of a seed; 0 for none
    backbones        names, all by default: each gets a head, scores are means over the heads
    features_s       seconds that extracting the features took, for the table of times

    Strategies with known, uneven inclusion probabilities are scored with plain heads and with importance weights in
    the loss, "weighted" and (with initial labels) "paper": see `oneglance.evaluation.one_shot.cell`. Rounds label
    budget / rounds rows each, by heads on the labels so far; no strategy ever sees a test row, the others no label.
    Raises InvalidInput and StoreError. Memory: about 8 (n + t) d bytes for all backbones together.
    """
    return prepare_one_shot(
        store_or_arrays,
        labels,
        strategies,
        budgets,
        seeds,
        task=task,
        head=head,
        p=p,
        initial=initial,
        test=test,
        splits=splits,
        folds=folds,
        groups=groups,
        backbones=backbones,
        level=level,
        features_s=features_s,
    ).run(out, fresh=fresh, progress=progress, device=device)
