"""Progress of the verbs: a rich bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..features.progress import Callback, PlainProgress, Progress, clock

STYLES = ("auto", "rich", "plain", "none")


@contextmanager
def shown(style: str = "auto") -> Iterator[Callback | bool]:
    """What to pass as progress= to a library call; writes to stderr, so that stdout stays for results.

    style  "auto" (rich on a terminal, plain elsewhere), "rich", "plain" or "none"
    """
    if style == "none":
        yield False
    elif style == "plain" or (style == "auto" and not sys.stderr.isatty()):
        yield PlainProgress()
    else:
        with _bar() as callback:
            yield callback


@contextmanager
def _bar() -> Iterator[Callback]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rest]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None, rate="", rest="")

        def update(progress: Progress) -> None:
            eta = "ETA unknown" if progress.eta_s is None else f"ETA {clock(progress.eta_s)}"
            bar.update(
                task,
                description=progress.what,
                completed=progress.done,
                total=progress.total,
                rate=f"{progress.per_s:.1f} items/s",
                rest=f"{eta}, {progress.n_bad} bad",
            )

        yield update
