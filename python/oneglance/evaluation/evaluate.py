"""`evaluate`: learning curves of strategies against random, made so that it is hard to fool oneself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

from .evaluation import Evaluation
from .prepare import BUDGETS, HEADS, prepare


def evaluate(
    store_or_arrays: Any,
    labels: Any,
    strategies: Any = None,
    budgets: Sequence[int | str] = BUDGETS,
    seeds: int | Sequence[int] = 20,
    *,
    heads: Sequence[str] = HEADS,
    test: Any = None,
    splits: int | None = None,
    folds: int | None = None,
    groups: Any = None,
    backbones: Sequence[str] | None = None,
    baseline_budgets: Sequence[int | str] = (),
    level: float = 0.95,
    out: str | PathLike[str] | None = None,
    fresh: bool = False,
    progress: bool | Callable[[str], None] | None = None,
    device: str = "cpu",
) -> Evaluation:
    """What strategies are worth on a pool whose labels are known, against random picks, with intervals.

    store_or_arrays  as for `select`
    labels           (n,) classes; or the name of a column of the store; or {item id: class}. None, NaN, "" and -1
                     are no label: such items take no part at all
    strategies       names of registered strategies (all by default), "kmeans:metric=cosine" with parameters, or
                     {name: text, (strategy, {parameter: value}) or function (features, budget, seed) -> positions},
                     whose features are read-only: {backbone: (n, d)}.
                     "random" is always there. use_weights=true among the parameters puts the strategy's weights
                     into the heads' loss
    budgets          counts, or percentages of the pool of a split: "2%"
    seeds            a number of seeds (0, 1, ...), or the seeds; at least 3
    heads            "ridge" (closed form, fixed penalty), "linear" (multinomial logistic regression, fixed
                     penalty), "knn" (k by leave-one-out); all on rows at unit length
    test             share of the labelled items held out, 0.2 by default; or (features, labels) of a test set of
                     its own: a store or arrays with the same backbones
    splits, folds    so many random divisions into pool and test rows (5 by default); or so many disjoint test
                     parts. Seed s uses split s mod their number
    groups           (n,) group per item (scene, patient, film) or a column's name: a group is never divided between
                     pool and test rows. Default: the store's column "group" where it is filled
    backbones        what to select and fit on: names, "a+b" for several stacked, "stacked" for all. Default: each
                     one, and all stacked. Stacked: each minus its mean, rows at unit length, side by side ("lewis"
                     gets them separately, as it does from `select`)
    baseline_budgets further budgets for random alone: the label saving factor can be read only as far as random's
                     own curve goes
    level            of the intervals
    out, fresh       a folder that keeps every finished cell (strategy, budget, seed, backbone): the same call goes
                     on where a killed one stopped, several processes share the work, and more strategies, budgets,
                     seeds or backbones are added to what is there. fresh=True begins anew
    progress         called with one-line notes; True prints them on stderr
    device           where selections are computed, as for `select`. Picks are those of the CPU up to near-ties, so
                     cells of both may share one `out`

    The rules. All strategies get the same splits, heads, penalties and seeds. A strategy is handed the features of
    the pool's rows in shuffled order and nothing else: no labels, ids, columns, test rows. Strategies without chance
    run once per split. Differences to random are paired seed by seed; Evaluation says what they allow to say.
    Raises InvalidInput and StoreError. Memory: about 4 (n + t) d bytes for the widest view, 4 n^2 for n <= 10,000.
    """
    return prepare(
        store_or_arrays,
        labels,
        strategies,
        budgets,
        seeds,
        heads=heads,
        test=test,
        splits=splits,
        folds=folds,
        groups=groups,
        backbones=backbones,
        baseline_budgets=baseline_budgets,
        level=level,
    ).run(out, fresh=fresh, progress=progress, device=device)
