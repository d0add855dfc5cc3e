"""`oneglance select`: which items to label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..cluster.bilaf import COMPATS, CORES
from ..strategies import Pool, strategy_names
from ..strategies import select as choose
from ..strategies.auto import auto_space, evaluated
from ..strategies.budget import parse_budget, parse_money
from ..strategies.candidates import gone
from ..strategies.choose import check_select
from ..strategies.columns import numbers
from ..strategies.goals import Goals
from ..strategies.joint import joint_shape
from ..strategies.pairs import KEPT_BYTES
from ..strategies.plan import plan_coverage, plan_lewis
from ..strategies.registry import parameters
from ..strategies.rounds import n_payable
from ..strategies.space import feature_space, pattern_space
from .audited import without_audited
from .goal_options import GOALS, goal_options, read_goals
from .inputs import column_digest, items_digest, read_items, read_strata
from .output import collected_warnings, note, print_json
from .pool_options import pool_options
from .pool_text import Opened, opened, show_plan
from .run_folder import check_folder, run_head, write_run
from .select_text import print_selection
from .strategy_options import strategy_options

_SPACES = {"auto": auto_space, "freesel": pattern_space, "kernel": joint_shape}
# Products of all rows with all; float64 is two.
_ALL_PAIRS = {"auto": 2.0, "kernel": 2.0, "probcover": 2.0, "herding": 2.0, "facility": 1.0}


def _quota(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    quotas: dict[str, int] = {}
    for value in values:
        name, equals, count = value.rpartition("=")
        if not equals or not name or not count.isdecimal():
            raise click.BadParameter(f"must be STRATUM=COUNT like night=100, got {value!r}.")
        if name in quotas:
            raise click.BadParameter(f"names the stratum {name!r} twice.")
        quotas[name] = int(count)
    return quotas


@click.command(short_help="Choose which items to label.")
@click.option(
    "--budget",
    required=True,
    help="How many items to label; with --costs how much money. Example: --budget 500 or --budget 2%",
)
@click.option(
    "--strategy",
    type=click.Choice(strategy_names()),
    metavar="NAME",
    default="lewis",
    show_default=True,
    help="auto: the one to take without a reason for another (kernel, set by the size of the pool). "
    "lewis: by Lewis weights, one choice that serves all backbones. freesel: by patterns not yet covered. "
    "farthest: greedy k-center. kmeans: nearest to cluster centres. typiclust: densest place of every cluster. "
    "probcover: balls that hold the most items. herding: mean kernel like the pool's. "
    "facility: every item wants a similar pick. hierarchical: balanced draws from clusters of clusters. "
    "prototypes: easiest or hardest items of every cluster. "
    "kernel: greedy kernel coverage, all backbones as one. activeft: the pool's distribution, kept apart. "
    "bilaf: cores, and the boundaries between them. random: the baseline.",
)
@strategy_options
@click.option(
    "--dedup",
    type=float,
    help="Drop near-duplicates first: items at a cosine distance below this to a labelled one or an earlier one; "
    "run.json lists them. Under one backbone. Example: --dedup 0.05",
)
@click.option(
    "--audit",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of `oneglance audit`: leave out what it found unusable, and all but one of each group of duplicates. "
    "Example: --audit audit",
)
@click.option(
    "--width",
    type=float,
    help="kernel: width in units of the median squared distance, 0.5 by default. Example: --width 1",
)
@click.option(
    "--evaluate",
    type=click.IntRange(1),
    help="kernel: count the coverage of so many items only, all by default. Example: --evaluate 50000",
)
@click.option("--cores", type=click.Choice(CORES), help="bilaf: how the cores are found, activeft by default.")
@click.option(
    "--n-cores", type=click.IntRange(1), help="bilaf: cores, 0.5 % of the items by default. Example: --n-cores 100"
)
@click.option(
    "--growth", type=float, help="bilaf: share of a class that joins per round, 0.1 by default. Example: --growth 0.05"
)
@click.option(
    "--removal", type=float, help="bilaf: share of a class left out as noise, 0.1 by default. Example: --removal 0"
)
@click.option(
    "--penalty",
    type=float,
    help="bilaf: how much farther an opponent looks once picked against, 1.1 by default. Example: --penalty 1",
)
@click.option(
    "--compat",
    type=click.Choice(COMPATS),
    help="bilaf: paper (default), or released: the published code with its errors, for comparison only.",
)
@click.option(
    "--explain/--no-explain",
    default=None,
    help="Who represents whom, in represented.parquet: by default for strategies of coverage. --explain also "
    "for lewis and random, under one backbone; --no-explain leaves out the curve of radii.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Another seed draws another sample; the same seed repeats this one. Example: --seed 7",
)
@click.option(
    "--strata",
    help="Spread the budget over strata in proportion to their size: a column of the store (stratum, label, "
    "group, source), or a csv/parquet file with item_id and stratum. Example: --strata stratum",
)
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    callback=_quota,
    help="Fixed count for one stratum; repeat for more, others share the rest. Example: --quota night=100",
)
@goal_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("selection"),
    show_default=True,
    help="Folder for selected.parquet, selected.csv, run.json and represented.parquet. Example: --out first-batch",
)
@pool_options
def select(
    inputs: tuple[Path, ...],
    budget: str,
    strategy: str,
    out: Path,
    labelled: Path | None,
    exclude: Path | None,
    strata: str | None,
    quotas: dict[str, int],
    seed: int,
    dedup: float | None,
    device: str,
    audit: Path | None,
    explain: bool | None,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    verify: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose which items to label.

    INPUT is a feature store written by `oneglance embed`, or ready vectors: .npy/.npz files (one per
    backbone) or one .parquet with list columns.

    \b
    Examples:
      oneglance select store --budget 500
      oneglance select store --budget 2% --labelled done.csv --out batch-2
      oneglance select vit.npy resnet.npy --budget 300 --dry-run
      oneglance select store --budget 500 --strategy freesel --backbones vit_s
    """
    found = opened(
        inputs,
        backbones=backbones,
        vector_columns=vector_columns,
        id_column=id_column,
        verify=verify,
        labelled=labelled,
        exclude=exclude,
    )
    if audit is not None:
        found = without_audited(found, audit)
    pool, n_candidates = found.pool, found.counts["n_candidates"]
    spread = read_strata(strata, pool)
    goals, asked = read_goals({name: options.pop(name) for name in GOALS}, pool)
    params = _params(strategy, options)
    start = read_items(params.get("start"), "--start", pool)
    n_picks = _most_picks(budget, found, goals)
    if dry_run:
        limits = {"labelled": found.labelled, "exclude": found.unwanted, "strata": spread, "quotas": quotas or None}
        check_select(pool, budget, strategy, params, Goals(**goals), dedup=dedup, explain=explain, **limits)
        _print_plan(pool, n_candidates, n_picks, strategy, params, as_json)
        return
    request = {
        "command": "select",
        "input": [str(path) for path in inputs],
        "input_hash": found.source.content_hash,
        "backbones": list({**pool.features, **pool.patterns}),
        "budget": budget,
        "strategy": strategy,
        "params": params if start is None else {**params, "start": start.tolist()},
        "seed": seed,
        "explain": explain,
        **({} if dedup is None else {"dedup": dedup}),
        **({} if device == "cpu" else {"device": device}),
        **({} if audit is None else {"audit": str(audit)}),
        "labelled": items_digest(found.labelled),
        "exclude": items_digest(found.unwanted),
        "strata": strata,
        "strata_hash": column_digest(spread),
        "quotas": quotas,
        **asked,
    }
    head = run_head(request)
    check_folder(out, head, overwrite)
    with collected_warnings() as warned:
        selection = choose(
            pool,
            budget,
            strategy,
            seed=seed,
            labelled=found.labelled,
            exclude=found.unwanted,
            strata=spread,
            quotas=quotas or None,
            dedup=dedup,
            explain=explain,
            progress=note,
            device=device,
            **goals,
            **(params if start is None else {**params, "start": start}),
        )
    document = write_run(out, head, selection)
    for text in warned:
        note(f"warning: {text}")
    if as_json:
        print_json({"out": str(out), "warnings": warned, **document})
    else:
        print_selection(selection, out)


