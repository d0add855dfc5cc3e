"""`evaluate`: learning curves of strategies against random, made so that it is hard to fool oneself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._check import seed_int
from .._run_head import run_head
from .._types import FloatArray, IntArray, Patterns, RowShards
from ..errors import InvalidInput
from ..store.files import digest_of
from ..strategies import Pool, as_pool
from ..strategies.budget import parse_budget
from .cells import CellStore, Key, folder_name
from .entrants import BASELINE, Entrant, as_entrants
from .evaluation import Evaluation, assembled
from .probes import PROBES
from .scene import MOST_COVERED, STACKED, Scene
from .splits import TEST_SHARE, TrainTest, as_classes, codes_of, make_splits, shuffled_pool

HEADS = ("ridge", "linear", "knn")
BUDGETS = ("0.5%", "1%", "2%", "5%", "10%")
_LEAST_SEEDS = 3

Unit: TypeAlias = tuple[str, str, int]
"""backbone, strategy, split"""


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
) -> Evaluation:
    """What strategies are worth on a pool whose labels are known, against random picks, with intervals.

    store_or_arrays  as for `select`
    labels           (n,) classes; or the name of a column of the store; or {item id: class}. None, NaN, "" and -1
                     are no label: such items take no part at all
    strategies       names of registered strategies (all by default), "kmeans:metric=cosine" with parameters, or
                     {name: text, (strategy, {parameter: value}) or function (features, budget, seed) -> positions}.
                     "random" is always there. use_weights=true among the parameters puts the strategy's weights
                     into the heads' loss
    budgets          counts, or percentages of the pool of a split: "2%"
    seeds            a number of seeds (0, 1, ...), or the seeds; at least 3
    heads            "ridge" (closed form, penalty by leave-one-out), "linear" (multinomial logistic regression,
                     fixed penalty), "knn" (k by leave-one-out); all on rows at unit length
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
    ).run(out, fresh=fresh, progress=progress)


