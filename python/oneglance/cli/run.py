"""`oneglance run`: the whole way, from a pool to a report, as pipeline.toml says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import note, print_json, print_table, say
from .progress import STYLES, shown

if TYPE_CHECKING:
    from ..pipeline import PipelineRun

EXIT_LABELS_NEEDED, EXIT_STOPPED = 5, 6


@click.command(short_help="All steps from a pool to a report, from one file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("pipeline.toml"))
@click.option("--init", is_flag=True, help="Write FILE with every key, its default and what it is for, and stop.")
@click.option("--dry-run", is_flag=True, help="Say which steps would run, why and for how long (a few pictures are "
              "timed), and stop. Writes nothing.")  # fmt: skip
@click.option("--status", is_flag=True, help="Say what is done so far and what it cost, and stop. Reads no pool.")
@click.option("--until", metavar="STEP", help="The last step to do. Example: --until select")
@click.option(
    "--from", "rerun", metavar="STEP", help="Do this step and those after it again, whatever is there. Example: "
    "--from adapt",
)  # fmt: skip
@click.option(
    "--force",
    multiple=True,
    metavar="GATE",
    help="Go on although this gate says no-go; the ledger keeps it. labels: with those that are back. Repeatable.",
)
@click.option("--verify", is_flag=True, help="Hash what earlier runs wrote instead of comparing sizes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, notes on stderr.")
@click.option("--progress", "style", type=click.Choice(STYLES), default="auto", show_default=True, help="On stderr.")
def run(
    file: Path,
    init: bool,
    dry_run: bool,
    status: bool,
    until: str | None,
    rerun: str | None,
    force: tuple[str, ...],
    verify: bool,
    as_json: bool,
    style: str,
) -> None:
    """Audit, embed, select, wait for the labels, adapt, evaluate, report: as FILE (pipeline.toml) says.

    A step runs if what it reads, its settings or its code have changed, and is kept otherwise. When labels are
    needed the run stops with exit code 5: fill in to_label.csv, and type the same command again. Where a gate says
    no-go it stops with exit code 6.

    \b
    Examples:
      oneglance run --init
      oneglance run pipeline.toml
      oneglance run pipeline.toml --dry-run
      oneglance run pipeline.toml --force duplicates
    """
    from ..pipeline import pipeline_status, run_pipeline, write_template

    if sum((init, dry_run, status)) > 1:
        raise click.UsageError("--init, --dry-run and --status exclude each other.")
    if init:
        write_template(file)
        say(f"-> {file}. Name the pool, its backbones and the budget in it; then: oneglance run {file}")
        return
    if status:
        found = pipeline_status(file)
    else:
        with shown(style) as progress:
            found = run_pipeline(
                file,
                until=until,
                rerun=rerun,
                force=force,
                verify=verify,
                dry_run=dry_run,
                progress=note,
                item_progress=progress if callable(progress) else None,
            )
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    code = {"labels needed": EXIT_LABELS_NEEDED, "stopped": EXIT_STOPPED}.get(found.state)
    if code is not None:
        raise click.exceptions.Exit(code)


def _print(found: PipelineRun) -> None:
    from ..pipeline.report import REPORTS, ledger_table

    rows = [(one.name, one.state, "; ".join(filter(None, (one.why, one.takes)))) for one in found.steps]
    print_table(("step", "state", "why"), rows)
    stopping = [gate for gate in found.gates if not gate.go]
    for gate in stopping:
        say(f"gate {gate.name} ({gate.step}): {gate.word}. {gate.reason}")
    if found.ledger["steps"]:
        say("")
        table = ledger_table(found.ledger)
        print_table(table.header, table.rows, table.title)
    say("")
    say(f"{found.state}: {found.message}")
    if (found.folder / REPORTS[0]).exists():
        say(f"-> {found.folder / REPORTS[0]}, {', '.join(REPORTS[1:])}, ledger.jsonl")
