"""Reading a feature store."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .._types import BoolArray, FloatArray, Patterns, RowShards
from ..errors import InvalidInput, StoreError
from .items import ITEMS_SCHEMA, read_items
from .manifest import BAD_ITEMS, ITEMS, MANIFEST, UNFINISHED, content_hash, read_manifest
from .pattern_shards import open_patterns, pattern_fault
from .shards import fault_of


class FeatureStore:
    """A finished store: the items of a pool and, per backbone, their features as memory maps.

    path       the store's folder
    manifest   its manifest.json
    n_items    rows; the same for every backbone
    backbones  names, in the manifest's order

    Made by open_store() and embed(). Opening reads the manifest and the headers; features are read when used.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.n_items = int(manifest["n_items"])
        self.backbones: tuple[str, ...] = tuple(manifest["backbones"])

    def __repr__(self) -> str:
        widths = ", ".join(f"{name} ({self.n_dims(name)})" for name in self.backbones)
        return f"FeatureStore({str(self.path)!r}, {self.n_items} items, backbones: {widths})"

    def __len__(self) -> int:
        return self.n_items

    @cached_property
    def items(self) -> pa.Table:
        """Columns row_id, item_id, source, valid, label, stratum, group, reason; one row per item."""
        table = read_items(self.path / ITEMS)
        for name, entry in self.manifest["backbones"].items():
            n_rows = _n_rows(entry)
            if n_rows != table.num_rows:
                raise StoreError(
                    f'features of backbone "{name}" have {n_rows} rows, {ITEMS} has {table.num_rows}. '
                    "Re-run embed for that backbone, or pass exclude=."
                )
        if not np.array_equal(table["row_id"].to_numpy(), np.arange(table.num_rows)):
            raise StoreError(
                f"{self.path / ITEMS} has another order than the features: row_id does not run from 0 on. Run the same "
                "embed command again, and sort a copy."
            )
        return table

    @cached_property
    def valid(self) -> BoolArray:
        """(n_items,) bool: False for items that some backbone could not use; items["reason"] says why."""
        return np.asarray(self.items["valid"].to_numpy(), dtype=np.bool_)

    @cached_property
    def item_ids(self) -> npt.NDArray[np.object_]:
        """(n_items,) str objects."""
        return self.column("item_id")

    def column(self, name: str) -> npt.NDArray[Any]:
        """One column of the items table: int64, bool, or str objects with None where empty."""
        if name not in ITEMS_SCHEMA.names:
            raise InvalidInput(f"column must be one of {ITEMS_SCHEMA.names}, got {name!r}.")
        values = self.items[name]
        if name in ("row_id", "valid"):
            return np.asarray(values.to_numpy())
        return np.array([*values.to_pylist(), None], dtype=object)[:-1]

    def _entry(self, backbone: str) -> dict[str, Any]:
        if backbone not in self.manifest["backbones"]:
            raise InvalidInput(f'backbone must be one of {list(self.backbones)}, got "{backbone}" ({self.path}).')
        entry: dict[str, Any] = self.manifest["backbones"][backbone]
        return entry

    def n_dims(self, backbone: str) -> int:
        """Features per row."""
        return int(self._entry(backbone)["n_dims"])

    def features(self, backbone: str) -> RowShards:
        """The (n_items, n_dims) features as read-only memory maps. Rows without features are NaN.

        An item that only another backbone could not use keeps its features here: use `valid` as the mask.
        """
        entry = self._entry(backbone)
        maps: list[FloatArray] = []
        for shard in entry["shards"]:
            maps.append(np.load(self.path / shard["file"], mmap_mode="r", allow_pickle=False))
        return RowShards(tuple(maps))

    def has_patterns(self, backbone: str) -> bool:
        """True if the store keeps patterns (local features) of this backbone."""
        return "patterns" in self._entry(backbone)

    def patterns(self, backbone: str) -> Patterns:
        """The patterns of every item: rows (m, d) as read-only memory maps, offsets (n_items + 1,) in memory.

        An item that this backbone could not use has none. One that only another backbone could not use keeps its
        own here: use `valid` as the mask. Raises InvalidInput where the store has no patterns of this backbone.
        """
        if not self.has_patterns(backbone):
            having = [name for name in self.backbones if self.has_patterns(name)]
            others = f"Backbones with patterns: {having}. " if having else ""
            raise InvalidInput(
                f'{self.path} has no patterns of backbone "{backbone}". {others}Embed the same source again into it '
                "with patterns=True / --patterns; features are kept."
            )
        return open_patterns(self.path, self._entry(backbone)["patterns"])

    def content_hash(self) -> str:
        """Hash over the manifest, which holds the hashes of items and shards: 64 hexadecimal digits."""
        return content_hash(self.manifest)

    def check(self, *, full: bool = False) -> None:
        """StoreError unless every shard's size and header (full=True: also its hash) are as the manifest says."""
        from .files import file_digest

        for name, entry in self.manifest["backbones"].items():
            if _n_rows(entry) != self.n_items:
                raise StoreError(
                    f'features of backbone "{name}" have {_n_rows(entry)} rows, {MANIFEST} has {self.n_items}. '
                    "Re-run embed for that backbone, or pass exclude=."
                )
            for shard in entry["shards"]:
                first, stop = shard["rows"]
                path = self.path / shard["file"]
                fault = fault_of(
                    path, stop - first, entry["n_dims"], entry["dtype"], shard["blake2b"] if full else None
                )
                if fault is not None:
                    how = " with verify=True / --verify" if full else ""  # else embed trusts sizes and headers
                    raise StoreError(f'{path} of backbone "{name}" {fault}. Re-run embed for that backbone{how}.')
            if self.has_patterns(name):
                self._check_patterns(name, full)
        if full and file_digest(self.path / ITEMS) != self.manifest["items_blake2b"]:
            raise StoreError(f"{self.path / ITEMS} has another content than its hash says. Run embed again.")

    def _check_patterns(self, name: str, full: bool) -> None:
        entry = self._entry(name)["patterns"]
        if _n_rows(entry) != self.n_items:
            raise StoreError(
                f'patterns of backbone "{name}" are those of {_n_rows(entry)} items, {MANIFEST} has {self.n_items}. '
                "Re-run embed for that backbone with patterns=True / --patterns."
            )
        for shard in entry["shards"]:
            found = pattern_fault(self.path, shard, entry["n_dims"], entry["dtype"], full=full)
            if found is not None:
                how = " and verify=True / --verify" if full else ""
                raise StoreError(
                    f'{found[0]}, patterns of backbone "{name}", {found[1]}. Re-run embed for that backbone with '
                    f"patterns=True / --patterns{how}."
                )


