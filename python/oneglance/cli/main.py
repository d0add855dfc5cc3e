"""The `oneglance` command. Verbs are imported when they are called, so that `--help` stays fast."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import Any

import click

from .. import __version__
from ..errors import BadData, OneglanceError
from .lazy import LazyGroup

VERBS = (
    *("adapt", "audit", "doctor", "embed", "evaluate", "plan"),
    *("pretrain", "quickstart", "report", "run", "select", "weights"),
)

EXIT_USAGE, EXIT_BAD_DATA, EXIT_INTERRUPTED = 2, 3, 4


@click.group(
    cls=LazyGroup,
    modules=dict(zip(VERBS, VERBS, strict=True)),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="oneglance")
def cli() -> None:
    """One glance at an unlabelled pool says what to label.

    First embed your pictures (or take ready vectors), then select.
    """


def _stop(*_: Any) -> None:
    """SIGTERM as Ctrl-C: a scheduler's or container's stop then cleans up and exits with 4 as well."""
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: turns oneglance's own errors into one line on stderr and an exit code.

    0 done, 2 usage or invalid input, 3 more bad data than allowed, 4 interrupted but resumable, 5 labels are needed,
    6 a gate says no-go.
    """
    with contextlib.suppress(ValueError):  # not in the main thread, where no signal arrives
        signal.signal(signal.SIGTERM, _stop)
    try:
        code = cli.main(standalone_mode=False, prog_name="oneglance")
        if isinstance(code, int) and code:  # what a verb gave to click.exceptions.Exit
            sys.exit(code)
    except click.exceptions.Abort:
        click.echo("interrupted; run the same command again to go on.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        click.echo("interrupted; run the same command again to go on.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except BadData as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_BAD_DATA)
    except OneglanceError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
