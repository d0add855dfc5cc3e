"""All answers that ever came back, by item: files may be replaced or shortened, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInput, StoreError
from ..features.listfile import LIST_SUFFIXES, read_list, strings
from ..store.files import digest, json_bytes, write_atomic

BOOK = "answers.json"
_IDS = ("item_id", "id", "row_id")


@dataclass(frozen=True)
class Taken:
    """What a reading of the files brought: new answers, corrected ones (item -> old, new), empty lines."""

    n_new: int
    corrected: dict[str, tuple[str, str]]
    n_empty: int


class Book:
    """Item id -> answer, in the order in which they came. An answer is a class, or the word for "I cannot tell"."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, str] = {}
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                self.answers = {str(item): str(answer) for item, answer in found["answers"].items()}
            except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
                raise StoreError(
                    f"{path} is damaged ({error}). It holds the answers that came back: restore it, or remove it and "
                    "run again, which reads the labels files anew."
                ) from None

    def digest(self) -> str:
        return digest(json.dumps(self.answers).encode())

    def labels(self, unknown: str) -> dict[str, str]:
        """Answers that are classes."""
        return {item: answer for item, answer in self.answers.items() if answer != unknown}

    def take(self, files: Sequence[Path], ids: Sequence[str]) -> Taken:
        """Takes in what the files say about items of a pool with these ids; a file that is not there says nothing. A
        later answer replaces an earlier one. Of items that have left the pool, rows without an answer, or with the one
        that is kept already, say nothing.

        Raises InvalidInput for other items that are not in the pool and for two answers to one item within the files:
        then nothing is taken.
        """
        said: dict[str, tuple[str, Path, int]] = {}
        n_empty = 0
        for file in files:
            if not file.exists():
                continue
            for line, (item, text) in enumerate(_read(file, ids, self.answers), start=2):
                if not text:
                    n_empty += 1
                    continue
                first = said.setdefault(item, (text, file, line))
                if first[0] != text:
                    raise InvalidInput(
                        f"labels: {item!r} is {first[0]!r} in {first[1].name}, row {first[2]}, and {text!r} in "
                        f"{file.name}, row {line}. Keep one of them; nothing was taken in."
                    )
        before = self.answers
        corrected = {
            item: (before[item], text) for item, (text, _, _) in said.items() if before.get(item, text) != text
        }
        n_new = sum(item not in before for item in said)
        self.answers = {**before, **{item: text for item, (text, _, _) in said.items()}}
        return Taken(n_new, corrected, n_empty)

    def save(self) -> None:
        """Raises StoreError."""
        write_atomic(self.path, [json_bytes({"answers": self.answers})])


def _read(file: Path, ids: Sequence[str], before: Mapping[str, str]) -> list[tuple[str, str]]:
    """Ids and answers ("": none) of a file, row by row. before: answers that are kept. Raises InvalidInput."""
    if file.suffix.lower() not in LIST_SUFFIXES or file.suffix.lower() == ".txt":
        raise InvalidInput(f"labels: {file} must be a .csv, .tsv, .jsonl or .parquet file with item_id and label.")
    table: Mapping[str, object] = read_list(file)
    key = next((name for name in _IDS if name in table), None)
    if key is None or "label" not in table:
        raise InvalidInput(
            f"labels: {file} needs the columns item_id and label, it has {', '.join(table)}. The list to fill in has "
            "both."
        )
    known = set(ids)
    items = [value if value in known else value.strip() for value in (found or "" for found in strings(table[key]))]
    if key == "row_id":
        items = [ids[int(row)] if row.isdigit() and int(row) < len(ids) else row for row in items]
    said = list(zip(items, [(value or "").strip() for value in strings(table["label"])], strict=True))
    strange = [
        (item, line)
        for line, (item, text) in enumerate(said, start=2)
        if item not in known and text and before.get(item) != text
    ]
    if strange:
        shown = ", ".join(f"{item!r} (row {line})" for item, line in strange[:5])
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        raise InvalidInput(
            f"labels: {file.name} names {len(strange)} of {len(items)} items that are not in the pool: {shown}{more}. "
            f"Its ids look like {ids[0]!r}. Mend or remove these rows; nothing was taken in."
        )
    return said


def missing(picked: Sequence[str], answers: Mapping[str, str]) -> list[str]:
    """Picks without an answer, in their order."""
    return [item for item in picked if item not in answers]
