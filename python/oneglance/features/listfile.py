"""List files: .txt, .csv, .tsv, .jsonl and .parquet as columns of strings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..store.items import read_parquet

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")
PATH_COLUMNS = ("path", "filepath", "file", "image")


@dataclass(frozen=True)
class Columns:
    """Which column of a list file (or array of an .npz) holds what; None: not there, or the default name."""

    path: str | None = None
    id: str | None = None
    label: str | None = None
    stratum: str | None = None
    group: str | None = None
    vectors: tuple[str, ...] = ()

    def option(self, role: str) -> str:
        return f"{role}_column= / --{role}-column"

    def named(self) -> dict[str, str]:
        """role -> column, for id, label, stratum and group where given."""
        roles = {"id": self.id, "label": self.label, "stratum": self.stratum, "group": self.group}
        return {role: column for role, column in roles.items() if column is not None}


def read_list(path: Path) -> dict[str, Any]:
    """Columns of a list file by name; a .txt has the one column "path". Raises InvalidInput.

    Values are strings or None, except for Parquet, whose columns come as Arrow arrays. Semicolons divide the columns of
    a .csv whose header has no comma: spreadsheets write them so in many countries.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table = read_parquet(path)
        return {name: table[name] for name in table.column_names}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"source: {path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it so."
        ) from None
    except OSError as error:
        raise InvalidInput(f"source: {path} cannot be read: {error.strerror}.") from None
    if suffix == ".txt":
        return {"path": [line.rstrip("\r") for line in text.split("\n") if line.strip()]}
    return _read_jsonl(text, path) if suffix == ".jsonl" else _read_csv(text, path, _delimiter(text, suffix))


def _delimiter(text: str, suffix: str) -> str:
    header = text.lstrip().partition("\n")[0]
    return "\t" if suffix == ".tsv" else ";" if ";" in header and "," not in header else ","


def _read_csv(text: str, path: Path, delimiter: str) -> dict[str, list[str | None]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise InvalidInput(f"source: {path}, line {reader.line_num}: {error}.") from None
    if not rows:
        raise InvalidInput(f"source: {path} is empty; a header line with column names was needed.")
    header = [name.strip() for name in rows[0]]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InvalidInput(f"source: {path} has two columns {twice[0]!r}. Give each a name of its own.")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InvalidInput(f"source: {path}, row {number} has {len(row)} fields, the header has {len(header)}.")
    return {name: [row[index] or None for row in rows[1:]] for index, name in enumerate(header)}


def _read_jsonl(text: str, path: Path) -> dict[str, list[str | None]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidInput(f"source: {path}, line {number} is not JSON: {error}.") from None
        if not isinstance(row, dict):
            raise InvalidInput(f"source: {path}, line {number} must be a JSON object, got {type(row).__name__}.")
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: strings([row.get(name) for row in rows]) for name in names}


def strings(values: Any) -> list[str | None]:
    """Any column as strings; None and NaN stay empty."""
    if hasattr(values, "to_pylist"):
        values = values.to_pylist()
    return [None if value is None or value != value else str(value) for value in values]


def choose_path_column(table: dict[str, Any], wanted: str | None, path: Path) -> str | None:
    """The column of paths: the wanted one, or the first of the usual names; None if there is none of those."""
    if wanted is not None:
        if wanted not in table:
            raise InvalidInput(f"path_column: {path} has no column {wanted!r}, only {list(table)}.")
        return wanted
    return next((name for name in PATH_COLUMNS if name in table), None)


def column_of(table: dict[str, Any], column: str, role: str, columns: Columns, path: Path) -> list[str | None]:
    """A column as strings. Raises InvalidInput naming the option."""
    if column not in table:
        raise InvalidInput(f"{columns.option(role)}: {path} has no column {column!r}, only {list(table)}.")
    return strings(table[column])


def without_gaps(values: Sequence[str | None], what: str, path: Path) -> list[str]:
    """The values if none is empty. Raises InvalidInput naming the rows."""
    gaps = [row for row, value in enumerate(values) if not value]
    if gaps:
        raise InvalidInput(
            f"source: {what} of {path} is empty in {len(gaps)} rows (the first: {gaps[:5]}, counted from 0 without "
            "header and blank lines). Fill or remove them."
        )
    return [str(value) for value in values]
