"""What an audit is of: pictures, features, or both, brought to one numbering of items."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import IntArray, RowShards
from ..errors import InvalidInput
from ..features.listfile import LIST_SUFFIXES, Columns, read_list
from ..features.pictures import MAX_PIXELS, Pictures
from ..features.source import Source, open_source
from ..features.vectors import Vectors
from ..store import FeatureStore, open_store
from ..store.manifest import MANIFEST, UNFINISHED
from ..strategies import Pool
from ..strategies.pool import as_pool


@dataclass(frozen=True, eq=False)
class Material:
    """Items with features (pool), pictures, or both.

    ids       (n,) str objects, None where items have positions only
    rows      int64 (number of pictures,): the item that each picture belongs to
    columns   what is known of the items, by name: (n,) str objects or None each
    reasons   row -> why it is invalid in the store
    where     what to call it
    """

    n_items: int
    ids: npt.NDArray[np.object_] | None
    pool: Pool | None
    pictures: Pictures | None
    rows: IntArray
    columns: Mapping[str, npt.NDArray[Any]]
    reasons: Mapping[int, str]
    where: str


def open_material(
    source: Any,
    pictures: Any,
    backbones: Sequence[str] | None,
    name: str,
    max_pixels: int = MAX_PIXELS,
    columns: Columns | None = None,
) -> Material:
    """Finds out what `source` is: a store or its path, a Pool, arrays by backbone, or pictures as og.embed takes them;
    a Material passes through.

    pictures  those of the items of a source of features, in files whose ids are the items', or as many in its order
    name      the argument's, for messages
    columns   of list files of pictures: the paths, and where there is such a column, the ids

    Raises InvalidInput, StoreError.
    """
    if isinstance(source, Material):
        return source
    if isinstance(source, (str, os.PathLike)) and is_store(Path(source)):
        source = open_store(source)
    if isinstance(source, (FeatureStore, Pool, RowShards)) or _is_features(source):
        reasons = _reasons(source) if isinstance(source, FeatureStore) else {}
        pool = as_pool(source, backbones)
        return _with_pictures(pool, reasons, pictures, name, max_pixels, columns)
    opened = source if isinstance(source, Source) else open_source(source, columns, max_pixels=max_pixels)
    if opened.vectors is not None:
        return _with_pictures(as_pool(_pool_of(opened.vectors), backbones), {}, pictures, name, max_pixels, columns)
    if pictures is not None:
        raise InvalidInput(f"{name} holds pictures already: leave pictures= / --pictures out.")
    return _of_pictures(opened, name)


def common_backbones(mine: Material, theirs: Material) -> dict[str, str]:
    """Backbones that can be compared, and what the second pool calls them: the same names, or the only ones of both."""
    if mine.pool is None or theirs.pool is None:
        return {}
    ours, others = mine.pool.features, theirs.pool.features
    if len(ours) == len(others) == 1:
        return dict(zip(ours, others, strict=True))
    return {name: name for name in ours if name in others}


def is_store(path: Path) -> bool:
    return path.is_dir() and any((path / file).is_file() for file in (MANIFEST, UNFINISHED))


def _is_features(source: Any) -> bool:
    """Arrays of features (2-D, not uint8), in a mapping or a list."""
    if isinstance(source, Mapping):
        return True
    if isinstance(source, (list, tuple)):
        return bool(source) and all(_is_features(item) for item in source if not isinstance(item, (list, tuple)))
    return getattr(source, "ndim", None) == 2 and str(getattr(source, "dtype", "")).removeprefix("torch.") != "uint8"


def _reasons(store: FeatureStore) -> dict[int, str]:
    reasons = store.column("reason")
    return {int(row): str(reasons[row]) for row in np.flatnonzero(~store.valid)}


def _pool_of(vectors: Vectors) -> Pool:
    features = {name: RowShards((array,)) for name, array in vectors.arrays.items()}
    return Pool(features, np.ones(len(vectors.items), dtype=np.bool_), where=vectors.info.description)


def _of_pictures(opened: Source, name: str) -> Material:
    items, pictures = opened.items, opened.pictures
    if pictures is None:
        raise InvalidInput(f"{name} holds neither pictures nor features.")
    columns = {
        column: _objects(values)
        for column, values in (("label", items.labels), ("stratum", items.strata), ("group", items.groups))
        if values is not None
    }
    n = len(items)
    return Material(n, _objects(items.ids), None, pictures, np.arange(n), columns, {}, opened.info.description)


def _with_pictures(
    pool: Pool, reasons: Mapping[int, str], pictures: Any, name: str, max_pixels: int, listed: Columns | None
) -> Material:
    if not pool.features:
        raise InvalidInput(f"{name}: {pool.where} holds patterns only, an audit needs one row of features per item.")
    columns = {key: values for key, values in pool.columns.items() if key != "source"}
    places = pool.columns.get("source", pool.sources)
    if places is not None:
        columns["folder"] = _objects([str(place).rpartition("/")[0] or None for place in places])
    n = pool.n_items
    bare = Material(n, pool.ids, pool, None, np.empty(0, dtype=np.int64), columns, reasons, pool.where)
    if pictures is None:
        return bare
    opened = open_source(pictures, _there(listed, pictures), max_pixels=max_pixels, for_backbones=True)
    if opened.pictures is None:
        raise InvalidInput(f"pictures= / --pictures: {opened.info.description} holds no pictures.")
    if pool.ids is None:
        if len(opened.items) != n:
            raise InvalidInput(
                f"pictures= / --pictures has {len(opened.items)} pictures, {name} has {n} items without ids. Both "
                "must list the same items in the same order."
            )
        rows = np.arange(n)
    else:
        rows = pool.ordered_positions(list(opened.items.ids), "pictures")
    return Material(n, pool.ids, pool, opened.pictures, rows.astype(np.int64), columns, reasons, pool.where)


def _there(columns: Columns | None, pictures: Any) -> Columns | None:
    """Without the column of ids where the pictures are no list that has it: their paths name them then."""
    if columns is None or columns.id is None:
        return columns
    path = Path(pictures) if isinstance(pictures, (str, os.PathLike)) else None
    lists = path is not None and path.is_file() and path.suffix.lower() in LIST_SUFFIXES
    return columns if path is not None and lists and columns.id in read_list(path) else replace(columns, id=None)


def _objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    return np.array([*values, None], dtype=object)[:-1]
