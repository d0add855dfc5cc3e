"""`oneglance report`: the report of a pipeline written anew."""

from __future__ import annotations

from pathlib import Path

import click

from .output import say


@click.command(short_help="Write the report of a pipeline anew.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("pipeline.toml"))
def report(file: Path) -> None:
    """Write report.html, report.md and report.json of FILE (pipeline.toml) anew from what is done so far.

    `oneglance run` does so at the end of every run; this is for a changed title, or a report that is gone. Reads no
    pool and runs nothing.

    \b
    Example:
      oneglance report pipeline.toml
    """
    from ..pipeline import report_pipeline

    say(f"-> {', '.join(str(path) for path in report_pipeline(file))}")
