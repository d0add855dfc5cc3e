"""`oneglance select`: which items to label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..strategies import Pool, Selection, strategy_names
from ..strategies import select as choose
from ..strategies.budget import parse_budget
from ..strategies.choose import available, gone
from ..strategies.plan import plan_lewis
from ..strategies.sampling import SAMPLERS
from .inputs import items_digest, open_pool, read_items, read_strata, strata_digest
from .output import collected_warnings, note, print_json, print_table, say
from .pool_options import pool_options
from .pool_text import note_left_out, print_certificate, show_plan, warn_of_bad_rows
from .run_folder import check_folder, run_head, write_run

_SHOWN, _SHOWN_STRATA = 5, 20


def _quota(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    quotas: dict[str, int] = {}
    for value in values:
        name, equals, count = value.rpartition("=")
        if not equals or not name or not count.isdigit():
            raise click.BadParameter(f"must be STRATUM=COUNT like night=100, got {value!r}.")
        if name in quotas:
            raise click.BadParameter(f"names the stratum {name!r} twice.")
        quotas[name] = int(count)
    return quotas


@click.command(short_help="Choose which items to label.")
@click.option("--budget", required=True, help="How many items to label. Example: --budget 500 or --budget 2%")
@click.option(
    "--strategy",
    type=click.Choice(strategy_names()),
    default="lewis",
    show_default=True,
    help="lewis: by Lewis weights, one choice that serves all backbones. random: the baseline.",
)
@click.option(
    "--sampler",
    type=click.Choice(tuple(SAMPLERS)),
    default="bernoulli",
    show_default=True,
    help="bernoulli: without replacement, unbiased weights. paper: Algorithm 1, with replacement.",
)
@click.option(
    "--combine",
    default="max",
    show_default=True,
    help="How backbones share the choice: max, mean, or single:NAME. Example: --combine single:vit_s",
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
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("selection"),
    show_default=True,
    help="Folder for selected.parquet, selected.csv and run.json. Example: --out first-batch",
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
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    verify: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    **weighting: Any,
) -> None:
    """Choose which items to label.

    INPUT is a feature store written by `oneglance embed`, or ready vectors: .npy/.npz files (one per
    backbone) or one .parquet with list columns.

    \b
    Examples:
      oneglance select store --budget 500
      oneglance select store --budget 2% --labelled done.csv --out batch-2
      oneglance select vit.npy resnet.npy --budget 300 --dry-run
    """
    source = open_pool(inputs, backbones, vector_columns, id_column, verify=verify)
    pool = source.pool
    done, unwanted = read_items(labelled, "--labelled", pool), read_items(exclude, "--exclude", pool)
    groups = read_strata(strata, pool)
    params = weighting if strategy == "lewis" else _no_params(strategy, weighting)
    warn_of_bad_rows(source)
    note_left_out(done, labelled, "--labelled")
    note_left_out(unwanted, exclude, "--exclude")
    counts = available(pool, done, unwanted)[1]
    n_candidates = counts["n_candidates"]
    n_picks = parse_budget(budget, n_candidates, gone(counts))
    if dry_run:
        _print_plan(pool, n_candidates, n_picks, strategy, params, as_json)
        return
    request = {
        "command": "select",
        "input": [str(path) for path in inputs],
        "input_hash": source.content_hash,
        "backbones": list(pool.features),
        "budget": budget,
        "strategy": strategy,
        "params": params,
        "seed": seed,
        "labelled": items_digest(done),
        "exclude": items_digest(unwanted),
        "strata": strata,
        "strata_hash": strata_digest(groups),
        "quotas": quotas,
    }
    head = run_head(request)
    check_folder(out, head, overwrite)
    with collected_warnings() as warned:
        selection = choose(
            pool,
            budget,
            strategy,
            seed=seed,
            labelled=done,
            exclude=unwanted,
            strata=groups,
            quotas=quotas or None,
            progress=note,
            **params,
        )
    document = write_run(out, head, selection)
    for text in warned:
        note(f"warning: {text}")
    if as_json:
        print_json({"out": str(out), "warnings": warned, **document})
    else:
        _print_selection(selection, out)


def _no_params(strategy: str, weighting: dict[str, Any]) -> dict[str, Any]:
    """Nothing; an option of the weights given for a strategy without weights is a mistake worth saying."""
    context = click.get_current_context()
    given = [name for name in weighting if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise click.UsageError(f"{options} has no meaning with --strategy {strategy}. Leave it out.")
    return {}


def _print_plan(
    pool: Pool, n_candidates: int, n_picks: int, strategy: str, params: dict[str, Any], as_json: bool
) -> None:
    used = pool if strategy == "lewis" else Pool({}, pool.valid)
    plan = plan_lewis(
        used,
        n_candidates,
        n_picks,
        p=params.get("p", 2.0),
        max_passes=params.get("max_passes", 1),
    )
    show_plan(plan, as_json, {"n_picks": n_picks})


def _print_selection(selection: Selection, out: Path) -> None:
    certificate = selection.certificate
    if "backbones" in certificate:
        print_certificate(certificate)
    if "strata" in certificate:
        rows = [(name, entry["available"], entry["picked"]) for name, entry in certificate["strata"].items()]
        print_table(("stratum", "available", "picked"), rows[:_SHOWN_STRATA])
        if len(rows) > _SHOWN_STRATA:
            click.echo(f"... and {len(rows) - _SHOWN_STRATA} more strata, see run.json")
    table = selection.to_table().slice(0, _SHOWN).to_pylist()
    columns = ("rank", "item_id", "weight", "inclusion_prob", "reason")
    print_table(columns, [[row[name] for name in columns] for row in table], "first picks")
    n_certain = int((selection.inclusion_prob >= 1.0).sum())
    say(
        f"selected {len(selection):,} of {certificate['n_candidates']:,} items ({n_certain:,} certain) -> "
        f"{out / 'selected.csv'}, selected.parquet, run.json"
    )
