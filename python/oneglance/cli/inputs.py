"""Pools and item lists from paths, for the verbs that read features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._types import RowShards
from ..adapt.item_files import column_digest, items_digest, read_column, read_items, read_labels, read_strata
from ..errors import InvalidInput
from ..features.listfile import Columns, read_list
from ..features.vectors import VECTOR_SUFFIXES, Vectors, finite_rows, from_files, from_parquet
from ..store import open_store
from ..store.files import human_bytes
from ..strategies import Pool, as_pool
from .output import note

__all__ = [
    "PoolInput",
    "column_digest",
    "items_digest",
    "open_pool",
    "read_column",
    "read_items",
    "read_labels",
    "read_strata",
]

_SCAN_ROWS = 8192
_LARGE = 1 << 28  # bytes that take a second or more to read and hash


@dataclass(frozen=True, eq=False)
class PoolInput:
    """A pool, the hash of its content, and its bad rows (position -> reason), already marked invalid."""

    pool: Pool
    content_hash: str
    bad_rows: Mapping[int, str]


def open_pool(
    paths: Sequence[Path],
    backbones: Sequence[str] | None,
    vector_columns: Sequence[str],
    id_column: str | None,
    *,
    verify: bool = False,
) -> PoolInput:
    """A feature store's folder (hashed if `verify`), or .npy/.npz files, or one .parquet with list columns."""
    if len(paths) == 1 and paths[0].is_dir():
        store = open_store(paths[0], verify=verify)
        reasons = store.column("reason")
        bad = {int(row): str(reasons[row]) for row in np.flatnonzero(~store.valid)}
        return PoolInput(as_pool(store, backbones), store.content_hash(), bad)
    columns = Columns(id=id_column, vectors=tuple(vector_columns))
    suffixes = {path.suffix.lower() for path in paths}
    for path in paths:
        if not path.exists():
            raise InvalidInput(f"{path} does not exist. Give a feature store (see `oneglance embed`) or vectors.")
    n_bytes = sum(path.stat().st_size for path in paths)
    if n_bytes > _LARGE:
        note(f"hashing and checking {human_bytes(n_bytes)} of vectors ...")
    if suffixes <= set(VECTOR_SUFFIXES):
        vectors = from_files(paths, columns)
    elif suffixes == {".parquet"} and len(paths) == 1:
        vectors = from_parquet(read_list(paths[0]), paths[0], columns)
    else:
        raise InvalidInput(
            f"the input must be one feature store, .npy/.npz files, or one .parquet file, got "
            f"{', '.join(map(str, paths[:4]))}. For pictures run `oneglance embed` first."
        )
    pool = as_pool(_pool_of(vectors, id_column, ", ".join(path.name for path in paths)), backbones)
    bad_rows = _bad_rows(pool)
    pool.valid[list(bad_rows)] = False
    return PoolInput(pool, vectors.info.hash, bad_rows)


def _pool_of(vectors: Vectors, id_column: str | None, where: str) -> Pool:
    n_items = len(vectors.items)
    ids = None if id_column is None else np.array([*vectors.items.ids, None], dtype=object)[:-1]
    features = {name: RowShards((array,)) for name, array in vectors.arrays.items()}
    return Pool(features, np.ones(n_items, dtype=np.bool_), ids, where=where)


def _bad_rows(pool: Pool) -> dict[int, str]:
    """Rows that are not finite or all zero under some backbone, as `embed` would mark them."""
    bad: dict[int, str] = {}
    for name, rows in pool.features.items():
        first = 0
        for shard in rows:
            for start in range(0, shard.shape[0], _SCAN_ROWS):
                bad.update(finite_rows(shard[start : start + _SCAN_ROWS], first + start, name))
            first += shard.shape[0]
    return dict(sorted(bad.items()))
