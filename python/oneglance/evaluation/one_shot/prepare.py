"""Everything that can be wrong with a one-shot evaluation, found before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..._check import positive_number
from ..._types import Float64Array, FloatArray
from ...errors import InvalidInput
from ...strategies import Pool, as_pool
from ..entrants import BASELINE, Entrant, as_entrants
from ..job import patterns_of
from ..prepare import (
    as_test_pool,
    check_classes,
    check_seeds_of_splits,
    own_test_classes,
    read_budgets,
    read_groups,
    read_seeds,
    same_widths,
    usable_rows,
)
from ..splits import TEST_SHARE, TrainTest, as_classes, codes_of, make_splits, shuffled_pool
from .heads import CLASSIFIERS, REGRESSORS, Task
from .job import OneShotJob
from .rounds import ITERATIVE

TASKS = ("classification", "regression")
BUDGETS = ("2%", "5%", "10%")
INITIAL = "2%"


def default_strategies(backbones: Sequence[str], task: str, p: float) -> dict[str, Any]:
    """The paper's comparison: Lewis weights combined by their maximum, their mean, those of each single backbone;
    random, k-centre; and the iterative entropy and query by committee where they have a meaning."""
    found: dict[str, Any] = {BASELINE: BASELINE, "lewis": ("lewis", {"p": p})}
    if len(backbones) > 1:
        found["lewis mean"] = ("lewis", {"p": p, "combine": "mean"})
        found |= {f"lewis single:{name}": ("lewis", {"p": p, "combine": f"single:{name}"}) for name in backbones}
    found["farthest"] = "farthest"
    if task == "classification":
        found["entropy"] = "entropy"
    if len(backbones) > 1:
        found["qbc"] = "qbc"
    return found


def prepare_one_shot(
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
) -> OneShotJob:
    """Checks everything that `evaluate_one_shot` would be asked, and computes nothing."""
    head, p = _head(task, head, p)
    seed_list = read_seeds(seeds)
    if not 0.5 <= level < 1.0:
        raise InvalidInput(f"level must lie in [0.5, 1), got {level:g}. Use 0.95 for 95 %.")
    pool = as_pool(store_or_arrays, backbones)
    if not pool.features:
        raise InvalidInput(f"{pool.where} holds patterns only, the heads need one row of features per item.")
    used = list(pool.features)
    entrants = as_entrants(default_strategies(used, task, p) if strategies is None else strategies, ITERATIVE)
    notes: list[str] = []
    own_test = None if test is None or isinstance(test, (int, float)) else test
    if own_test is not None and (splits is not None or folds is not None):
        raise InvalidInput("splits and folds have no meaning with a test set of its own. Drop them, or test=.")
    class_names: Sequence[str] = ()
    known: Any
    tested: tuple[dict[str, FloatArray], Any] | None = None
    if task == "regression":
        values = as_targets(labels, pool)
        kept, features = usable_rows(pool, used, np.isfinite(values).all(axis=1), notes, "items")
        known = values[kept]
        if own_test is not None:
            tested = _own_test_targets(own_test, used, known.shape[1], notes)
    else:
        names = as_classes(labels, pool)
        kept, features = usable_rows(pool, used, [name is not None for name in names], notes, "items")
        if own_test is None:
            (known,), class_names = codes_of([names[row] for row in kept])
        else:
            tested, known, class_names = own_test_classes(own_test, used, names, kept, notes)
        check_classes(class_names, kept.size)
    if tested is None:
        grouping, how_grouped = read_groups(groups, pool, kept)
        share = TEST_SHARE if test is None else float(test)
        divided = make_splits(kept.size, share, splits, folds, grouping)
        how = {"share": None if folds else share, "splits": len(divided), "folds": folds, "groups": how_grouped}
        if how_grouped:
            notes.append(f"groups ({how_grouped}) are never divided between pool and test rows")
    else:
        same_widths(features, tested[0])
        divided = [TrainTest(shuffled_pool(kept.size), np.empty(0, dtype=np.int64))]
        how = {"own_rows": len(tested[1])}
    check_seeds_of_splits(seed_list, len(divided))
    if task == "regression":
        _check_spread(known, divided)
    smallest = min(split.pool.size for split in divided)
    n_initial = 0 if initial in (0, "0", "0%") else read_budgets(initial, smallest, [], "initial")[0]
    wanted = read_budgets(budgets, smallest, notes, "budgets")
    if n_initial + wanted[-1] > smallest:
        raise InvalidInput(
            f"initial labels and the largest budget are {n_initial} + {wanted[-1]}, the pool of a split has only "
            f"{smallest} rows. Ask for fewer."
        )
    _check_entrants(entrants, used, task, n_initial)
    return OneShotJob(
        features,
        {name: patterns_of(pool.patterns[name], kept) for name in used if name in pool.patterns},
        known,
        class_names,
        tested,
        divided,
        entrants,
        Task(task == "regression", head, p, known.shape[1] if task == "regression" else len(class_names)),
        p,
        n_initial,
        wanted,
        seed_list,
        level,
        None if features_s is None else positive_number(features_s, "features_s", zero_ok=True),
        how,
        notes,
    )


def _head(task: str, head: str | None, p: Any) -> tuple[str, float]:
    if task not in TASKS:
        raise InvalidInput(f"task must be one of {list(TASKS)}, got {task!r}.")
    if p == np.inf:
        raise InvalidInput("p must be finite: the largest error of a head has no mean over rows. Use p=8, say.")
    norm = positive_number(p, "p")
    known = REGRESSORS if task == "regression" else CLASSIFIERS
    if head is not None and head not in known:
        raise InvalidInput(f"head of a {task} must be one of {list(known)}, got {head!r}.")
    if task == "regression" and norm < 1:
        raise InvalidInput(f"p must be >= 1, got {norm:g}: below 1 the loss is not convex and has many minima.")
    return head or known[0], norm


def as_targets(labels: Any, pool: Pool, name: str = "labels") -> Float64Array:
    """(n, c) numbers; a row with NaN or None in it has no label.

    labels  (n,) or (n, c) numbers, the name of a column of the store, or {item id: number or numbers}
    """
    if isinstance(labels, str):
        if labels not in pool.columns:
            known = f"its columns are {list(pool.columns)}" if pool.columns else "it has no columns"
            raise InvalidInput(f"{name} names the column {labels!r}, but {pool.where} has no such: {known}.")
        labels = pool.columns[labels]
    elif isinstance(labels, Mapping):
        keys = np.array([*labels, None], dtype=object)[:-1]
        rows = pool.ordered_positions(keys if pool.ids is not None else keys.astype(np.int64), name)
        some = _numbers(list(labels.values()), name)
        values = np.full((pool.n_items, *some.shape[1:]), np.nan)
        values[rows] = some
        labels = values
    values = _numbers(labels.detach().cpu() if hasattr(labels, "detach") else labels, name)
    if values.shape[0] != pool.n_items:
        raise InvalidInput(
            f"{name} must hold one number or row of numbers per item, ({pool.n_items},) or ({pool.n_items}, targets), "
            f"got shape {values.shape}."
        )
    if np.isinf(values).any():
        raise InvalidInput(f"{name} must be finite, or NaN where there is no label; got infinity.")
    return values


def _numbers(values: Any, name: str) -> Float64Array:
    """(n, c) float64; None and "" become NaN."""
    array = np.asarray(values)
    if array.dtype.kind in "OUS":
        array = np.where((array == None) | (array == ""), "nan", array)  # noqa: E711  entry by entry
    try:
        numbers = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"{name} of a regression must be numbers: {error}. For classes use task=classification."
        ) from None
    if numbers.ndim == 1:
        numbers = numbers[:, None]
    if numbers.ndim != 2 or numbers.shape[1] == 0:
        raise InvalidInput(f"{name} must be (items,) or (items, targets), got shape {array.shape}.")
    return numbers


def _own_test_targets(
    test: Any, used: Sequence[str], n_targets: int, notes: list[str]
) -> tuple[dict[str, FloatArray], Float64Array]:
    other = as_test_pool(test, used)
    values = as_targets(test[1], other, "labels of test")
    if values.shape[1] != n_targets:
        raise InvalidInput(f"labels of test have {values.shape[1]} targets, those of the pool {n_targets}.")
    rows, features = usable_rows(other, used, np.isfinite(values).all(axis=1), notes, "test rows")
    return features, values[rows]


def _check_spread(targets: Float64Array, splits: Sequence[TrainTest]) -> None:
    for split in splits:
        values = targets[split.pool]
        constant = np.flatnonzero(values.std(axis=0) <= 1e-12 * np.abs(values).max(axis=0))
        if constant.size:
            raise InvalidInput(f"labels: target {constant[0]} is the same for all rows of a pool. Leave it out.")


def _check_entrants(entrants: Sequence[Entrant], used: Sequence[str], task: str, n_initial: int) -> None:
    for entrant in entrants:
        if entrant.use_weights:
            raise InvalidInput(
                f"strategies: {entrant.name!r} asks for use_weights, but heads with and without weights are shown for "
                "every strategy that has them. Drop it."
            )
        if entrant.strategy not in ITERATIVE:
            continue
        if n_initial == 0:
            raise InvalidInput(f'strategies: "{entrant.strategy}" needs labels to begin with. Use initial=.')
        if entrant.strategy == "qbc" and len(used) < 2:
            raise InvalidInput('strategies: "qbc" asks where heads disagree, and there is one backbone only. Drop it.')
        if entrant.strategy == "entropy" and task == "regression":
            raise InvalidInput('strategies: "entropy" needs probabilities, a regression has none. Use "qbc".')
        rounds = entrant.params["rounds"]
        if not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 1:
            raise InvalidInput(f"strategies: rounds must be an integer >= 1, got {rounds!r} for {entrant.name!r}.")
