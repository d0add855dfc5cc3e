"""`oneglance doctor`: what is installed, what will be used, and whether it computes right."""

from __future__ import annotations

import json

import click

from .._build_info import build_info
from ..reference import self_check


@click.command(short_help="Show the build; check that it computes right.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of tables.")
def doctor(as_json: bool) -> None:
    """Show how oneglance was built and check the compiled core against its definitions.

    Exit code 1 when a check fails: then please report the whole output.

    Example: ONEGLANCE_ISA=baseline oneglance doctor
    """
    info = build_info()
    results = list(self_check.run())
    failed = [result for result in results if not result.ok]
    if as_json:
        checks = [{"name": r.name, "error": r.error, "tolerance": r.tolerance, "ok": r.ok} for r in results]
        click.echo(json.dumps({"build_info": info, "checks": checks, "ok": not failed}, indent=2))
    else:
        for key, value in info.items():
            text = ", ".join(value) if isinstance(value, list) else value
            click.echo(f"{key:<{max(map(len, info))}}  {text}".rstrip())
        click.echo()
        for result in failed:
            click.echo(f"FAILED  {result.name}: relative error {result.error:.1e}, accepted {result.tolerance:.0e}")
        worst = max(result.error for result in results)
        click.echo(
            f"self-check: {len(results) - len(failed)} of {len(results)} comparisons with the definitions "
            f"agree (largest relative error {worst:.1e})"
        )
    if failed:
        raise click.exceptions.Exit(1)
