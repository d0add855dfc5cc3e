"""What `select` and `weights` print alike: bad rows, plans, certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..store.files import human_bytes
from ..strategies.plan import Plan
from .inputs import PoolInput
from .output import cell, counted, duration, note, print_json, print_table, say

_SHOWN = 5


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
        *((f"backbone {name}", f"{entry['d']} x {entry['dtype']}") for name, entry in plan.backbones.items()),
        ("passes", f"up to {plan.passes} per backbone" if plan.backbones else "none: no features are read"),
        ("read per pass", human_bytes(plan.read_bytes)),
        ("memory", f"about {human_bytes(plan.ram_bytes)} beyond the features"),
        ("disk", f"about {human_bytes(plan.disk_bytes)}"),
        ("time", f"at most about {duration(plan.seconds)}" if plan.seconds >= 1 else "< 1 s"),
    ]
    if "n_picks" in more:
        rows.insert(1, ("to label", f"{more['n_picks']:,}"))
    print_table(("plan", ""), rows)


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