def _n_rows(entry: dict[str, Any]) -> int:
    return sum(int(shard["rows"][1]) - int(shard["rows"][0]) for shard in entry["shards"])


def open_store(path: str | os.PathLike[str], *, verify: bool = False) -> FeatureStore:
    """Opens a finished feature store.

    path    folder written by embed()
    verify  hash every file (reads the whole store) instead of checking sizes and headers

    Raises StoreError: no store there, an unfinished one, another schema version, files missing or damaged.
    Cost: the manifest and one header per shard.
    """
    folder = Path(path)
    manifest = read_manifest(folder / MANIFEST)
    if manifest is None:
        if (folder / UNFINISHED).exists():
            bad = (
                f" If too many items were unusable, see {folder / BAD_ITEMS}." if (folder / BAD_ITEMS).exists() else ""
            )
            raise StoreError(
                f"{folder} is not finished. Run the same embed command again: it goes on where it stopped.{bad}"
            )
        if folder.is_file():
            raise StoreError(
                f"{folder} is a file, a feature store is a folder. Give vectors as arrays (numpy.load), or make a "
                "store of them with `oneglance embed` or og.embed()."
            )
        what = "has no manifest.json" if folder.exists() else "does not exist"
        raise StoreError(f"no feature store at {folder}: it {what}. Write one with `oneglance embed` or og.embed().")
    store = FeatureStore(folder, manifest)
    store.check(full=verify)
    if store.items.num_rows != store.n_items:
        raise StoreError(f"{ITEMS} has {store.items.num_rows} rows, {MANIFEST} {store.n_items}. Run embed again.")
    return store