@dataclass(frozen=True, eq=False)
class Job:
    """An evaluation that is ready to run: everything is checked, nothing computed.

    features  backbone -> rows of the labelled items; views  name -> its backbones; classes  (n_labelled,) codes
    test      (features, classes) of a test set of its own, else None: then `splits` divide the labelled items
    """

    features: Mapping[str, FloatArray]
    patterns: Mapping[str, Patterns]
    classes: IntArray
    class_names: Sequence[str]
    test: tuple[Mapping[str, FloatArray], IntArray] | None
    splits: Sequence[TrainTest]
    views: Mapping[str, tuple[str, ...]]
    entrants: Sequence[Entrant]
    budgets: Sequence[int]
    baseline_budgets: Sequence[int]
    seeds: Sequence[int]
    heads: Sequence[str]
    level: float
    how_split: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def n_pool(self) -> int:
        """Rows of the smallest pool."""
        return min(split.pool.size for split in self.splits)

    @property
    def n_test(self) -> int:
        """Rows of the smallest test part."""
        return int(self.test[1].size) if self.test else min(split.test.size for split in self.splits)

    def budgets_of(self, entrant: Entrant) -> list[int]:
        """Random has further ones."""
        more = self.baseline_budgets if entrant.name == BASELINE else ()
        return sorted({*self.budgets, *more})

    def seeds_of(self, entrant: Entrant, split: int) -> list[int]:
        """The seeds of a split; the first of them for a strategy without chance."""
        here = [seed for seed in self.seeds if seed % len(self.splits) == split]
        return here if entrant.seeded else here[:1]

    def cells(self) -> Iterator[Key]:
        """Every cell, in the order of computation."""
        for view in self.views:
            for split in range(len(self.splits)):
                for entrant in self.entrants:
                    for seed in self.seeds_of(entrant, split):
                        for budget in self.budgets_of(entrant):
                            yield Key(view, entrant.name, split, seed, budget)

    def head(self) -> dict[str, Any]:
        """What makes two evaluations one: not the lists that may grow (strategies, budgets, seeds, backbones)."""
        test_classes = self.classes[:0] if self.test is None else self.test[1]
        request = {
            "command": "evaluate",
            "labels": digest_of([self.classes.tobytes(), test_classes.tobytes(), "\n".join(self.class_names).encode()]),
            "test": dict(self.how_split),
            "heads": list(self.heads),
        }
        return run_head(request)

    def store(self, out: str | PathLike[str] | None) -> CellStore:
        """Where finished cells are, or would be: features and parameters are part of the place. Reads all features."""
        if out is None:
            return CellStore(None)
        hashes = {
            name: _hash(rows, None if self.test is None else self.test[0][name]) for name, rows in self.features.items()
        }
        hashes.update({name: hashes[name] + _pattern_hash(found) for name, found in self.patterns.items()})
        views = {view: folder_name(view, "".join(hashes[name] for name in names)) for view, names in self.views.items()}
        return CellStore(Path(out), views, {e.name: folder_name(e.name, e.identity) for e in self.entrants})

    def run(
        self,
        out: str | PathLike[str] | None = None,
        *,
        fresh: bool = False,
        progress: bool | Callable[[str], None] | None = None,
    ) -> Evaluation:
        """Computes the cells that are missing, and puts all together."""
        store = self.store(out)
        if out is not None:
            store.claim_folder(self.head(), fresh)
        told: dict[str, None] = dict.fromkeys(self.notes)
        keys = list(self.cells())
        watch = _Watch(sum(store.get(key) is None for key in keys), len(keys), progress)
        scenes = _Scenes(self)
        units = list(dict.fromkeys(key.unit for key in keys))
        waiting: list[Unit] = []
        for wait, round_ in ((False, units), (True, waiting)):
            for unit in round_:
                if not self._run_unit(unit, store, scenes, told, watch, wait):
                    waiting.append(unit)
        return assembled(self, store, list(told))

    def _run_unit(
        self,
        unit: Unit,
        store: CellStore,
        scenes: _Scenes,
        told: dict[str, None],
        watch: _Watch,
        wait: bool,
    ) -> bool:
        """False if another process is at it."""
        view, name, split = unit
        entrant = next(entrant for entrant in self.entrants if entrant.name == name)

        def missing(seed: int) -> list[int]:
            return [b for b in self.budgets_of(entrant) if store.get(Key(view, name, split, seed, b)) is None]

        seeds = self.seeds_of(entrant, split)
        if not any(missing(seed) for seed in seeds):
            return True
        lock = store.lock(unit, wait=wait)
        if lock is None and store.folder is not None:
            return False
        try:
            for seed in seeds:
                wanted = missing(seed)
                if not wanted:
                    continue
                scene = scenes.get(view, split)
                # One call per budget unless budgets share a selection: a kill then costs one cell.
                for part in [wanted] if entrant.in_order else [[budget] for budget in wanted]:
                    found = scene.cells(entrant, part, seed, self.heads, told)
                    for budget, cell in found.items():
                        store.put(Key(view, name, split, seed, budget), cell)
                    watch.done(len(found), f"{view}, {name}")
        finally:
            if lock is not None:
                lock.release()
        return True

    def test_rows(self, split: int) -> IntArray:
        """Test rows of a split: positions among the labelled items, or in the test set of its own."""
        return np.arange(self.n_test) if self.test else self.splits[split].test


