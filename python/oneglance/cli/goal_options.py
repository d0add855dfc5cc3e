"""Options of `select` for groups, a topic, priorities and prices, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..store import open_store
from ..strategies import Pool
from .inputs import column_digest, items_digest, read_column, read_items
from .pool_options import adding

_OPTIONS = (
    click.option(
        "--groups",
        help="At most --per-group picks of a group (scene, patient), labelled items included: a column of the store, "
        "or a csv/parquet file with item_id and group. Example: --groups group",
    ),
    click.option(
        "--per-group",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Most picks of a group of --groups. Example: --per-group 5",
    ),
    click.option(
        "--priority",
        help="lewis, random, kernel, auto: numbers >= 0, like an uncertainty, by which items count more: a column, or "
        "a csv/parquet file with item_id and priority. Example: --priority entropy.csv",
    ),
    click.option(
        "--priority-weight",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        help="Part of the priority in the blend; 1 is the priority alone. Example: --priority-weight 0.8",
    ),
    click.option(
        "--costs",
        help="Prices of the items: a column, or a csv/parquet file with item_id and cost. --budget is then money in "
        "their unit, or a share of what all cost; picks never cost more. Example: --costs minutes.csv",
    ),
    click.option(
        "--relevant-to",
        type=click.Path(path_type=Path, exists=True),
        help="Pick only items that belong to a query set: a file of items of the pool (formats as --labelled), or "
        "the folder of a second store, all its items. Others are listed in run.json. Example: --relevant-to queries",
    ),
    click.option(
        "--relevance",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.05,
        show_default=True,
        help="Share of on-topic items that --relevant-to may lose; needs 1/relevance - 1 queries. "
        "Example: --relevance 0.1",
    ),
)
_DEFAULTS = {"per_group": ("groups", 1), "priority_weight": ("priority", 0.5), "relevance": ("relevant_to", 0.05)}
_COLUMNS = {"groups": "group", "priority": "priority", "costs": "cost"}
GOALS = (*_COLUMNS, *_DEFAULTS, "relevant_to")

goal_options = adding(_OPTIONS)
"""A decorator that adds them in this order."""


def read_goals(given: dict[str, Any], pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of `oneglance.select`, and entries of run.json's request with hashes of the files: of those that are
    used only. Raises InvalidInput, and click.UsageError for an option whose partner is missing."""
    goals: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, wanted in _COLUMNS.items():
        if given[name] is not None:
            goals[name] = read_column(given[name], pool, f"--{name}", wanted)
            told |= {name: given[name], f"{name}_hash": column_digest(goals[name])}
    path = given["relevant_to"]
    if path is not None and path.is_dir():
        store = open_store(path)
        goals["relevant_to"] = store
        told |= {"relevant_to": str(path), "relevant_to_hash": store.content_hash()}
    elif path is not None:
        goals["relevant_to"] = read_items(path, "--relevant-to", pool)
        told |= {"relevant_to": str(path), "relevant_to_hash": items_digest(goals["relevant_to"])}
    for name, (partner, default) in _DEFAULTS.items():
        if partner in goals:
            goals[name] = told[name] = given[name]
        elif given[name] != default:
            options = (f"--{word.replace('_', '-')}" for word in (name, partner))
            raise click.UsageError("{} has no meaning without {}.".format(*options))
    return goals, told
