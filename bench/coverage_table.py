"""FreeSel, farthest, k-means and random picks on real pictures whose cells are known: Markdown tables.

Run: python bench/coverage_table.py --json bench/results/coverage.json     (needs ../shared, torch and scikit-learn)
     python bench/coverage_table.py --from bench/results/coverage.json     (the same tables without computing)
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import oneglance as og
from coverage_measures import MEASURES, Measures
from coverage_pools import POOLS
from oneglance.evaluation import mean_interval, paired_difference, verdict
from oneglance.evaluation.intervals import NO_DIFFERENCE

N_SEEDS = 20
NO_PATTERNS = 0  # the mean-pooled features instead
CEILINGS = ("accuracy", "balanced", "auroc")  # also shown with all labels of the pool
OURS = "freesel"
BASELINE = "random"
RIVALS = ("random", "k-means", "k-means, cosine", "farthest", "farthest, cosine")


def orders_by(strategy, patterns_k=NO_PATTERNS, random_start=False, **params):
    """A method whose picks of a budget are the first of a larger one's (see docs/guide.md): one selection per seed."""

    def prepare(pool):
        source = pool.cells.means() if patterns_k == NO_PATTERNS else pool.patterns(patterns_k)

        def picks(budgets, seed):
            start = {"start": [int(np.random.default_rng(seed).integers(len(pool.cells)))]} if random_start else {}
            found = og.select(source, max(budgets), strategy, seed=seed, explain=False, **start, **params).indices
            return {budget: found[:budget] for budget in budgets}

        return picks

    return prepare


def chooses_by(strategy, **params):
    """A method that chooses anew for every budget."""

    def prepare(pool):
        source = pool.cells.means()

        def picks(budgets, seed):
            return {budget: og.select(source, budget, strategy, seed=seed, **params).indices for budget in budgets}

        return picks

    return prepare


METHODS = {
    "random": chooses_by("random"),
    "k-means": chooses_by("kmeans", explain=False),
    "k-means, cosine": chooses_by("kmeans", explain=False, metric="cosine"),
    "farthest": orders_by("farthest", random_start=True),
    "farthest, cosine": orders_by("farthest", random_start=True, metric="cosine"),
    "freesel": orders_by("freesel", 5),
    "freesel, K = 1": orders_by("freesel", 1),
    "freesel, all cells": orders_by("freesel", None),
    "freesel, fds": orders_by("freesel", 5, rule="fds"),
}


def compare(pool, methods, seeds, note):
    """{"title", ..., "values": {measure: {method: {budget: one number per seed}}}}, ready for JSON."""
    note(f"{pool.name}: distances of {len(pool.cells.rows)} cells ...")
    measures = Measures(pool)
    ceiling = measures(np.arange(len(pool.cells)))
    values = {name: {method: {str(b): [] for b in pool.budgets} for method in methods} for name in ceiling}
    for method, prepare in methods.items():
        note(f"{pool.name}: {method} ...")
        picks_of = prepare(pool)
        for seed in seeds:
            for budget, picks in picks_of(pool.budgets, seed).items():
                assert len(np.unique(picks)) == len(picks) == budget
                for name, value in measures(picks).items():
                    values[name][method][str(budget)].append(float(f"{value:.6g}"))
    return {
        "title": pool.title,
        "n_items": len(pool.cells),
        "n_cells": len(pool.cells.rows),
        "n_defects": None if pool.cells.defect is None else int(pool.cells.defect.sum()),
        "n_test": len(pool.test),
        "budgets": list(pool.budgets),
        "n_seeds": len(seeds),
        "ceiling": {name: round(ceiling[name], 6) for name in CEILINGS if name in ceiling},
        "values": values,
    }


def markdown(results):
    """Every table of every pool."""
    lines = []
    for found in results.values():
        defects = "" if found["n_defects"] is None else f" ({found['n_defects']} of them defects)"
        counts = f"{found['n_items']} pictures, {found['n_cells']} cells{defects}; {found['n_test']} held-out pictures"
        lines += [f"## {found['title']}", "", f"{counts}; {found['n_seeds']} seeds.", ""]
        for name in found["values"]:
            lines += [*_means(found, name), ""]
        lines += [*_differences(found), ""]
    return "\n".join(lines).rstrip() + "\n"


def _means(found, name):
    """One measure: methods down, budgets across."""
    text, digits, higher = MEASURES[name]
    values = found["values"][name]
    bound = f"; all labels: {found['ceiling'][name]:.{digits}f}" if name in found["ceiling"] else ""
    yield f"**{text}** ({'higher' if higher else 'lower'} is better{bound})"
    yield ""
    yield from _header("picks", found)
    for method in values:
        cells = []
        for budget in map(str, found["budgets"]):
            word = "" if method == BASELINE else _word(values, method, BASELINE, budget, higher)
            cells.append(_shown(mean_interval(values[method][budget]), f".{digits}f") + word)
        yield " | ".join([f"| {method}", *cells]) + " |"


def _differences(found):
    """FreeSel as published against every rival, seed by seed."""
    yield f"**`{OURS}` minus each of the others, seed by seed**"
    yield ""
    yield from _header("measure", found)
    for name, values in found["values"].items():
        for rival in (rival for rival in RIVALS if {OURS, rival} <= values.keys()):
            _, digits, higher = MEASURES[name]
            cells = []
            for budget in map(str, found["budgets"]):
                gap = paired_difference(values[OURS][budget], values[rival][budget])
                cells.append(_shown(gap, f"+.{digits}f") + _word(values, OURS, rival, budget, higher))
            yield " | ".join([f"| {name}, minus {rival}", *cells]) + " |"


def _header(first, found):
    yield " | ".join([f"| {first}", *(f"{budget} picks" for budget in found["budgets"])]) + " |"
    yield "|---" * (1 + len(found["budgets"])) + "|"


def _shown(interval, digits):
    return f"{interval.mean:{digits}} [{interval.low:{digits}}, {interval.high:{digits}}]"


def _word(values, method, other, budget, higher):
    """What the interval of the paired difference allows to say: better, worse or nothing."""
    word = verdict(paired_difference(values[method][budget], values[other][budget]), higher_is_better=higher)
    return "" if word == NO_DIFFERENCE else f" {word}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", nargs="+", choices=list(POOLS), default=list(POOLS))
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help=f"number of seeds, 0 .. N-1 (default {N_SEEDS})")
    parser.add_argument("--json", type=Path, help="also write every number to this file")
    parser.add_argument("--from", dest="source", type=Path, help="print the tables of such a file")
    asked = parser.parse_args(argv)
    if asked.source is not None:
        results = json.loads(asked.source.read_text(encoding="utf-8"))
    else:
        began = time.perf_counter()

        def note(text):
            print(f"{time.perf_counter() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

        results = {}
        for name in asked.pools:
            note(f"{name}: reading ...")
            pool = POOLS[name]()
            results[pool.name] = compare(pool, METHODS, range(asked.seeds), note)
        note("done")
    if asked.json is not None:
        asked.json.write_text(json.dumps(results, separators=(",", ":")) + "\n", encoding="utf-8")
    print(markdown(results), end="")


if __name__ == "__main__":
    main()
