"""Step evaluate: how good the result is, and what fewer labels would have given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..._types import BoolArray, IntArray
from ...adapt import Heads, load_heads
from ...adapt.classify import make_folds
from ...errors import InvalidInput
from ...evaluation.threads import one_thread
from ...store import FeatureStore, open_store
from ...strategies.pool import Pool, as_pool
from ..cells import Cells
from ..gates import Gate, at_least, at_most
from ..hashing import key_of
from ..methods import Known
from ..methods.base import head_settings
from ..methods.judge import fit, largest
from ..record import Outcome, Record
from ..trial import columns_mark, mean_dict, order_of, random_order, share_dict, sizes_of, truth_of, with_label
from .adapt import known_labels
from .audit import LEFT_OUT, left_out_items, left_out_mark
from .base import Context, Step, test_pool

FOLDER = "evaluate"
TEST_SET, REST, IN_TURN = "the test set", "items of the pool without a label", "labels held out in turn"


@dataclass(frozen=True, eq=False)
class Judge:
    """Where accuracy is measured: rows of a store or pool, and their classes."""

    how: str
    store: Any
    rows: IntArray
    truth: Any

    def hits(self, heads: Heads, among: BoolArray | None = None) -> BoolArray:
        """Named right, of all rows or those among them."""
        rows, truth = (self.rows, self.truth) if among is None else (self.rows[among], self.truth[among])
        return np.asarray(heads.predict_ensemble(self.store, rows=rows) == truth)


@dataclass(frozen=True, eq=False)
class _Trial:
    """What every repetition needs. drawn: rows that random picks are drawn from, none where the pool is not known."""

    store: FeatureStore
    known: Known
    settings: Mapping[str, Any]
    judge: Judge | None
    drawn: IntArray
    pool_truth: Any
    seed: int
    shares: tuple[float, ...]


def run(ctx: Context) -> Outcome:
    adapted, given = ctx.records["adapt"].summary, ctx.config["evaluate"]
    store = open_store(ctx.folder / adapted["store"])
    heads = load_heads(ctx.folder / adapted["heads_folder"])
    pool = as_pool(store, list(heads))
    known = known_labels(ctx, pool)
    judge, drawn, pool_truth = _where(ctx, adapted, store, pool, known)
    summary: dict[str, Any] = {
        "how": judge.how if judge else IN_TURN,
        "level": given["level"],
        "n_labels": known.rows.size,
    }
    if judge is None:
        summary |= {name: adapted["judged"][name] for name in ("accuracy", "majority", "gain", "n")}
    else:
        summary |= _scores(heads, judge, known, given["level"])
    trial = _trial(ctx, adapted, known, judge, drawn, pool_truth)
    ctx.say(f"evaluate: on {summary['how']}; a learning curve of {given['repeats']} orders of the labels")
    cells = Cells(ctx.folder / FOLDER, key_of(ctx.parts))
    repeats = range(given["repeats"])
    found = [cells.get(f"repeat-{repeat}", partial(_repetition, trial, repeat)) for repeat in repeats]
    summary["curve"] = _curve(found, given["level"])
    summary["curve_of"] = "frozen backbones" if "curve_store" in adapted else "the backbones in use"
    if trial.drawn.size and not any("random" in point for point in summary["curve"]):
        summary["without_random"] = "No random picks stand beside: they leave no item of the pool to judge both on."
        ctx.say(f"evaluate: {summary['without_random']}")
    return Outcome(summary)


def _trial(
    ctx: Context, adapted: Mapping[str, Any], known: Known, judge: Judge | None, drawn: IntArray, pool_truth: Any
) -> _Trial:
    """For the learning curve: on the store of the heads, but where its features have seen the labels on the frozen."""
    store = open_store(ctx.folder / adapted.get("curve_store", adapted["store"]))
    if "curve_store" in adapted:
        names = list(ctx.pool().features)
        if judge is not None and judge.how == TEST_SET:
            judge = replace(judge, store=test_pool(ctx.store_path(test=True), names))
        elif judge is not None:
            judge = replace(judge, store=store)
    else:
        names = list(load_heads(ctx.folder / adapted["heads_folder"]))
    settings = {**head_settings(ctx), "backbones": names}
    curve = tuple(ctx.config["evaluate"]["curve"])
    return _Trial(store, known, settings, judge, drawn, pool_truth, ctx.config.seed, curve)


def _where(
    ctx: Context, adapted: Mapping[str, Any], store: FeatureStore, pool: Pool, known: Known
) -> tuple[Judge | None, IntArray, Any]:
    """The judge (None: cross-validation), and, where the pool's labels are known, what random picks are drawn from."""
    candidates = pool.valid.copy()
    ids = pool.positions(np.array([*left_out_items(ctx), None], dtype=object)[:-1], "audit")
    candidates[ids] = False
    drawn, pool_truth = np.empty(0, dtype=np.int64), None
    if ctx.config["evaluate"]["labels"] is not None:
        pool_truth = truth_of(ctx, "evaluate", pool)
        drawn = np.flatnonzero(candidates & with_label(pool_truth)).astype(np.int64)
    if ctx.has_test:
        test = test_pool(ctx.folder / adapted["test_store"], list(pool.features))
        truth = truth_of(ctx, "test", test)
        rows = np.flatnonzero(test.valid & with_label(truth)).astype(np.int64)
        return Judge(TEST_SET, test, _some(rows, "[test] source"), truth[rows]), drawn, pool_truth
    if pool_truth is None:
        return None, drawn, None
    rows = _some(np.setdiff1d(drawn, known.rows), "[evaluate] labels")
    return Judge(REST, store, rows, pool_truth[rows]), drawn, pool_truth


