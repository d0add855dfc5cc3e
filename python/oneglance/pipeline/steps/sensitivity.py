"""Step sensitivity: the same selection and the same heads on smaller and on corrupted pools."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..._rng import Purpose, uniforms
from ..._types import Float64Array, FloatArray, IntArray, RowShards
from ...adapt.item_files import read_strata
from ...adapt.spread import Spread
from ...errors import InvalidInput
from ...evaluation.threads import one_thread
from ...strategies import select
from ...strategies.pool import Pool
from ...strategies.registry import STRATEGIES
from ..cells import Cells
from ..hashing import key_of
from ..methods import Known
from ..methods.base import head_settings, uses_weights
from ..methods.judge import fit
from ..record import Outcome
from ..trial import columns_mark, mean_dict, order_of, truth_of, with_label
from .audit import LEFT_OUT, left_out_items, left_out_mark
from .base import Context, Step, test_pool

FOLDER = "sensitivity"
_PARTS, _NOISY, _NOISE = 2000, 3000, 4000  # draws: which items are kept, which are corrupted, with what


@dataclass(frozen=True, eq=False)
class _Bench:
    """pool, and of it the candidates (rows); truth: classes of all its items; test: a pool, its rows and classes"""

    pool: Pool
    candidates: IntArray
    truth: Any
    test: Pool
    test_rows: IntArray
    test_truth: Any
    budget: int
    strategy: str
    asked: Mapping[str, Any]
    heads: Mapping[str, Any]
    seed: int
    noise: float
    weighted: bool


def run(ctx: Context) -> Outcome:
    """The budget is as many labels as the selection has, on every pool. Corruption of level c: a share c of the
    candidates, drawn at random, gets x + noise * s * g, s the standard deviation of every feature over the pool and g
    standard normal; labels and test items stay clean. Levels are nested: what is corrupted at 0.1 is so at 0.3.
    """
    given = ctx.config["sensitivity"]
    bench = _bench(ctx)
    cases = [("pool", 1.0)]
    cases += [("pool", share) for share in given["pool_shares"] if 0 < share < 1]
    cases += [("corruption", share) for share in given["corruption"] if share > 0]
    n_runs = len(cases) * given["repeats"]
    ctx.say(f"sensitivity: {n_runs} selections of {bench.budget:,} items, and heads on each")
    cells = Cells(ctx.folder / FOLDER, key_of(ctx.parts))
    found: dict[tuple[str, float], list[float | None]] = {}
    for kind, level in cases:
        found[kind, level] = [
            cells.get(f"{kind}-{level:g}-{repeat}", partial(_score, bench, kind, level, repeat))
            for repeat in range(given["repeats"])
        ]
    level = ctx.config["evaluate"]["level"]
    whole = np.array(found[cases[0]], dtype=np.float64)
    table = []
    for kind, share in cases:
        scores = found[kind, share]
        entry: dict[str, Any] = {"kind": kind, "level": share, "n_pool": _n_kept(bench, kind, share)}
        if any(score is None for score in scores):
            entry["note"] = f"not run: fewer than {bench.budget:,} items"
        else:
            entry["accuracy"] = mean_dict(scores, level, 0.0)
            entry["difference"] = mean_dict(np.array(scores, dtype=np.float64) - whole, level)
        table.append(entry)
    return Outcome(
        {
            "budget": bench.budget,
            "strategy": bench.strategy,
            "noise": bench.noise,
            "n_test": int(bench.test_rows.size),
            "repeats": given["repeats"],
            "table": table,
        }
    )


def _bench(ctx: Context) -> _Bench:
    given, selecting = ctx.config["sensitivity"], ctx.config["select"]
    pool = ctx.pool()
    truth = truth_of(ctx, "sensitivity", pool)
    usable = pool.valid & with_label(truth)
    usable[pool.positions(np.array([*left_out_items(ctx), None], dtype=object)[:-1], "audit")] = False
    candidates = np.flatnonzero(usable).astype(np.int64)
    if ctx.has_test:
        test = test_pool(ctx.store_path(test=True), list(pool.features))
        test_truth = truth_of(ctx, "test", test)
        test_rows = np.flatnonzero(test.valid & with_label(test_truth)).astype(np.int64)
    else:
        order = order_of(candidates, ctx.config.seed, _PARTS - 1)
        n_test = max(1, round(given["test_share"] * candidates.size))
        test, test_rows, candidates = pool, np.sort(order[:n_test]), np.sort(order[n_test:])
        test_truth = truth
    budget = _budget(ctx)
    if budget > candidates.size:
        raise InvalidInput(
            f"[sensitivity] labels: the budget is {budget:,} labels, and {candidates.size:,} items with a label are "
            "left to choose from. Lower test_share, or give labels of more items."
        )
    asked = {"strata": None if selecting["strata"] is None else read_strata(ctx.column(selecting["strata"]), pool)}
    if selecting["groups"] is not None:
        asked |= {"groups": selecting["groups"], "per_group": selecting["per_group"]}
    return _Bench(
        pool,
        candidates,
        truth,
        test,
        test_rows,
        test_truth[test_rows],
        budget,
        selecting["strategy"],
        {**asked, **selecting["params"]},
        {**head_settings(ctx), "backbones": list(pool.features)},
        ctx.config.seed,
        float(given["noise"]),
        uses_weights(ctx),
    )


def _budget(ctx: Context) -> int:
    """As many labels as there are with the selection, which its file alone does not tell."""
    summary = ctx.records["select"].summary
    return int(summary["n_earlier"] + summary["n_picked"])


def _n_kept(bench: _Bench, kind: str, level: float) -> int:
    return round(level * bench.candidates.size) if kind == "pool" else int(bench.candidates.size)


def _score(bench: _Bench, kind: str, level: float, repeat: int) -> float | None:
    """Accuracy of the mean of all heads; None where the pool is smaller than the budget."""
    kept, pool, chance = bench.candidates, bench.pool, STRATEGIES[bench.strategy].chance
    if kind == "pool" and level < 1:
        kept = np.sort(order_of(kept, bench.seed, _PARTS + repeat)[: _n_kept(bench, kind, level)])
        if kept.size < bench.budget:
            return None
    elif kind == "corruption":
        order = order_of(kept, bench.seed, _NOISY + repeat)
        pool = corrupted(pool, order[: round(level * kept.size)], bench.noise, bench.seed, _NOISE + repeat)
    others = np.ones(pool.n_items, dtype=np.bool_)
    others[kept] = False
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said once, by the step select
        seed = bench.seed + repeat if chance else bench.seed
        chosen = select(pool, bench.budget, bench.strategy, seed=seed, exclude=others, explain=False, **bench.asked)
        order = np.argsort(chosen.indices, kind="stable")
        rows = chosen.indices[order]
        weights = chosen.weights[order] if bench.weighted else np.ones(rows.size)
        heads = fit(pool, Known(rows, bench.truth[rows], weights, ""), bench.heads)
        return float((heads.predict_ensemble(bench.test, rows=bench.test_rows) == bench.test_truth).mean())


def corrupted(pool: Pool, rows: IntArray, noise: float, seed: int, draw: int) -> Pool:
    """The pool with x + noise * s * g in these rows: s the standard deviation of every feature over the valid rows, g
    standard normal by row, so that the same row gets the same noise at every level. Memory: the features in float32.
    """
    features = {}
    for number, (name, shards) in enumerate(pool.features.items()):
        whole: FloatArray = np.concatenate([np.asarray(shard, dtype=np.float32) for shard in shards.shards])
        spread = Spread.of_pool(shards, pool.valid, name).spread
        for row in rows.tolist():
            whole[row] += (noise * spread * normals(seed, row, whole.shape[1], draw * 100 + number)).astype(np.float32)
        features[name] = RowShards((whole,))
    return replace(pool, features=features, kept={})


def normals(seed: int, row: int, n: int, draw: int) -> Float64Array:
    """(n,) standard normal numbers of one row (Box and Muller)."""
    both = uniforms(seed, Purpose.PIPELINE, np.arange(2 * n, dtype=np.int64) + 2 * n * row, 10_000 + draw)
    out: Float64Array = np.sqrt(-2.0 * np.log1p(-both[:n])) * np.cos(2.0 * np.pi * both[n:])
    return out


def prepare(ctx: Context) -> None:
    Cells(ctx.folder / FOLDER, key_of(ctx.parts)).forget(own=ctx.before is None)


def _parts(ctx: Context) -> dict[str, Any]:
    selecting = ("strategy", "params", "backbones", "strata", "groups", "per_group")
    used = ("head", "scale", "lambdas", "folds", "classes")
    return {
        LEFT_OUT: left_out_mark(ctx),
        "number of labels": _budget(ctx),
        **columns_mark(ctx, ("sensitivity", "labels"), ("test", "labels"), ("select", "strata")),
        "selection": {name: ctx.config["select"][name] for name in selecting},
        "heads": {name: ctx.config["adapt"][name] for name in used},
        "weights": uses_weights(ctx),
        "level": ctx.config["evaluate"]["level"],
    }


STEP = Step(
    "sensitivity",
    "smaller and corrupted pools",
    1,
    ("sensitivity",),
    ("embed", "select"),
    run,
    _parts,
    prepare=prepare,
    left_out=lambda ctx: "" if ctx.config["sensitivity"]["labels"] else "[sensitivity] labels is not set",
)
