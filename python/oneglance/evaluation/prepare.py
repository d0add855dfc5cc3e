"""Everything that can be wrong with an evaluation, found before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import seed_int
from .._types import FloatArray, IntArray
from ..errors import InvalidInput
from ..store.files import digest_of
from ..strategies import Pool, as_pool
from ..strategies.budget import parse_budget
from ..strategies.columns import missing
from .entrants import as_entrants
from .job import Job, patterns_of
from .probes import PROBES
from .scene import MOST_COVERED, STACKED
from .splits import TEST_SHARE, TrainTest, as_classes, codes_of, make_splits, shuffled_pool

HEADS = ("ridge", "linear", "knn")
BUDGETS = ("0.5%", "1%", "2%", "5%", "10%")
_LEAST_SEEDS = 3


def prepare(
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
) -> Job:
    """Checks everything that `evaluate` would be asked, and computes nothing."""
    entrants = as_entrants(strategies)
    seed_list = read_seeds(seeds)
    if not 0.5 <= level < 1.0:
        raise InvalidInput(f"level must lie in [0.5, 1), got {level:g}. Use 0.95 for 95 %.")
    head_list = [heads] if isinstance(heads, str) else list(heads)
    if not head_list or len(set(head_list)) < len(head_list) or not set(head_list) <= set(PROBES):
        raise InvalidInput(f"heads must be different ones among {list(PROBES)}, at least one; got {head_list}.")
    pool = as_pool(store_or_arrays)
    if not pool.features:
        raise InvalidInput(f"{pool.where} holds patterns only, the heads need one row of features per item.")
    views = _views(list(pool.features), backbones)
    used = list(dict.fromkeys(name for names in views.values() for name in names))
    notes: list[str] = []
    names = as_classes(labels, pool)
    kept, features = usable_rows(pool, used, [name is not None for name in names], notes, "items")
    own_test = None if test is None or isinstance(test, (int, float, np.number)) else test
    if own_test is None:
        (codes,), class_names = codes_of([names[row] for row in kept])
        grouping, how_grouped = read_groups(groups, pool, kept)
        share = TEST_SHARE if test is None else float(test)
        divided = make_splits(kept.size, share, splits, folds, grouping)
        how = {"share": None if folds else share, "splits": len(divided), "folds": folds, "groups": how_grouped}
        if how_grouped:
            notes.append(f"groups ({how_grouped}) are never divided between pool and test rows")
        tested = None
    else:
        if splits is not None or folds is not None:
            raise InvalidInput("splits and folds have no meaning with a test set of its own. Drop them, or test=.")
        tested, codes, class_names = own_test_classes(own_test, used, names, kept, notes)
        same_widths(features, tested[0])
        divided = [TrainTest(shuffled_pool(kept.size), np.empty(0, dtype=np.int64))]
        how = {"own_rows": int(tested[1].size)}
    check_classes(class_names, kept.size)
    check_seeds_of_splits(seed_list, len(divided))
    smallest = min(split.pool.size for split in divided)
    wanted = read_budgets(budgets, smallest, notes, "budgets")
    more = read_budgets(baseline_budgets, smallest, notes, "baseline_budgets") if len(baseline_budgets) else []
    if smallest > MOST_COVERED:
        notes.append(f"coverage is measured over {MOST_COVERED:,} random rows of the pool; its largest may be larger")
    alone = [entrant.name for entrant in entrants if not entrant.seeded]
    if alone:
        runs = "once" if len(divided) == 1 else f"once per split ({len(divided)})"
        notes.append(f"no chance in {', '.join(alone)}: run {runs}, seeds do not matter")
    return Job(
        features,
        {name: patterns_of(pool.patterns[name], kept) for name in used if name in pool.patterns},
        codes,
        class_names,
        tested,
        divided,
        views,
        entrants,
        wanted,
        more,
        seed_list,
        head_list,
        level,
        how,
        notes,
    )


def check_classes(class_names: Sequence[str], n_items: int) -> None:
    """Raises InvalidInput where labels are no classes to learn."""
    if len(class_names) < 2:
        raise InvalidInput(f"labels must hold at least 2 classes, got {class_names}. Nothing can be told apart.")
    if 2 * len(class_names) > n_items:
        raise InvalidInput(
            f"labels hold {len(class_names)} classes for {n_items} items: these look like names of items. "
            "Give their classes."
        )


def check_seeds_of_splits(seeds: Sequence[int], n_splits: int) -> None:
    """Raises InvalidInput where a split has no seed."""
    if n_splits > len(seeds):
        raise InvalidInput(f"seeds are {len(seeds)}, splits {n_splits}: each needs one. More seeds, or fewer splits.")
    if {seed % n_splits for seed in seeds} != set(range(n_splits)):
        raise InvalidInput(f"seeds leave some of {n_splits} splits without one (seed mod splits). Use 0, 1, 2, ...")


def read_seeds(seeds: Any) -> list[int]:
    """A number of seeds, or the seeds: at least three distinct ones."""
    if isinstance(seeds, (int, np.integer)) and not isinstance(seeds, bool):
        found = list(range(int(seeds)))
    elif isinstance(seeds, (str, bool)) or not hasattr(seeds, "__iter__"):
        raise InvalidInput(f"seeds must be a number of seeds or a list of them, got {seeds!r}.")
    else:
        found = [seed_int(seed, "seeds") for seed in seeds]
    if len(set(found)) < len(found):
        raise InvalidInput(f"seeds must be distinct, got {found}.")
    if len(found) < _LEAST_SEEDS:
        raise InvalidInput(f"seeds must be at least {_LEAST_SEEDS} for an interval, got {len(found)}. Use 20.")
    return found


def read_budgets(budgets: Any, n_pool: int, notes: list[str], name: str) -> list[int]:
    """Counts, ascending and distinct, of counts and percentages of the pool."""
    asked = [budgets] if isinstance(budgets, (str, int, np.integer)) else list(budgets)
    if not asked:
        raise InvalidInput(f'{name} must hold at least one count or percentage like "2%", got none.')
    try:
        found = [parse_budget(budget, n_pool, " in the pool of a split") for budget in asked]
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from None
    if len(set(found)) < len(found):
        notes.append(f"{name} {', '.join(map(str, asked))} are {len(set(found))} different counts of {n_pool} rows")
    return sorted(set(found))


def _views(known: list[str], backbones: Any) -> dict[str, tuple[str, ...]]:
    if backbones is None:
        asked = [*known, STACKED] if len(known) > 1 else known
    else:
        asked = [backbones] if isinstance(backbones, str) else [str(name) for name in backbones]
    views: dict[str, tuple[str, ...]] = {}
    for name in asked:
        members = (name,) if name in known else tuple(known) if name == STACKED else tuple(name.split("+"))
        if not set(members) <= set(known) or len(set(members)) < len(members):
            raise InvalidInput(f'backbones must be among {known}, "a+b" of them, or "{STACKED}"; got {name!r}.')
        views[name] = members
    if not views:
        raise InvalidInput(f"backbones must name at least one of {known}, got none.")
    return views


def usable_rows(
    pool: Pool, used: Sequence[str], has_label: npt.ArrayLike, notes: list[str], what: str
) -> tuple[IntArray, dict[str, FloatArray]]:
    """Positions of items that are valid, labelled and finite, and their rows."""
    labelled = np.asarray(has_label, dtype=np.bool_)
    kept = np.flatnonzero(labelled & pool.valid).astype(np.int64)
    if kept.size < pool.n_items:
        notes.append(
            f"{kept.size:,} of {pool.n_items:,} {what} take part: {int((~labelled).sum()):,} have no label, "
            f"{int((labelled & ~pool.valid).sum()):,} of the others are invalid"
        )
    rows = {name: np.asarray(pool.features[name].take(kept)) for name in used}
    finite = np.ones(kept.size, dtype=np.bool_)
    for values in rows.values():
        finite &= np.isfinite(values).all(axis=1)
    if not finite.all():
        notes.append(f"{int((~finite).sum()):,} {what} have NaN or infinity and take no part")
        kept, rows = kept[finite], {name: values[finite] for name, values in rows.items()}
    if not kept.size:
        raise InvalidInput(f"labels leave no usable item in {pool.where}: none is valid with a label.")
    return kept, rows


def read_groups(groups: Any, pool: Pool, kept: IntArray) -> tuple[list[Any] | None, str | None]:
    """A group per kept item (None where it is missing: such an item stands alone), or None, and where groups come
    from in words."""
    if groups is None:
        values = pool.columns.get("group")
        if values is None or all(missing(value) for value in values.tolist()):
            return None, None
        return _groups_of(values[kept]), "the column group"
    if isinstance(groups, str):
        if groups not in pool.columns:
            raise InvalidInput(f"groups names the column {groups!r}, but {pool.where} has only {list(pool.columns)}.")
        return _groups_of(pool.columns[groups][kept]), f"the column {groups}"
    values = np.asarray(groups, dtype=object)
    if values.shape != (pool.n_items,):
        raise InvalidInput(f"groups must hold one group per item, shape ({pool.n_items},), got shape {values.shape}.")
    found = _groups_of(values[kept])
    return found, f"given, {digest_of([repr(found).encode()])[:8]}"


def _groups_of(values: npt.NDArray[Any]) -> list[Any]:
    return [None if missing(value) else value for value in values.tolist()]


def as_test_pool(test: Any, used: Sequence[str]) -> Pool:
    """The features of a test set of its own, (features, labels), under the backbones that are used."""
    if not isinstance(test, tuple) or len(test) != 2:
        raise InvalidInput(
            "test must be a share such as 0.2, or (features, labels) of a test set: a store or arrays, its labels; "
            f"got {type(test).__name__}."
        )
    other = as_pool(test[0])
    if list(other.features) == ["features"] and len(used) == 1:  # one bare array beside one backbone
        other = Pool({used[0]: other.features["features"]}, other.valid, where="the test set")
    missing = [name for name in used if name not in other.features]
    if missing:
        raise InvalidInput(f"test lacks the backbones {missing}, it has {list(other.features)}. Embed both alike.")
    return other


def own_test_classes(
    test: Any, used: Sequence[str], names: Sequence[str | None], kept: IntArray, notes: list[str]
) -> tuple[tuple[dict[str, FloatArray], IntArray], IntArray, list[str]]:
    """Features and codes of a test set of its own, codes of the pool, and the classes of both."""
    other = as_test_pool(test, used)
    test_names = as_classes(test[1], other, "labels of test")
    rows, features = usable_rows(other, used, [name is not None for name in test_names], notes, "test rows")
    (codes, test_codes), class_names = codes_of([names[row] for row in kept], [test_names[row] for row in rows])
    strange = sorted(set(test_codes.tolist()) - set(codes.tolist()))
    if strange:
        notes.append(
            f"{len(strange)} classes of the test set are in no label of the pool: {class_names[strange[0]]!r} .."
        )
    return (features, test_codes), codes, class_names


def same_widths(features: Mapping[str, FloatArray], test: Mapping[str, FloatArray]) -> None:
    """Raises InvalidInput where a test set was embedded with other weights."""
    for name, rows in features.items():
        if rows.shape[1] != test[name].shape[1]:
            raise InvalidInput(
                f'test has {test[name].shape[1]} features of backbone "{name}", the pool has {rows.shape[1]}. '
                "Embed both with the same weights."
            )
