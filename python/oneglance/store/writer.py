"""Writing a store shard by shard, so that a killed run goes on at the first missing shard."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .._types import FloatArray
from ..errors import StoreError
from .bad import allowed_bad, join_reasons, too_many, write_list
from .files import digest, human_bytes, json_bytes, make_folder, write_atomic
from .folder import check_shard_rows, clear_store, refuse_foreign_folder, remove_leftovers, take_up_plan
from .items import Items, parquet_bytes
from .lock import StoreLock
from .manifest import (
    BAD_ITEMS,
    FEATURES,
    ITEMS,
    MANIFEST,
    UNFINISHED,
    BackboneInfo,
    SourceInfo,
    refuse_other_backbone,
    row_bytes,
    shard_name,
    shard_ranges,
)
from .shards import (
    Receipt,
    beyond_float16,
    fault_of,
    fingerprint,
    loses_in_float16,
    read_receipt,
    write_shard,
)


class StoreWriter:
    """One embed run's hand on a store folder; a context manager that holds the folder's lock.

    out         folder; made if missing. A folder with other people's files is refused.
    shard_rows  rows per shard; None takes what the store has, or default_shard_rows
    fresh       remove a store that is already there
    verify      hash the shards that are already there instead of checking size and header only

    Raises StoreError: other source or backbone in the folder, folder in use, not writable, or disk too small.
    """

    def __init__(
        self,
        out: Path,
        items: Items,
        source: SourceInfo,
        backbones: Sequence[BackboneInfo],
        *,
        shard_rows: int | None = None,
        default_shard_rows: int = 4096,
        max_bad_fraction: float = 0.1,
        fresh: bool = False,
        verify: bool = False,
    ) -> None:
        check_shard_rows(shard_rows)
        self.path = out
        self.items = items
        self.source = source
        self.infos = {info.name: info for info in backbones}
        self.max_bad_fraction = max_bad_fraction
        self.ranges: list[tuple[int, int]] = []
        self.plan: dict[str, Any] = {}
        self._shard_rows = (shard_rows, default_shard_rows)
        self._fresh, self._verify = fresh, verify
        self._lock = StoreLock(out)
        self._whole: list[str] = []
        self._receipts: dict[tuple[int, str], Receipt] = {}
        self._bad_rows: set[int] = set()

    def __enter__(self) -> StoreWriter:
        refuse_foreign_folder(self.path)
        make_folder(self.path)
        self._lock.acquire()
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _open(self) -> None:
        if self._fresh:
            clear_store(self.path)
        remove_leftovers(self.path)
        self.plan, self._whole = take_up_plan(self.path, self.source, len(self.items), *self._shard_rows)
        stored = self.plan["backbones"]
        for name, info in self.infos.items():
            if name in stored:
                refuse_other_backbone(stored[name], info, self.path)
            else:
                stored[name] = info.entry()
        self.ranges = shard_ranges(len(self.items), self.plan["shard_rows"])
        for name in {*self.infos, *self._whole}:
            self._find_receipts(name, verify=self._verify)
        self._refuse_holes()
        if self.missing():
            self._check_space()
            for name in self.infos:
                make_folder(self.path / FEATURES / name)
            self._save_plan()

    def _find_receipts(self, name: str, verify: bool) -> None:
        entry = self.plan["backbones"][name]
        for shard, rows in enumerate(self.ranges):
            self._receipts.pop((shard, name), None)
            path = self.path / shard_name(name, shard)
            receipt = read_receipt(path)
            if receipt is None or receipt.fingerprint != fingerprint(self.source.hash, entry, rows):
                continue
            blake2b = receipt.blake2b if verify else None
            if fault_of(path, rows[1] - rows[0], entry["n_dims"], entry["dtype"], blake2b) is None:
                self._receipts[shard, name] = receipt
        self._bad_rows = {row for receipt in self._receipts.values() for row in receipt.bad}

    def _refuse_holes(self) -> None:
        others = [name for name in self._whole if name not in self.infos]
        for shard, name in ((shard, name) for name in others for shard in range(len(self.ranges))):
            if (shard, name) not in self._receipts:
                raise StoreError(
                    f'{self.path / shard_name(name, shard)} of backbone "{name}" is missing or damaged. '
                    "Name that backbone in this run as well, and its shard is computed again."
                )

    def _save_plan(self) -> None:
        write_atomic(self.path / UNFINISHED, [json_bytes(self.plan)])

    def bytes_left(self) -> int:
        """Bytes that the missing shards will take."""
        total = 0
        for shard, names in self.missing():
            first, stop = self.ranges[shard]
            for name in names:
                total += (stop - first) * row_bytes(self.plan["backbones"][name])
        return total

    def _check_space(self) -> None:
        needed, free = self.bytes_left(), shutil.disk_usage(self.path).free
        if needed > free:
            raise StoreError(
                f"disk too small for {self.path}: {needed} bytes ({human_bytes(needed)}) are still needed, "
                f"{human_bytes(free)} are free. Free some space, or choose another folder with out= / --out."
            )

    def missing(self) -> list[tuple[int, list[str]]]:
        """Shards with work left, in order, each with the backbones of this run that lack it."""
        left = []
        for shard in range(len(self.ranges)):
            names = [name for name in self.infos if (shard, name) not in self._receipts]
            if names:
                left.append((shard, names))
        return left

    def write(self, shard: int, name: str, features: FloatArray, bad: Mapping[int, str], pictures: str = "") -> bool:
        """Puts one finished shard on disk; False if the backbone had to be widened to float32 instead.

        features  (rows of the shard, n_dims); rows in `bad` (row of the pool -> reason) are stored as NaN
        pictures  digest of what the rows were computed from; must agree between backbones

        float16 is widened when some row would lose more than 0.1 % of its norm, and then for the whole backbone:
        all its shards become missing again, so that the result does not depend on where a run was killed.
        """
        first, stop = self.ranges[shard]
        entry = self.plan["backbones"][name]
        bad = dict(bad)
        if entry["dtype"] == "float16":
            good = np.array([row not in bad for row in range(first, stop)])
            if self.infos[name].dtype == "auto" and loses_in_float16(features[good]):
                entry["dtype"] = "float32"
                self._save_plan()
                self._find_receipts(name, verify=False)
                return False
            for row in first + np.flatnonzero(good & beyond_float16(features)):
                bad[int(row)] = f'backbone "{name}": values beyond float16 (65504)'
        self._refuse_changed_pictures(shard, pictures)
        path = self.path / shard_name(name, shard)
        mark = fingerprint(self.source.hash, entry, (first, stop))
        self._receipts[shard, name] = write_shard(path, features, entry["dtype"], (first, stop), bad, pictures, mark)
        self._bad_rows.update(bad)
        return True

    def _refuse_changed_pictures(self, shard: int, pictures: str) -> None:
        for other in self.plan["backbones"]:
            receipt = self._receipts.get((shard, other))
            if receipt is not None and receipt.pictures != pictures:
                first, stop = self.ranges[shard]
                raise StoreError(
                    f'pictures of rows {first}..{stop - 1} changed since backbone "{other}" was computed in '
                    f"{self.path}. Choose a new folder with out= / --out, or overwrite with fresh=True / --fresh."
                )

    def bad(self) -> dict[int, str]:
        """Rows that cannot be used so far -> why."""
        order = ((shard, name) for name in self.plan["backbones"] for shard in range(len(self.ranges)))
        return join_reasons(self._receipts[key].bad for key in order if key in self._receipts)

    @property
    def n_bad(self) -> int:
        return len(self._bad_rows)

    def check_bad_fraction(self) -> None:
        """Raises BadData, with the list on disk, once more rows are bad than allowed (or no row is left)."""
        if self.n_bad > allowed_bad(len(self.items), self.max_bad_fraction):
            raise too_many(self.path / BAD_ITEMS, self.items, self.bad(), self.max_bad_fraction)

    def finish(self) -> None:
        """Writes items.parquet and, last, manifest.json. Raises StoreError if shards are missing."""
        if self.missing():
            raise StoreError(f"{self.path} still lacks {len(self.missing())} shards. Run the same command again.")
        self.check_bad_fraction()
        reasons = self.bad()
        items = parquet_bytes(self.items.table(reasons))
        whole = {
            name: {**entry, "shards": self._shard_entries(name)}
            for name, entry in self.plan["backbones"].items()
            if name in self.infos or name in self._whole
        }
        manifest = {**self.plan, "n_bad": len(reasons), "items_blake2b": digest(items), "backbones": whole}
        write_list(self.path / BAD_ITEMS, self.items, reasons)
        write_atomic(self.path / ITEMS, [items])
        write_atomic(self.path / MANIFEST, [json_bytes(manifest)])
        if len(whole) == len(self.plan["backbones"]):
            (self.path / UNFINISHED).unlink(missing_ok=True)
        else:  # a backbone of an earlier, killed run that was not asked for this time can still be resumed
            self._save_plan()

    def _shard_entries(self, name: str) -> list[dict[str, Any]]:
        return [self._receipts[shard, name].entry(shard_name(name, shard)) for shard in range(len(self.ranges))]