def _most_picks(budget: str, found: Opened, goals: dict[str, Any]) -> int:
    """Picks that the budget allows, or the most that it pays. Raises InvalidInput."""
    if "costs" not in goals:
        return parse_budget(budget, found.counts["n_candidates"], gone(found.counts))
    costs = numbers(found.pool, goals["costs"], "--costs", found.left, above_zero=True)[found.left]
    return n_payable(costs, parse_money(budget, costs, gone(found.counts)))


def _params(strategy: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that are the strategy's own; one given that belongs to another strategy is worth saying."""
    context = click.get_current_context()
    own = parameters(strategy)
    given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    strange = [name for name in given if name not in own]
    if strange:
        named = ", ".join("--" + name.replace("_", "-") for name in strange)
        raise click.UsageError(f"{named} has no meaning with --strategy {strategy}. Leave it out.")
    return {name: value for name, value in options.items() if name in own and value is not None}


def _print_plan(
    pool: Pool, n_candidates: int, n_picks: int, strategy: str, params: dict[str, Any], as_json: bool
) -> None:
    if strategy in ("lewis", "random"):
        used = pool if strategy == "lewis" else Pool({}, pool.valid)
        plan = plan_lewis(used, n_candidates, n_picks, p=params.get("p", 2.0), max_passes=params.get("max_passes", 1))
    else:
        metric = params.get("metric", parameters(strategy).get("metric", "cosine"))
        space = _SPACES.get(strategy, feature_space)(pool, metric, strategy)
        own = parameters(strategy)
        n_iter = params.get("max_iter", own.get("max_iter")) or params.get("n_iter", own.get("n_iter"))
        sampled = {"herding": params.get("mean_over", 20_000), "kernel": params.get("evaluate")}.get(strategy)
        if strategy == "auto":
            sampled = evaluated(n_candidates, n_picks)
        share = min(1.0, sampled / max(1, pool.n_items)) if sampled else 1.0
        all_pairs = _ALL_PAIRS.get(strategy, 0.0) * share
        plan = plan_coverage(space, pool.n_items, n_candidates, n_picks, n_iter=n_iter, all_pairs=all_pairs)
        kept = min(KEPT_BYTES, 8 * pool.n_items * space.rows.shape[1]) if strategy in ("probcover", "herding") else 0
        edges = 32 * pool.n_items * (params.get("neighbors", 50) + 1) if strategy == "facility" else 0
        plan = replace(plan, ram_bytes=plan.ram_bytes + kept + edges)
    show_plan(plan, as_json, {"n_picks": n_picks})
