"""`oneglance evaluate`: what strategies are worth on a pool whose labels are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..evaluation.estimate import EvaluationPlan, estimate
from ..evaluation.evaluation import Evaluation
from ..evaluation.one_shot.prepare import BUDGETS as ONE_SHOT_BUDGETS
from ..evaluation.one_shot.prepare import prepare_one_shot
from ..evaluation.one_shot.rounds import ITERATIVE
from ..evaluation.prepare import BUDGETS, HEADS, prepare
from ..evaluation.probes import PROBES
from ..evaluation.report import conclusions, coverage_tables, reading_aid, score_tables, warnings_of
from ..store.files import human_bytes, json_bytes, write_atomic
from ..store.lock import in_turn
from ..strategies import Pool, strategy_names
from ..strategies.result import write_table
from . import one_shot
from .inputs import open_pool, read_column, read_labels
from .output import duration, note, print_json, print_table, say
from .pool_options import comma_list, some_pool_options
from .pool_text import warn_of_bad_rows
from .run_folder import check_writable

_FILES = {"runs": "runs.parquet", "summary": "summary.parquet", "text": "evaluation.json", "plot": "evaluation.png"}


@click.command(short_help="See what strategies are worth where labels are known.")
@click.option(
    "--labels",
    required=True,
    help="The classes: a column of the store (label, stratum, group, source), a csv/jsonl/parquet file with item_id "
    "and label, or a .npy file; items without one take no part. FILE.npz:ARRAY names an array. Example: --labels label",
)
@click.option(
    "--strategies",
    callback=comma_list,
    help="Strategies to compare with random; all registered ones by default. Parameters after colons. "
    "Example: --strategies kmeans,lewis,kmeans:metric=cosine",
)
@click.option(
    "--budgets",
    callback=comma_list,
    default=",".join(BUDGETS),
    show_default=True,
    help="How many to label: counts, or percentages of the pool. Example: --budgets 50,200,5%",
)
@click.option(
    "--baseline-budgets",
    callback=comma_list,
    help="Further budgets for random alone, so that the labels saved can be read. Example: --baseline-budgets 20%,40%",
)
@click.option(
    "--seeds", type=click.IntRange(3), default=20, show_default=True, help="How many repetitions. Example: --seeds 40"
)
@click.option(
    "--heads",
    callback=comma_list,
    default=",".join(HEADS),
    show_default=True,
    help="What is fitted on the picked labels: ridge, linear (logistic), knn; of one-shot linear or ridge, and "
    "ridge or unpenalised for a regression. Example: --heads ridge,knn",
)
@click.option(
    "--test",
    help="Share of the labelled items to measure on, 20% by default; or a store or vector file of its own. "
    "Example: --test 30% or --test test.store",
)
@click.option("--test-labels", help="Classes of --test STORE, same forms as --labels (and its default).")
@click.option(
    "--test-vector-column",
    "test_columns",
    multiple=True,
    help="Array or column of --test FILE; repeat for several backbones. Example: --test-vector-column X_test",
)
@click.option("--splits", type=click.IntRange(1), help="Random divisions into pool and test rows, 5 by default.")
@click.option("--folds", type=click.IntRange(2), help="Disjoint test parts instead. Example: --folds 5")
@click.option(
    "--groups",
    help="Column of the store, or file with item_id and group: a group (scene, patient, film) is never divided "
    "between pool and test rows. Default: the column group where it is filled. Example: --groups patients.csv",
)
@click.option(
    "--level", type=float, default=0.95, show_default=True, help="Level of the intervals. Example: --level 0.9"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for runs.parquet, summary.parquet, evaluation.json, evaluation.png, and for finished cells.",
)
@click.option("--fresh", is_flag=True, help="Forget the finished cells in --out and begin anew.")
@click.option("--plot/--no-plot", default=True, help="Draw evaluation.png (needs matplotlib). Default: where it is.")
@click.option("--per-head", is_flag=True, help="Tables for every head (of one-shot: backbone), besides their mean.")
@one_shot.one_shot_options
@some_pool_options("inputs", "backbones", "vector_columns", "id_column", "device", "verify", "dry_run", "as_json")
def evaluate(
    inputs: tuple[Path, ...],
    labels: str,
    strategies: tuple[str, ...] | None,
    budgets: tuple[str, ...],
    baseline_budgets: tuple[str, ...] | None,
    seeds: int,
    heads: tuple[str, ...],
    test: str | None,
    test_labels: str | None,
    test_columns: tuple[str, ...],
    splits: int | None,
    folds: int | None,
    groups: str | None,
    level: float,
    out: Path,
    fresh: bool,
    plot: bool,
    per_head: bool,
    protocol: str,
    task: str,
    p: float,
    initial: str,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    device: str,
    verify: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """See what strategies are worth, on items whose labels are known.

    Learning curves against random picks, with paired differences, intervals and labels saved. Strategies see
    features of the pool's rows in shuffled order and no label. --backbones takes names, a+b for several stacked, and
    stacked for all. A killed run goes on with the same command; several processes may share one --out.

    \b
    Examples:
      oneglance evaluate store --labels label
      oneglance evaluate store --labels done.csv --strategies kmeans --seeds 40
      oneglance evaluate store --labels label --dry-run
      oneglance evaluate store --labels label --protocol one-shot --heads ridge
    """
    context = click.get_current_context()
    given = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    several = protocol == "one-shot"
    _check_protocol(several, given)
    _check_names(strategies, () if several else heads, tuple(ITERATIVE) if several else ())
    head = one_shot.head_of(heads if "heads" in given else None, task) if several else None
    source = open_pool(inputs, None, vector_columns, id_column, verify=verify)
    warn_of_bad_rows(source)
    pool = source.pool
    items = pool, read_labels(labels, pool, "--labels"), strategies
    common: dict[str, Any] = {
        "test": _test(test, test_labels or labels, test_columns, pool),
        "splits": splits,
        "folds": folds,
        "groups": read_column(groups, pool, "--groups", "group"),
        "backbones": backbones,
        "level": level,
    }
    if several:
        wanted = budgets if "budgets" in given else ONE_SHOT_BUDGETS
        trial = prepare_one_shot(*items, wanted, seeds, task=task, head=head, p=p, initial=initial, **common)
        if dry_run:
            there = trial.store(out)
            there.check_folder(trial.head(), fresh)
            one_shot.print_plan(trial, trial.plan(trial.store(None) if fresh else there), out, as_json)
            return
        check_writable(out, out)
        answers = trial.run(out, fresh=fresh, progress=note, device=device)
        with in_turn(out):
            one_shot.write(answers, out, as_json, per_head)
        return
    job = prepare(*items, budgets, seeds, heads=heads, baseline_budgets=baseline_budgets or (), **common)
    if dry_run:
        store = job.store(out)
        store.check_folder(job.head(), fresh)
        _print_plan(estimate(job, job.store(None) if fresh else store), job.notes, out, as_json)
        return
    check_writable(out, out)
    found = job.run(out, fresh=fresh, progress=note, device=device)
    with in_turn(out):  # several processes may have filled the folder, and end together
        document = _write(found, out, plot, as_json, per_head)
    if as_json:
        print_json(document)


def _check_protocol(several: bool, given: set[str]) -> None:
    """Options that mean nothing under the protocol, before anything is read."""
    foreign = [name for name in (one_shot.NOT_OF_ONE_SHOT if several else one_shot.OF_ONE_SHOT) if name in given]
    if foreign:
        which = "has no meaning with" if several else "belongs to"
        raise click.UsageError(f"--{foreign[0].replace('_', '-')} {which} --protocol one-shot.")


def _check_names(strategies: tuple[str, ...] | None, heads: tuple[str, ...], also: tuple[str, ...]) -> None:
    """Spelling mistakes in lists, before anything is read."""
    for option, names, known in (
        ("--strategies", tuple(text.partition(":")[0] for text in strategies or ()), ("all", *strategy_names(), *also)),
        ("--heads", heads, tuple(PROBES)),
    ):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise click.UsageError(f"{option} names {unknown[0]!r}; there are {', '.join(known)}.")


def _test(value: str | None, labels: str, columns: tuple[str, ...], pool: Pool) -> Any:
    if value is None:
        return None
    number = value.strip().removesuffix("%")
    try:
        return float(number) / (100 if number != value.strip() else 1)
    except ValueError:
        paths = [Path(part) for part in value.split(",")]
    source = open_pool(paths, None, columns, None)
    warn_of_bad_rows(source)
    return source.pool, read_labels(labels, source.pool, "--test-labels")


def _print_plan(plan: EvaluationPlan, notes: Any, out: Path, as_json: bool) -> None:
    if as_json:
        print_json({"plan": {name: getattr(plan, name) for name in plan.__dataclass_fields__}, "notes": list(notes)})
        return
    rows = [
        ("items", f"{plan.n_items:,} with labels, {plan.n_classes} classes"),
        ("splits", f"{plan.n_splits}: pool {plan.n_pool:,}, test rows {plan.n_test:,}"),
        ("cells", f"{plan.n_cells:,} (backbone, strategy, budget, seed), {plan.n_done:,} of them in {out}"),
        ("selections", f"{plan.n_selections:,} to make"),
        ("heads", f"{plan.n_heads:,} to fit"),
        ("memory", f"about {human_bytes(plan.ram_bytes)} beyond the features"),
        ("time", f"about {duration(plan.seconds)}, a rough guess"),
    ]
    print_table(("plan", ""), rows)
    for text in notes:
        say(f"note: {text}.")


def _write(found: Evaluation, out: Path, plot: bool, quiet: bool, per_head: bool) -> dict[str, Any]:
    contrasts = found.contrasts()
    sentences, warned = conclusions(contrasts), warnings_of(found, contrasts)
    found.to_parquet(out / _FILES["runs"])
    summary = write_table(found.summary_table(), out / _FILES["summary"])
    files = [_FILES["runs"], summary.name, _FILES["text"]]
    if plot:
        try:
            from ..evaluation.plot import plot_evaluation

            plot_evaluation(found, out / _FILES["plot"])
            files.append(_FILES["plot"])
        except ImportError:
            note(f"no {_FILES['plot']}: matplotlib is not installed (pip install matplotlib)")
    document: dict[str, Any] = {
        "out": str(out),
        "pool": found.n_pool,
        "test": found.n_test,
        "classes": found.n_classes,
        "splits": found.n_splits,
        "seeds": list(found.seeds),
        "level": found.level,
        "contrasts": found.summary_table().slice(0, len(contrasts)).to_pylist(),
        "conclusions": sentences,
        "warnings": warned,
        "files": files,
    }
    write_atomic(out / _FILES["text"], [json_bytes(document)])
    if not quiet:
        shown = [*contrasts, *(found.contrasts(found.heads) if per_head and len(found.heads) > 1 else [])]
        for title, header, rows in (*score_tables(found, shown), *coverage_tables(found)):
            print_table(header, rows, title)
            say("")
        for text in (*reading_aid(found, contrasts), *sentences):
            say(text)
        for text in warned:
            say(f"note: {text}.")
        say(f"-> {', '.join(str(out / name) for name in files)}")
    return document
