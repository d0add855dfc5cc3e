"""What `oneglance audit` prints: its plan, and what it found."""

from __future__ import annotations

from pathlib import Path

from ..auditing.plan import AuditPlan
from ..auditing.report import figure_tables, how_bad
from ..auditing.result import FILES, Audit
from ..store.files import human_bytes
from .output import counted, duration, print_json, print_table, say

_SHOWN = 12


def print_plan(plan: AuditPlan, as_json: bool) -> None:
    if as_json:
        print_json({"plan": plan.as_dict()})
        return
    rows: list[tuple[str, str]] = [
        ("items", f"{plan.n_items:,}"),
        ("pictures", f"{plan.n_pictures:,}, each decoded once" if plan.n_pictures else "none"),
        *((f"backbone {name}", f"{entry['d']} x {entry['dtype']}") for name, entry in plan.backbones.items()),
        ("passes", f"up to {plan.passes} per backbone" if plan.passes else "none: no features are read"),
        ("read per pass", human_bytes(plan.read_bytes)),
        ("memory", f"about {human_bytes(plan.ram_bytes)} beyond the features"),
        ("disk", f"about {human_bytes(plan.disk_bytes)} at most"),
        ("time", f"about {duration(plan.seconds)}, a rough guess"),
    ]
    print_table(("plan", ""), rows)


def print_audit(found: Audit, out: Path) -> None:
    for one in found.findings[:_SHOWN]:
        say(f"{one.severity}: {one.what}")
        say(f"  {how_bad(one.value, one.threshold, one.measure)}")
        say(f"  {one.advice}")
    if len(found.findings) > _SHOWN:
        say(f"... and {len(found.findings) - _SHOWN} more, see {out / FILES[1]}")
    if not found.findings:
        say(f"nothing found in {counted(found.n_items, 'item')}")
    for title, header, rows in figure_tables(found.as_dict()["metrics"]):
        say("")
        print_table(header, rows, title)
    if "caution" in found.metrics:
        say(found.metrics["caution"])
    say("")
    left = sum(rows.size for rows in found.dropped().values())
    if left:
        say(f"{counted(left, 'item')} to leave out: oneglance select ... --audit {out}")
    say(f"-> {', '.join(str(out / name) for name in FILES)}")
