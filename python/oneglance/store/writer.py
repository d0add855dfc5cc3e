"""Writing a store shard by shard, so that a killed run goes on at the first missing shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .._types import FloatArray
from ..errors import StoreError
from .bad import allowed_bad, join_reasons, too_many, write_list
from .files import digest, json_bytes, make_folder, write_atomic
from .folder import check_shard_rows, check_space, clear_store, refuse_foreign_folder, remove_leftovers, take_up_plan
from .items import Items, parquet_bytes
from .lock import StoreLock
from .manifest import (
    BAD_ITEMS,
    FEATURES,
    ITEMS,
    MANIFEST,
    PATTERNS,
    UNFINISHED,
    BackboneInfo,
    SourceInfo,
    refuse_other_backbone,
    refuse_other_patterns,
    row_bytes,
    shard_name,
    shard_ranges,
)
from .pattern_writer import PatternShards
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
        self._whole_patterns: list[str] = []
        self._wanted = [info.name for info in backbones if info.patterns is not None]
        self._receipts: dict[tuple[int, str], Receipt] = {}
        self._patterns = PatternShards(out, source.hash, self.plan, self.ranges)
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
        self.plan, self._whole, self._whole_patterns = take_up_plan(
            self.path, self.source, len(self.items), *self._shard_rows
        )
        stored = self.plan["backbones"]
        for name, info in self.infos.items():
            if name in stored:
                refuse_other_backbone(stored[name], info, self.path)
            else:
                stored[name] = info.entry()
            if info.patterns is not None and "patterns" in stored[name]:
                refuse_other_patterns(stored[name]["patterns"], info.patterns, name, self.path)
            elif info.patterns is not None:
                stored[name]["patterns"] = info.patterns.entry()
        self.ranges = shard_ranges(len(self.items), self.plan["shard_rows"])
        self._patterns = PatternShards(self.path, self.source.hash, self.plan, self.ranges)
        for name in {*self._wanted, *self._whole_patterns}:
            self._patterns.find(name, verify=self._verify)
        for name in {*self.infos, *self._whole}:
            self._find_receipts(name, verify=self._verify)
        self._refuse_holes()
        if self.missing():
            check_space(self.path, self.bytes_left())
            for name in self.infos:
                make_folder(self.path / FEATURES / name)
            for name in self._wanted:
                make_folder(self.path / PATTERNS / name)
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
        self._count_bad()

    def _count_bad(self) -> None:
        self._bad_rows = {row for receipt in self._receipts.values() for row in receipt.bad}
        self._bad_rows.update(row for receipt in self._patterns.receipts.values() for row in receipt.bad)

    def _refuse_holes(self) -> None:
        others = [name for name in self._whole if name not in self.infos]
        for shard, name in ((shard, name) for name in others for shard in range(len(self.ranges))):
            if (shard, name) not in self._receipts:
                raise StoreError(
                    f'{self.path / shard_name(name, shard)} of backbone "{name}" is missing or damaged. '
                    "Name that backbone in this run as well, and its shard is computed again."
                )
        for name in set(self._whole_patterns) - set(self._wanted):
            if any((shard, name) not in self._patterns.receipts for shard in range(len(self.ranges))):
                raise StoreError(
                    f'patterns of backbone "{name}" in {self.path / PATTERNS / name} are missing or damaged. Ask for '
                    "them in this run as well (patterns= / --patterns), and these shards are computed again."
                )

    def _save_plan(self) -> None:
        write_atomic(self.path / UNFINISHED, [json_bytes(self.plan)])

    def bytes_left(self) -> int:
        """Bytes that the missing shards will take."""
        total = sum(self._patterns.bytes_left(name) for name in self._wanted)
        for shard, (first, stop) in enumerate(self.ranges):
            for name in self.infos:
                if self.lacks_features(shard, name):
                    total += (stop - first) * row_bytes(self.plan["backbones"][name])
        return total

    def missing(self) -> list[tuple[int, list[str]]]:
        """Shards with work left, in order, each with the backbones of this run that lack it."""
        left = []
        for shard in range(len(self.ranges)):
            names = [
                name for name in self.infos if self.lacks_features(shard, name) or self.lacks_patterns(shard, name)
            ]
            if names:
                left.append((shard, names))
        return left

    def lacks_features(self, shard: int, name: str) -> bool:
        """True if the features of a shard are still to be written."""
        return (shard, name) not in self._receipts

    def lacks_patterns(self, shard: int, name: str) -> bool:
        """True if this run asks for patterns of the backbone, and those of a shard are still to be written."""
        return name in self._wanted and (shard, name) not in self._patterns.receipts

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

    def write_patterns(
        self, shard: int, name: str, patterns: Sequence[FloatArray], bad: Mapping[int, str], pictures: str = ""
    ) -> bool:
        """Puts the patterns of one shard on disk, after its features; False if they had to be widened to float32,
        by the same rule as features, so that all their shards become missing again.

        patterns  (m_i, n_dims) for every item of the shard; those of items in `bad`, or that have no features, are
                  left out: such an item has no patterns
        """
        info = self.infos[name].patterns
        if info is None or self.lacks_features(shard, name):
            raise RuntimeError(f"patterns of {name!r} were not asked for, or come before their features")
        reasons = {**bad, **self._receipts[shard, name].bad}
        first = self.ranges[shard][0]
        good = [block for index, block in enumerate(patterns) if first + index not in reasons]
        if info.dtype == "auto" and self._patterns.must_widen(name, good):
            self.plan["backbones"][name]["patterns"]["dtype"] = "float32"
            self._save_plan()
            self._patterns.find(name, verify=False)
            self._count_bad()
            return False
        self._refuse_changed_pictures(shard, pictures)
        self._bad_rows.update(self._patterns.write(shard, name, patterns, reasons, pictures).bad)
        return True

    def _refuse_changed_pictures(self, shard: int, pictures: str) -> None:
        for other in self.plan["backbones"]:
            both = (self._receipts.get((shard, other)), self._patterns.receipts.get((shard, other)))
            if any(receipt is not None and receipt.pictures != pictures for receipt in both):
                first, stop = self.ranges[shard]
                raise StoreError(
                    f'pictures of rows {first}..{stop - 1} changed since backbone "{other}" was computed in '
                    f"{self.path}. Choose a new folder with out= / --out, or overwrite with fresh=True / --fresh."
                )

    def bad(self) -> dict[int, str]:
        """Rows that cannot be used so far -> why."""
        order = ((shard, name) for name in self.plan["backbones"] for shard in range(len(self.ranges)))
        parts: list[Mapping[int, str]] = []
        for key in order:
            parts += [self._receipts[key].bad] if key in self._receipts else []
            parts += [self._patterns.receipts[key].bad] if key in self._patterns.receipts else []
        return join_reasons(parts)

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
            name: self._whole_entry(name) for name in self.plan["backbones"] if name in {*self.infos, *self._whole}
        }
        manifest = {**self.plan, "n_bad": len(reasons), "items_blake2b": digest(items), "backbones": whole}
        write_list(self.path / BAD_ITEMS, self.items, reasons)
        write_atomic(self.path / ITEMS, [items])
        write_atomic(self.path / MANIFEST, [json_bytes(manifest)])
        planned = self.plan["backbones"]
        if all(name in whole and ("patterns" in whole[name]) == ("patterns" in planned[name]) for name in planned):
            (self.path / UNFINISHED).unlink(missing_ok=True)
        else:  # a backbone of an earlier, killed run that was not asked for this time can still be resumed
            self._save_plan()

    def _whole_entry(self, name: str) -> dict[str, Any]:
        """A backbone in the manifest; patterns of an earlier, killed run that were not asked for are left out."""
        entry = {key: value for key, value in self.plan["backbones"][name].items() if key != "patterns"}
        if name in self._wanted or name in self._whole_patterns:
            entry["patterns"] = self._patterns.entry(name)
        shards = [self._receipts[shard, name].entry(shard_name(name, shard)) for shard in range(len(self.ranges))]
        return {**entry, "shards": shards}
