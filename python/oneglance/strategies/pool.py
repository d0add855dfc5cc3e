"""The pool as strategies see it, whatever it came from: a store, arrays, or files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import as_shards
from .._types import BoolArray, IntArray, Patterns, RowShards
from ..errors import InvalidInput
from ..store import FeatureStore, open_store

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows of one pool under one or more backbones.

    features  backbone name -> (n_items, d) rows; not read before a strategy asks
    patterns  backbone name -> patterns of the items, where there are any; not read before a strategy asks
    valid     (n_items,) bool; False rows are never picked
    ids       (n_items,) str objects, the user's names; None where rows have only positions
    sources   (n_items,) str objects or None: where an item came from
    columns   further columns of the items by name (stratum, label, ...), (n_items,) objects each
    where     what to call this pool in a message
    kept      small answers that depend on the features and a key alone (Lewis weights), for further selections from
              this same pool: an evaluation makes hundreds
    """

    features: Mapping[str, RowShards]
    valid: BoolArray
    ids: npt.NDArray[np.object_] | None = None
    sources: npt.NDArray[np.object_] | None = None
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    where: str = "the pool"
    patterns: Mapping[str, Patterns] = field(default_factory=dict)
    kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def n_items(self) -> int:
        return int(self.valid.size)

    def positions(self, items: Any, name: str) -> IntArray:
        """Distinct positions, ascending, of items given as ids, positions or a boolean mask; None is none.

        Raises InvalidInput naming the first unknown ones. Repeats are fine.
        """
        return np.unique(self._listed_positions(items, name))

    def ordered_positions(self, items: Any, name: str) -> IntArray:
        """The same in the order given; a repeat raises InvalidInput."""
        found = self._listed_positions(items, name)
        values, counts = np.unique(found, return_counts=True)
        if values.size < found.size:
            raise InvalidInput(f"{name} must name each item once, got position {values[counts > 1][0]} more than once.")
        return found

    def _listed_positions(self, items: Any, name: str) -> IntArray:
        if items is None:
            return np.empty(0, dtype=np.int64)
        values = np.asarray(list(items) if isinstance(items, Set) else items)
        if values.ndim != 1:
            came = f"shape {values.shape}" if values.ndim else f"{type(items).__name__} {items!r:.60}"
            cure = " Pass its ids." if hasattr(items, "ids") else ""
            raise InvalidInput(f"{name} must be a 1-D list of ids, positions or a boolean mask, got {came}.{cure}")
        if values.dtype == np.bool_:
            if values.size != self.n_items:
                raise InvalidInput(
                    f"{name} is a boolean mask of {values.size} entries, {self.where} has {self.n_items} items."
                )
            return np.flatnonzero(values).astype(np.int64)
        if values.size == 0:
            return np.empty(0, dtype=np.int64)
        if values.dtype.kind == "O" and self.ids is None and all(_is_position(value) for value in values.tolist()):
            values = values.astype(np.int64)
        if values.dtype.kind in "iu":
            return self._checked_positions(values, name)
        if values.dtype.kind in "UOT" and all(isinstance(value, str) for value in values.tolist()):
            return self._positions_of_ids(values.tolist(), name)
        raise InvalidInput(
            f"{name} must hold item ids (str), positions (int) or a boolean mask, got dtype {values.dtype} "
            f"({_listed(values.tolist()[:3])}, ...). Convert them with astype(str) or astype(int)."
        )

    def _checked_positions(self, values: npt.NDArray[Any], name: str) -> IntArray:
        outside = values[(values < 0) | (values >= self.n_items)]
        if outside.size:
            raise InvalidInput(f"{name} must hold positions in 0..{self.n_items - 1}, got {_listed(outside.tolist())}.")
        return values.astype(np.int64)

    def _positions_of_ids(self, wanted: list[str], name: str) -> IntArray:
        if self.ids is None:
            raise InvalidInput(
                f"{name} holds names ({_listed(wanted)}), but rows of {self.where} have no names. "
                "Pass row positions (int)."
            )
        row_of = {item: row for row, item in enumerate(self.ids.tolist())}
        unknown = [item for item in dict.fromkeys(wanted) if item not in row_of]
        if unknown:
            raise InvalidInput(
                f"{name}: {len(unknown)} of {len(set(wanted))} ids {'is' if len(unknown) == 1 else 'are'} "
                f"not in {self.where}: {_listed(unknown)}. "
                f"Its ids look like {_listed(self.ids[:2].tolist())}."
            )
        return np.array([row_of[item] for item in wanted], dtype=np.int64)