def _some(rows: IntArray, name: str) -> IntArray:
    if not rows.size:
        raise InvalidInput(f"{name}: no usable item with a label is left to measure on.")
    return rows


def _scores(heads: Heads, judge: Judge, known: Known, level: float) -> dict[str, Any]:
    right = judge.hits(heads)
    plain = np.asarray(largest(known.labels) == judge.truth)
    n = int(right.size)
    recall = {}
    for name in sorted(set(judge.truth.tolist())):
        own = judge.truth == name
        recall[name] = {"n": int(own.sum()), **share_dict(int(right[own].sum()), int(own.sum()), level)}
    alone = heads.predict(judge.store, rows=judge.rows)
    return {
        "n": n,
        "accuracy": share_dict(int(right.sum()), n, level),
        "majority": float(plain.mean()),
        "gain": mean_dict(right.astype(np.float64) - plain, level),
        "by_backbone": {name: float((guess == judge.truth).mean()) for name, guess in alone.items()},
        "by_class": recall,
    }


def _repetition(trial: _Trial, repeat: int) -> list[dict[str, float]]:
    """For every size of the labels: accuracy of ours, and of as many random picks where the pool is known."""
    known = trial.known
    with one_thread():
        if trial.judge is None:
            return _held_out(trial, repeat)
        drawn = random_order(trial.drawn, trial.seed, repeat)[: known.rows.size]
        among = None
        if trial.judge.how == REST:  # neither our picks nor the random ones are judged on
            among = ~np.isin(trial.judge.rows, drawn)
            if not among.any():  # nearly the whole pool is drawn
                among, drawn = None, drawn[:0]
        entries = []
        for size, heads in _growing(trial, known, repeat):
            entry = {"n": size, "ours": float(trial.judge.hits(heads, among).mean())}
            if size <= drawn.size:
                rows = np.sort(drawn[:size])
                other = Known(rows, trial.pool_truth[rows], np.ones(rows.size), "equal")
                entry["random"] = float(trial.judge.hits(fit(trial.store, other, trial.settings), among).mean())
            entries.append(entry)
        return entries


def _growing(trial: _Trial, known: Known, repeat: int) -> Any:
    """(size, heads) of nested parts of the labels, one per share: their number is the same for all folds."""
    order = np.searchsorted(known.rows, order_of(known.rows, trial.seed, repeat))
    for size in sizes_of(trial.shares, known.rows.size):
        yield size, fit(trial.store, known.part(np.sort(order[:size])), trial.settings)


def _held_out(trial: _Trial, repeat: int) -> list[dict[str, float]]:
    """Without any other labels: one fold of the labels judges what parts of the others give."""
    known = trial.known
    codes = np.unique(known.labels.astype(str), return_inverse=True)[1].astype(np.int64)
    folds = make_folds(codes, int(trial.settings["folds"]), trial.seed, known.groups)
    if folds is None:
        return []
    fold = repeat % (int(folds.max()) + 1)
    inside, outside = folds != fold, folds == fold
    judge = Judge(IN_TURN, trial.store, known.rows[outside], known.labels[outside])
    return [
        {"n": size, "ours": float(judge.hits(heads).mean())}
        for size, heads in _growing(trial, known.part(inside), repeat)
    ]


def _curve(found: list[list[dict[str, float]]], level: float) -> list[dict[str, Any]]:
    """Per size the mean over repetitions with its interval; of ours less random in pairs. Sizes of cross-validation
    differ by one or two between folds: they go by their place, and one that few labels make equal to the next is left
    out."""
    curve = []
    sizes = [round(float(np.mean([entry["n"] for entry in entries]))) for entries in zip(*found, strict=True)]
    for place, entries in enumerate(zip(*found, strict=True)):
        if sizes[place] in sizes[place + 1 :]:
            continue
        point: dict[str, Any] = {"n": sizes[place]}
        point["ours"] = mean_dict([entry["ours"] for entry in entries], level, 0.0)
        if all("random" in entry for entry in entries):
            point["random"] = mean_dict([entry["random"] for entry in entries], level, 0.0)
            point["difference"] = mean_dict([entry["ours"] - entry["random"] for entry in entries], level)
        curve.append(point)
    return curve


def gates(ctx: Context, record: Record) -> list[Gate]:
    limits, told = ctx.config["gates"], record.summary
    accuracy = told["accuracy"]
    if accuracy is None:
        names = [name for name in ("accuracy", "interval") if limits[name] is not None]
        why = "nothing could be held out to measure on"
        return [Gate(name, "evaluate", False, None, limits[name], why) for name in names]
    width = accuracy["high"] - accuracy["low"]
    text = f"accuracy {accuracy['mean']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}] on {told['how']}"
    found = at_least("accuracy", "evaluate", accuracy["low"], limits, f"{text}, surely {accuracy['low']:.3f}")
    return found + at_most("interval", "evaluate", width, limits, f"{text}, an interval {width:.3f} wide")


def prepare(ctx: Context) -> None:
    Cells(ctx.folder / FOLDER, key_of(ctx.parts)).forget(own=ctx.before is None)


def _parts(ctx: Context) -> dict[str, Any]:
    used = ("head", "scale", "lambdas", "folds", "classes", "weights")
    trial = ctx.config["evaluate"]["labels"] is not None
    return {
        **({LEFT_OUT: left_out_mark(ctx)} if trial else {}),
        **columns_mark(ctx, ("evaluate", "labels"), ("test", "labels")),
        "test labels": ctx.config["test"]["labels"] if ctx.has_test else None,
        "heads": {name: ctx.config["adapt"][name] for name in used},
    }


STEP = Step("evaluate", "how good the result is", 2, ("evaluate",), ("embed", "labels", "adapt"), run, _parts, gates,
            prepare=prepare)  # fmt: skip
