"""Printing shared by verbs: tables for people, one JSON document for programs, notes on stderr."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import click


def print_json(document: Any) -> None:
    """The one document of --json, on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def note(text: str) -> None:
    """A line for the person watching, on stderr: it never mixes with a document or table on stdout."""
    click.echo(fitted(text, sys.stderr), err=True)


def say(text: str) -> None:
    """A line on stdout; on a terminal it is wrapped between words to fit."""
    click.echo(fitted(text, sys.stdout))


def fitted(text: str, stream: TextIO) -> str:
    """The line as it is, or wrapped between words where the stream is a terminal; its indent is kept."""
    if not stream.isatty():
        return text
    width = max(40, shutil.get_terminal_size().columns)
    inner = " " * (len(text) - len(text.lstrip(" ")) + 2)
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )


def counted(count: int, noun: str) -> str:
    """ "1 item", "1,234 items"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """A table on stdout: rich on a terminal, aligned plain text elsewhere. Numbers go to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    right = [all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(headers))]
    if sys.stdout.isatty():
        _rich_table(headers, cells, right, title)
        return
    widths = [max(len(line[i]) for line in [list(headers), *cells]) for i in range(len(headers))]
    if title:
        click.echo(title)
    for line in [list(headers), *cells]:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def _rich_table(headers: Sequence[str], cells: list[list[str]], right: list[bool], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,  # nine columns must fit into 80 characters
    )
    for header, to_right in zip(headers, right, strict=True):
        table.add_column(header, justify="right" if to_right else "left")
    for line in cells:
        table.add_row(*(Text(text) for text in line))
    Console().print(table)


def cell(value: Any) -> str:
    """yes/no for truth values, three digits for fractions, grouped thousands for counts."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def duration(seconds: float) -> str:
    """About how long: "< 1 s", "12 s", "4 min", "1.5 h"."""
    if seconds < 1:
        return "< 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Python warnings of the block as texts, so that they are printed once and in one place."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts.extend(str(warning.message) for warning in caught)
