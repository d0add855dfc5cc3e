"""What `select` and `weights` do and print alike: opening the pool, plans, certificates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .._types import BoolArray
from ..store.files import human_bytes
from ..strategies import Pool
from ..strategies.candidates import available
from ..strategies.plan import Plan
from .inputs import PoolInput, open_pool, read_items
from .output import cell, counted, duration, note, print_json, print_table, say

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Opened:
    """A pool with the items that are labelled or not wanted, and what is left of it.

    left    (n_items,) bool, items that may be picked
    counts  how many items are left out for what, see strategies.candidates.available
    """

    source: PoolInput
    labelled: npt.NDArray[Any] | None
    unwanted: npt.NDArray[Any] | None
    left: BoolArray
    counts: dict[str, int]

    @property
    def pool(self) -> Pool:
        return self.source.pool


def opened(
    inputs: tuple[Path, ...],
    *,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    verify: bool,
    labelled: Path | None,
    exclude: Path | None,
) -> Opened:
    """Opens the pool, reads the item lists, and says on stderr what is left out."""
    source = open_pool(inputs, backbones, vector_columns, id_column, verify=verify)
    done, unwanted = (
        read_items(labelled, "--labelled", source.pool),
        read_items(exclude, "--exclude", source.pool),
    )
    warn_of_bad_rows(source)
    note_left_out(done, labelled, "--labelled")
    note_left_out(unwanted, exclude, "--exclude")
    left, counts = available(source.pool, done, unwanted)
    return Opened(source, done, unwanted, left, counts)


def warn_of_bad_rows(source: PoolInput) -> None:
    """One line on stderr for the items that are left out as unusable."""
    if not source.bad_rows:
        return
    count = len(source.bad_rows)
    first = "; ".join(f"row {row}: {reason}" for row, reason in list(source.bad_rows.items())[:_SHOWN])
    more = "; ..." if count > _SHOWN else ""
    note(f"{count} of {counted(source.pool.n_items, 'item')} cannot be used and are left out ({first}{more})")


def note_left_out(items: Any, path: Path | None, option: str) -> None:
    """What an item list was counted as, so that a wrong or empty file is noticed."""
    if items is None:
        return
    count = len(set(items.tolist()))
    note(f"{option}: {counted(count, 'item')} in {path}" + ("" if count else ". The file names none"))


def show_plan(plan: Plan, as_json: bool, more: dict[str, Any]) -> None:
    """Prints a plan as a table or as a JSON document."""
    if as_json:
        print_json({"plan": {**plan.as_dict(), **more}})
        return
    rows: list[tuple[str, str]] = [
        ("items", f"{plan.n_items:,}, of which {plan.n_candidates:,} can be used"),
        *((f"backbone {name}", _width(entry)) for name, entry in plan.backbones.items()),
        ("passes", f"up to {plan.passes:,} per backbone" if plan.backbones else "none: no features are read"),
        ("read per pass", human_bytes(plan.read_bytes)),
        ("memory", f"about {human_bytes(plan.ram_bytes)} beyond the features"),
        ("disk", f"about {human_bytes(plan.disk_bytes)}"),
        ("time", f"at most about {duration(plan.seconds)}" if plan.seconds >= 1 else "< 1 s"),
    ]
    if "n_picks" in more:
        rows.insert(1, ("to label", f"{more['n_picks']:,}"))
    print_table(("plan", ""), rows)


def _width(entry: dict[str, Any]) -> str:
    patterns = f", {counted(entry['n_patterns'], 'pattern')}" if entry.get("n_patterns") else ""
    return f"{entry['d']} x {entry['dtype']}{patterns}"


def print_coverage(certificate: dict[str, Any]) -> None:
    """How well the picks cover the candidates, for a few budgets."""
    coverage = certificate["coverage"]
    curve = coverage["curve"]
    shown = (
        curve if len(curve) <= _SHOWN else [curve[round(i * (len(curve) - 1) / (_SHOWN - 1))] for i in range(_SHOWN)]
    )
    space = coverage if "metric" in coverage else certificate
    rows = [(point["picks"], point["radius"], point["mean"]) for point in shown]
    print_table(
        ("picks", "largest", "mean"), rows, f"distance to the nearest pick, {space['metric']} {space['backbone']}"
    )
    if "note" in certificate:
        say(f"note: {certificate['note']}")


def print_certificate(certificate: dict[str, Any]) -> None:
    """The table of backbones, and how far they agree."""
    columns = ("n", "d", "rank", "passes", "residual", "precision", "condition")
    rows = []
    for name, entry in certificate["backbones"].items():
        stopped_short = {} if entry["converged"] else {"residual": f"{entry['residual']:.3g} NOT CONVERGED"}
        rows.append([name, *({**entry, **stopped_short}[column] for column in columns)])
    print_table(("backbone", *columns), rows)
    say(
        f"T = sum of the largest weights = {certificate['total']:,.1f} (at most "
        f"{cell(certificate['total_bound'])} = min(sum of ranks, n)); "
        f"kappa(10 %) = {cell(certificate['kappa_10'])}"
    )
    for name, entry in certificate["backbones"].items():
        if "note" in entry:
            say(f"note: {name}: {entry['note']}")