def _is_position(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and abs(int(value)) < 2**63


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(value) for value in values[:_SHOWN])
    return shown + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def as_pool(source: Any, backbones: Sequence[str] | None = None) -> Pool:
    """A Pool from a FeatureStore or its path, one array, a list or a dict of arrays, or a Pool.

    An array (n, d) holds features, an array (n, m, d) or Patterns hold patterns.
    backbones  names to use, all by default. An array is called "features", those of a list "backbone_0", ...
    Raises InvalidInput (rows differ, unknown backbone, nothing there) and StoreError.
    """
    if isinstance(source, (str, PathLike)):
        source = open_store(source)
    if isinstance(source, FeatureStore):
        pool = _from_store(source, backbones)
    elif isinstance(source, Pool):
        pool = source
    else:
        pool = _from_arrays(source)
    if backbones is None:
        return pool
    names = [backbones] if isinstance(backbones, str) else list(backbones)
    known = list({**pool.features, **pool.patterns})
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InvalidInput(f"backbones must be among {known}, got {unknown or names}.")
    return replace(
        pool,
        features={name: pool.features[name] for name in names if name in pool.features},
        patterns={name: pool.patterns[name] for name in names if name in pool.patterns},
    )


def _from_store(store: FeatureStore, backbones: Sequence[str] | None) -> Pool:
    names = [name for name in store.backbones if backbones is None or name in backbones] or store.backbones
    return Pool(
        {name: store.features(name) for name in names},
        store.valid,
        store.item_ids,
        store.column("source"),
        {name: store.column(name) for name in ("label", "stratum", "group", "source")},
        f"the store {store.path}",
        {name: store.patterns(name) for name in names if store.has_patterns(name)},
    )


def _n_axes(item: Any) -> int:
    """Axes of an array or nested list; np.ndim would read the whole of RowShards."""
    if isinstance(item, (RowShards, Patterns)):
        return 2 if isinstance(item, RowShards) else 3
    try:
        return int(np.ndim(item))
    except ValueError:  # rows of different lengths
        return 1


def _from_arrays(source: Any) -> Pool:
    if isinstance(source, Mapping):
        named = {str(name): value for name, value in source.items()}
    elif isinstance(source, (list, tuple)) and (not source or any(_n_axes(item) == 2 for item in source)):
        named = {f"backbone_{index}": value for index, value in enumerate(source)}
    else:
        named = {"features": source}
    if not named:
        raise InvalidInput("store_or_arrays holds no backbone: it needs at least one array of features.")
    patterns = {name: _as_patterns(value, name) for name, value in named.items() if _n_axes(value) == 3}
    features = {
        name: as_shards(value, f'features of backbone "{name}"')
        for name, value in named.items()
        if name not in patterns
    }
    sizes = {name: len(rows) for name, rows in features.items()} | {name: len(p) for name, p in patterns.items()}
    first, rows = next(iter(sizes.items()))
    for name, size in sizes.items():
        if size != rows:
            raise InvalidInput(
                f'features of backbone "{name}" have {size} rows, those of "{first}" have {rows}. '
                "All backbones must describe the same items in the same order."
            )
    return Pool(features, np.ones(rows, dtype=np.bool_), patterns=patterns)


def _as_patterns(value: Any, name: str) -> Patterns:
    """Patterns as they are, or an (n, m, d) array as m patterns of each item."""
    what = f'patterns of backbone "{name}"'
    if isinstance(value, Patterns):
        if len(value.rows) == 0:
            raise InvalidInput(f"{what} must have at least one row, got none.")
        return Patterns(as_shards(value.rows, what), value.offsets)
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    n_items, each, n_dims = array.shape
    if array.size == 0:
        raise InvalidInput(f"{what} must have items, patterns and columns, got shape {array.shape}.")
    rows = as_shards(array.reshape(n_items * each, n_dims), what)
    return Patterns(rows, np.arange(n_items + 1, dtype=np.int64) * each)
