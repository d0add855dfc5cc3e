"""What files say of the items of a pool: lists of ids, labels, strata, any other column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..features.listfile import LIST_SUFFIXES, read_list
from ..store.files import digest
from ..strategies.pool import Pool

_ID_COLUMNS = ("item_id", "id", "row_id", "path")
_ARRAYS = (".npy", ".npz")


def read_items(path: Path | None, option: str, pool: Pool) -> npt.NDArray[Any] | None:
    """Ids (or row positions) from a list file: column item_id, id, row_id or path, or .txt lines. Blanks around an id
    go, unless the pool has it with them."""
    if path is None:
        return None
    table = _read(path, option)
    name = next((name for name in _ID_COLUMNS if name in table), None)
    if name is None:
        raise InvalidInput(
            f"{option}: {path} has the columns {list(table)[:6]}; one must be called item_id, id or row_id. "
            "For a bare list of ids use a .txt file, one per line."
        )
    if pool.ids is None and "row_id" in table:
        name = "row_id"
    texts = [value.strip() for value in table[name]]
    if pool.ids is not None and name != "row_id":
        own = set(pool.ids.tolist()) if texts != table[name] else set()
        found = (value if value in own else text for value, text in zip(table[name], texts, strict=True))
        return np.array([*found, None], dtype=object)[:-1]
    try:
        return np.array([int(text) for text in texts], dtype=np.int64)
    except ValueError:
        wrong = next(text for text in texts if not text.lstrip("-").isdigit())
        if pool.ids is not None:
            raise InvalidInput(
                f"{option}: the column row_id of {path} must hold whole numbers, got {wrong!r}. To give names call "
                "the column item_id."
            ) from None
        raise InvalidInput(
            f"{option}: {path} must hold row positions (whole numbers), because {pool.where} has no "
            f"item ids; got {wrong!r}. For vectors in .parquet or .npz name the ids with --id-column."
        ) from None


def read_strata(value: str | None, pool: Pool) -> Any:
    """A column's name as it is; a file (id column and one more) as one stratum per item of the pool."""
    return read_column(value, pool, "--strata", "stratum")


def read_column(value: str | None, pool: Pool, option: str, wanted: str) -> Any:
    """A column of the store by name; else a file with an id column and one called `wanted`, or any one more, as one
    text per item of the pool, None for items that the file does not name."""
    if value is None or value in pool.columns or Path(value).suffix.lower() not in LIST_SUFFIXES:
        return value
    path = Path(value)
    table = _read(path, option)
    others = [name for name in table if name not in _ID_COLUMNS]
    name = wanted if wanted in table else others[0] if len(others) == 1 else None
    if name is None:
        raise InvalidInput(f"{option}: {path} needs a column called {wanted}, it has {list(table)}.")
    keys = [key for key in _ID_COLUMNS if key in table]  # names first: positions are those of one pool only
    if not keys:
        raise InvalidInput(f"{option}: {path} needs a column called item_id, id or row_id, it has {list(table)}.")
    key = "row_id" if pool.ids is None and "row_id" in keys else keys[0]
    found = np.full(pool.n_items, None, dtype=object)
    named = pool.ids is not None and key != "row_id"
    row_of = {str(item): row for row, item in enumerate(pool.ids.tolist())} if named and pool.ids is not None else {}
    for item, entry in zip(table[key], table[name], strict=True):
        row = row_of.get(item) if named else int(item) if item.isdecimal() and int(item) < pool.n_items else None
        if row is None:
            raise InvalidInput(
                f"{option}: {path} names the item {item!r}, which is not in {pool.where}. "
                "Correct the name, or take the line out."
            )
        if found[row] not in (None, entry):
            raise InvalidInput(
                f"{option}: {path} puts the item {item!r} into {found[row]!r} and {entry!r}. Keep one of the lines."
            )
        found[row] = entry
    return found


def read_labels(value: str, pool: Pool, option: str) -> Any:
    """A column's name; or the array of a .npy file, of FILE.npz:ARRAY, or one entry per item from a list file."""
    name, _, array = value.partition(".npz:")
    path = Path(f"{name}.npz" if array else value)
    if value not in pool.columns and path.suffix.lower() in _ARRAYS:
        if not path.exists():
            raise InvalidInput(f"{option}: {path} does not exist.")
        loaded = np.load(path, allow_pickle=False)
        if path.suffix.lower() == ".npz":
            names = list(loaded.files)
            if array not in names:
                raise InvalidInput(f"{option}: name an array of {path} as {path}:NAME; it has {', '.join(names)}.")
            return loaded[array]
        return loaded
    found = read_column(value, pool, option, "label")
    if isinstance(found, str) and found not in pool.columns:
        columns = ", ".join(pool.columns) or "none"
        raise InvalidInput(
            f"{option}: {value!r} is neither a column of {pool.where} (it has {columns}) nor a .csv, .jsonl, .parquet, "
            ".npy or .npz file."
        )
    return found


def _read(path: Path, option: str) -> dict[str, list[str]]:
    if path.suffix.lower() not in LIST_SUFFIXES:
        raise InvalidInput(f"{option}: {path} must be a {', '.join(LIST_SUFFIXES)} file.")
    try:
        table = read_list(path)
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("source:", f"{option}:", 1)) from None
    plain = {name: values.to_pylist() if hasattr(values, "to_pylist") else values for name, values in table.items()}
    return {name: ["" if value is None else str(value) for value in values] for name, values in plain.items()}


def items_digest(items: npt.NDArray[Any] | None) -> str | None:
    """Hash of the items of a list, order and repeats aside; None for no list."""
    if items is None:
        return None
    return digest("\n".join(sorted({str(item) for item in items.tolist()})).encode())


def column_digest(values: Any) -> str | None:
    """Hash of one value per item; None where they are a column of the hashed input, or not used."""
    return digest(repr(values.tolist()).encode()) if isinstance(values, np.ndarray) else None
