"""Options that `select`, `weights` and `evaluate` share, so that the same thing has the same name in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def comma_list(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """ "a, b" as ("a", "b")."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


ITEMS_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)

_SHARED: dict[str, Callable[[Any], Any]] = {
    "inputs": click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT..."),
    "p": click.option(
        "--p",
        type=float,
        default=2.0,
        show_default=True,
        help="Norm of the loss the heads will minimise: 2 for squares, 1 for absolute values. Example: --p 1",
    ),
    "labelled": click.option(
        "--labelled",
        type=ITEMS_FILE,
        help="File of items that have a label already (txt, csv, jsonl or parquet; column item_id, id or "
        "row_id; an earlier selected.csv will do). Example: --labelled done.txt",
    ),
    "exclude": click.option(
        "--exclude",
        type=ITEMS_FILE,
        help="File of items to leave out for any other reason, same formats. Example: --exclude blurred.csv",
    ),
    "backbones": click.option(
        "--backbones",
        callback=comma_list,
        help="Names of the backbones to use; all by default. Example: --backbones vit_s,resnet50",
    ),
    "vector_columns": click.option(
        "--vector-column",
        "vector_columns",
        multiple=True,
        help="Array of an .npz, or list column of a .parquet, that holds the features; repeat for several "
        "backbones. Example: --vector-column X_train",
    ),
    "id_column": click.option(
        "--id-column",
        help="Array of an .npz, or column of a .parquet, that holds the item ids; row positions are used "
        "without. Example: --id-column file_name",
    ),
    "tol": click.option(
        "--tol",
        type=float,
        default=1e-6,
        help="Accuracy asked of the weights' certificate. Default: 1e-6, and 1e-3 to select, where 0.1 is enough. "
        "Example: --tol 1e-4",
    ),
    "max_passes": click.option(
        "--max-passes",
        type=click.IntRange(1),
        default=100,
        show_default=True,
        help="Most readings of the features per backbone. Example: --max-passes 20",
    ),
    "ridge": click.option(
        "--ridge",
        type=float,
        default=0.0,
        show_default=True,
        help="Ridge of the heads, in the units of A'A; helps when there are fewer items than features. "
        "Example: --ridge 1e-2",
    ),
    "device": click.option(
        "--device",
        default="cpu",
        show_default=True,
        help="cpu, cuda, cuda:1, ... or auto: where Lewis weights, nearest rows and k-means are computed.",
    ),
    "verify": click.option(
        "--verify",
        is_flag=True,
        help="Hash every file of the store first: notices damage that left sizes as they were.",
    ),
    "overwrite": click.option("--overwrite", is_flag=True, help="Replace another result that is there already."),
    "dry_run": click.option(
        "--dry-run", is_flag=True, help="Print the plan (rows, passes, memory, disk, time) and stop."
    ),
    "as_json": click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, notes on stderr."
    ),
}


def adding(options: Sequence[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    """A decorator that adds these options, in this order; the function takes them as keyword arguments."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def some_pool_options(*names: str) -> Callable[[Command], Command]:
    """Adds the shared options of these names (that of the parameter), in the order given."""

    return adding([_SHARED[name] for name in names])


def pool_options(command: Command) -> Command:
    """Adds the input argument and the shared options."""
    return some_pool_options(*_SHARED)(command)