class _Scenes:
    """The scene at hand; the one before is forgotten, so that memory holds one."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._at: tuple[str, int] | None = None
        self._scene: Scene | None = None

    def get(self, view: str, split: int) -> Scene:
        if self._scene is None or self._at != (view, split):
            job, rows = self._job, self._job.splits[split]
            names = job.views[view]
            self._scene = None
            if job.test is None:
                test = {name: job.features[name][rows.test] for name in names}
                test_classes = job.classes[rows.test]
            else:
                test, test_classes = {name: job.test[0][name] for name in names}, job.test[1]
            self._scene = Scene(
                {name: job.features[name][rows.pool] for name in names},
                test,
                job.classes[rows.pool],
                test_classes,
                {name: _patterns_of(job.patterns[name], rows.pool) for name in names if name in job.patterns},
            )
            self._at = view, split
        return self._scene


class _Watch:
    """Says how far it is, at most every five seconds."""

    def __init__(self, n_missing: int, n_cells: int, progress: Any) -> None:
        from ..strategies.choose import _noter

        self._note = _noter(progress)
        self._left, self._total, self._finished = n_missing, n_missing, 0
        self._start = self._last = time.perf_counter()
        if n_missing < n_cells:
            self._note(f"{n_cells - n_missing:,} of {n_cells:,} cells are there already")

    def done(self, count: int, what: str) -> None:
        self._finished += count
        now = time.perf_counter()
        if now - self._last >= 5 or self._finished == self._total:
            left_s = (now - self._start) / self._finished * max(0, self._total - self._finished)
            self._note(f"{self._finished:,} of {self._total:,} cells ({what}), about {left_s:.0f} s left")
            self._last = now


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
    seed_list = _seeds(seeds)
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
    kept, features = _usable_rows(pool, used, names, notes, "items")
    own_test = None if test is None or isinstance(test, (int, float)) else test
    if own_test is None:
        (codes,), class_names = codes_of([names[row] for row in kept])
        grouping, how_grouped = _groups(groups, pool, kept)
        share = TEST_SHARE if test is None else float(test)
        divided = make_splits(kept.size, share, splits, folds, grouping)
        how = {"share": None if folds else share, "splits": len(divided), "folds": folds, "groups": how_grouped}
        if how_grouped:
            notes.append(f"groups ({how_grouped}) are never divided between pool and test rows")
        tested = None
    else:
        if splits is not None or folds is not None:
            raise InvalidInput("splits and folds have no meaning with a test set of its own. Drop them, or test=.")
        tested, codes, class_names = _own_test(own_test, used, names, kept, notes)
        _same_widths(features, tested[0])
        divided = [TrainTest(shuffled_pool(kept.size), np.empty(0, dtype=np.int64))]
        how = {"own_rows": int(tested[1].size)}
    if len(class_names) < 2:
        raise InvalidInput(f"labels must hold at least 2 classes, got {class_names}. Nothing can be told apart.")
    if 2 * len(class_names) > kept.size:
        raise InvalidInput(
            f"labels hold {len(class_names)} classes for {kept.size} items: these look like names of items. "
            "Give their classes."
        )
    if len(divided) > len(seed_list):
        raise InvalidInput(f"seeds are {len(seed_list)}, splits {len(divided)}: each split needs one. Use more seeds.")
    if {seed % len(divided) for seed in seed_list} != set(range(len(divided))):
        raise InvalidInput(f"seeds leave some of {len(divided)} splits without one (seed mod splits). Use 0, 1, 2, ...")
    smallest = min(split.pool.size for split in divided)
    wanted = _budgets(budgets, smallest, notes, "budgets")
    more = _budgets(baseline_budgets, smallest, notes, "baseline_budgets") if len(baseline_budgets) else []
    if smallest > MOST_COVERED:
        notes.append(f"coverage is measured over {MOST_COVERED:,} random rows of the pool; its largest may be larger")
    alone = [entrant.name for entrant in entrants if not entrant.seeded]
    if alone:
        runs = "once" if len(divided) == 1 else f"once per split ({len(divided)})"
        notes.append(f"no chance in {', '.join(alone)}: run {runs}, seeds do not matter")
    return Job(
        features,
        {name: _patterns_of(pool.patterns[name], kept) for name in used if name in pool.patterns},
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


def _seeds(seeds: Any) -> list[int]:
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


def _budgets(budgets: Any, n_pool: int, notes: list[str], name: str) -> list[int]:
    asked = [budgets] if isinstance(budgets, (str, int)) else list(budgets)
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


def _usable_rows(
    pool: Pool, used: Sequence[str], names: Sequence[str | None], notes: list[str], what: str
) -> tuple[IntArray, dict[str, FloatArray]]:
    """Positions of items that are valid, labelled and finite, and their rows."""
    labelled = np.array([name is not None for name in names], dtype=np.bool_)
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


def _groups(groups: Any, pool: Pool, kept: IntArray) -> tuple[list[Any] | None, str | None]:
    if groups is None:
        values = pool.columns.get("group")
        if values is None or all(value is None for value in values.tolist()):
            return None, None
        return values[kept].tolist(), "the column group"
    if isinstance(groups, str):
        if groups not in pool.columns:
            raise InvalidInput(f"groups names the column {groups!r}, but {pool.where} has only {list(pool.columns)}.")
        return pool.columns[groups][kept].tolist(), f"the column {groups}"
    values = np.asarray(groups, dtype=object)
    if values.shape != (pool.n_items,):
        raise InvalidInput(f"groups must hold one group per item, shape ({pool.n_items},), got shape {values.shape}.")
    return values[kept].tolist(), f"given, {digest_of([repr(values[kept].tolist()).encode()])[:8]}"


def _own_test(
    test: Any, used: Sequence[str], names: Sequence[str | None], kept: IntArray, notes: list[str]
) -> tuple[tuple[dict[str, FloatArray], IntArray], IntArray, list[str]]:
    if not isinstance(test, tuple) or len(test) != 2:
        raise InvalidInput(
            "test must be a share such as 0.2, or (features, labels) of a test set: a store or arrays, its classes; "
            f"got {type(test).__name__}."
        )
    other = as_pool(test[0])
    if list(other.features) == ["features"] and len(used) == 1:  # one bare array beside one backbone
        other = Pool({used[0]: other.features["features"]}, other.valid, where="the test set")
    missing = [name for name in used if name not in other.features]
    if missing:
        raise InvalidInput(f"test lacks the backbones {missing}, it has {list(other.features)}. Embed both alike.")
    test_names = as_classes(test[1], other, "labels of test")
    rows, features = _usable_rows(other, used, test_names, notes, "test rows")
    (codes, test_codes), class_names = codes_of([names[row] for row in kept], [test_names[row] for row in rows])
    strange = sorted(set(test_codes.tolist()) - set(codes.tolist()))
    if strange:
        notes.append(
            f"{len(strange)} classes of the test set are in no label of the pool: {class_names[strange[0]]!r} .."
        )
    return (features, test_codes), codes, class_names


def _same_widths(features: Mapping[str, FloatArray], test: Mapping[str, FloatArray]) -> None:
    for name, rows in features.items():
        if rows.shape[1] != test[name].shape[1]:
            raise InvalidInput(
                f'test has {test[name].shape[1]} features of backbone "{name}", the pool has {rows.shape[1]}. '
                "Embed both with the same weights."
            )


def _hash(rows: FloatArray, test: FloatArray | None) -> str:
    parts = [rows] if test is None else [rows, test]
    return digest_of(np.ascontiguousarray(part).view(np.uint8).data.cast("B") for part in parts)


def _pattern_hash(patterns: Patterns) -> str:
    shards = (np.ascontiguousarray(shard).view(np.uint8).data.cast("B") for shard in patterns.rows)
    return digest_of([patterns.offsets.tobytes(), *shards])


def _patterns_of(patterns: Patterns, items: IntArray) -> Patterns:
    counts = patterns.counts()[items]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = np.repeat(patterns.offsets[items] - offsets[:-1], counts) + np.arange(offsets[-1])
    return Patterns(RowShards((patterns.rows.take(rows),)), offsets)
