"""What `select` prints about its result."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from ..strategies import Selection
from .output import print_table, say
from .pool_text import print_certificate, print_coverage

_SHOWN, _SHOWN_STRATA = 5, 20


def print_selection(selection: Selection, out: Path) -> None:
    """Evidence, what was left out, limits, strata, the first picks, and where the files are."""
    certificate = selection.certificate
    if "backbones" in certificate:
        print_certificate(certificate)
    if "coverage" in certificate:
        print_coverage(certificate)
    if "relevance" in certificate:
        told = certificate["relevance"]
        say(f"dropped {told['n_dropped']:,} items off the topic of {told['n_queries']:,} queries, listed in run.json")
    if "dedup" in certificate:
        say(f"dropped {certificate['dedup']['n_dropped']:,} near-duplicates, listed in run.json")
    if "groups" in certificate:
        told = certificate["groups"]
        say(f"picks of {told['n_groups_picked']:,} of {told['n_groups']:,} groups, at most {told['per_group']} each")
    if "costs" in certificate:
        say(f"the picks cost {certificate['costs']['spent']:g} of {certificate['costs']['budget']:g}")
    if "strata" in certificate:
        rows = [(name, entry["available"], entry["picked"]) for name, entry in certificate["strata"].items()]
        print_table(("stratum", "available", "picked"), rows[:_SHOWN_STRATA])
        if len(rows) > _SHOWN_STRATA:
            click.echo(f"... and {len(rows) - _SHOWN_STRATA} more strata, see run.json")
    table = selection.to_table().slice(0, _SHOWN).to_pylist()
    known = selection.inclusion_prob.size and not np.isnan(selection.inclusion_prob).any()
    columns = ("rank", "item_id", "weight", "inclusion_prob" if known else "distance", "reason")
    print_table(columns, [[row[name] for name in columns] for row in table], "first picks")
    certain = f" ({selection.n_certain:,} certain)" if known else ""
    more = "" if selection.represented_by is None else ", represented.parquet"
    say(
        f"selected {len(selection):,} of {certificate['n_candidates']:,} items{certain} -> "
        f"{out / 'selected.csv'}, selected.parquet, run.json{more}"
    )
