"""All registered strategies against random on real pictures, every backbone singly and stacked: Markdown tables.

Run: python bench/strategies_on_real_data.py                         (needs ../shared; hours on 2 cores)
     python bench/strategies_on_real_data.py --pools neu --seeds 5 --budgets 2% --strategies kmeans,farthest
     python bench/strategies_on_real_data.py --tables                (from the finished cells, without computing)

Finished cells are kept in --out, one folder per pool: a killed run goes on, and several of these processes started
at once share the work. New strategies of the registry appear by themselves. When the code of a strategy changes,
remove its folders (--out/POOL/cells/*/STRATEGY-*), or use --fresh for all.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from oneglance.evaluation import prepare
from oneglance.evaluation.entrants import BASELINE
from oneglance.evaluation.estimate import estimate
from oneglance.evaluation.evaluation import ALL_HEADS
from oneglance.evaluation.intervals import NO_DIFFERENCE
from oneglance.evaluation.report import (
    conclusions,
    coverage_tables,
    interval_text,
    reading_aid,
    score_tables,
    warnings_of,
)
from oneglance.strategies import strategy_names

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "features"
POOLS = {
    "cifar10": ("mnv2", "mnv1_0.5", "sqz"),
    "tiny100": ("mnv2", "mnv1_0.5", "sqz", "r56"),
    "neu": ("mnv2", "sqz", "mnv2_bird"),
}
BUDGETS = "0.5%,1%,2%,5%,10%"
BASELINE_BUDGETS = "20%,40%"  # so far random's curve is known, for the labels saved


def load(pool, backbones):
    """Features of the pool and of its test rows {backbone: (n, d)}, and the classes of both."""
    files = {name: np.load(DATA / f"{pool}__{name}.npz") for name in backbones}
    first = next(iter(files.values()))
    train, test = ({name: file[part] for name, file in files.items()} for part in ("X_train", "X_test"))
    return train, first["y_train"], test, first["y_test"]


def job_of(pool, arguments):
    """The evaluation of one pool, ready to run, on the test rows that come with the data."""
    train, labels, test, test_labels = load(pool, POOLS[pool])
    return prepare(
        train,
        labels,
        arguments.strategies.split(",") if arguments.strategies else None,
        arguments.budgets.split(","),
        arguments.seeds,
        heads=arguments.heads.split(","),
        test=(test, test_labels),
        backbones=arguments.backbones.split(",") if arguments.backbones else None,
        baseline_budgets=arguments.baseline_budgets.split(",") if arguments.baseline_budgets else (),
    )


def markdown(pool, found):
    """Everything that may be said about one pool."""
    contrasts = found.contrasts()
    lines = [f"## {pool}", "", f"Pool {found.n_pool:,}, test rows {found.n_test:,}, {found.n_classes} classes.", ""]
    for title, header, rows in (*score_tables(found, contrasts), *coverage_tables(found)):
        lines += [f"**{title}**", "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    lines += [*reading_aid(found, contrasts), ""]
    lines += [f"- {text}" for text in conclusions(contrasts)]
    lines += [f"- Note: {text}." for text in warnings_of(found, contrasts)]
    return "\n".join(lines) + "\n"


def short(pool, found):
    """One table per backbone: strategies down, budgets across, for people."""
    contrasts = found.contrasts()
    head = ALL_HEADS if len(found.heads) > 1 else found.heads[0]
    lines = [f"## {pool}, {len(found.seeds)} seeds", ""]
    lines += [f"Pool {found.n_pool:,}, test rows {found.n_test:,}, {found.n_classes} classes.", ""]
    for backbone in found.backbones:
        lines += ["| " + " | ".join([backbone, *(f"{budget:,} labels" for budget in found.budgets)]) + " |"]
        lines += ["|---" * (1 + len(found.budgets)) + "|"]
        means = [found.mean(BASELINE, budget, head=head, backbone=backbone) for budget in found.budgets]
        lines += ["| " + " | ".join([BASELINE, *(f"{mean.mean:.3f}" for mean in means)]) + " |"]
        for strategy in found.strategies[1:]:
            here = [c for c in contrasts if (c.backbone, c.strategy, c.head) == (backbone, strategy, head)]
            cells = [cell(contrast) for budget in found.budgets for contrast in here if contrast.budget == budget]
            lines += ["| " + " | ".join([strategy, *cells]) + " |"]
        lines += [""]
    return "\n".join(lines) + "\n"


def cell(contrast):
    """ "**+0.053** [+0.031, +0.074], 2.1 x": to random, its interval, the factor of labels saved."""
    mark = "" if contrast.verdict.startswith(NO_DIFFERENCE) else "**"
    return f"{mark}{contrast.difference.mean:+.3f}{mark} {interval_text(contrast.difference, signed=True)[7:]}, " + (
        f"{contrast.saving.factor_is}{contrast.saving.factor:.2g} x"
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pools", default=",".join(POOLS), help=f"of {', '.join(POOLS)}")
    parser.add_argument("--strategies", help=f"default: all registered ones ({', '.join(strategy_names())})")
    parser.add_argument("--budgets", default=BUDGETS)
    parser.add_argument("--baseline-budgets", default=BASELINE_BUDGETS, help="further ones for random alone")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--heads", default="ridge,linear,knn")
    parser.add_argument("--backbones", help="default: each one and all stacked")
    parser.add_argument("--out", type=Path, default=Path("strategies-on-real-data"))
    parser.add_argument("--fresh", action="store_true", help="forget the finished cells")
    parser.add_argument("--plan", action="store_true", help="print counts and a rough time, compute nothing")
    parser.add_argument("--short", action="store_true", help="as docs/strategies.md has it: one table per backbone")
    parser.add_argument("--tables", action="store_true", help="tables from finished cells; refuses if some are missing")
    arguments = parser.parse_args(argv)
    for pool in arguments.pools.split(","):
        job, out = job_of(pool, arguments), arguments.out / pool
        if arguments.plan or arguments.tables:
            plan = estimate(job, job.store(out))
            left = f"{plan.n_cells - plan.n_done} of {plan.n_cells} cells missing, about {plan.seconds / 60:.0f} min"
            if arguments.plan:
                print(f"{pool}: {left}")
                continue
            if plan.n_done < plan.n_cells:
                sys.exit(f"{pool}: {left}. Run without --tables first, with the same options.")
        found = job.run(out, fresh=arguments.fresh, progress=True)
        found.to_parquet(out / "runs.parquet")
        text = short(pool, found) if arguments.short else markdown(pool, found)
        (out / f"{'short' if arguments.short else 'tables'}.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
