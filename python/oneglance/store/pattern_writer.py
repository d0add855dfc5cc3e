"""The patterns' side of a store that is being written: which shards are there, and the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._types import FloatArray
from .manifest import row_bytes
from .pattern_shards import (
    PatternReceipt,
    pattern_fault,
    pattern_fingerprint,
    read_pattern_receipt,
    write_pattern_shard,
)
from .shards import beyond_float16, loses_in_float16


class PatternShards:
    """Receipts of finished pattern shards. `plan` is the writer's and is changed by it; entries have "patterns"."""

    def __init__(self, path: Path, source_hash: str, plan: dict[str, Any], ranges: Sequence[tuple[int, int]]) -> None:
        self.receipts: dict[tuple[int, str], PatternReceipt] = {}
        self._path, self._source_hash = path, source_hash
        self._plan, self._ranges = plan, ranges

    def find(self, name: str, verify: bool) -> None:
        """Looks for the backbone's finished shards; verify: by their hashes."""
        entry = self._plan["backbones"][name]
        own = entry["patterns"]
        for shard, rows in enumerate(self._ranges):
            self.receipts.pop((shard, name), None)
            receipt = read_pattern_receipt(self._path, name, shard)
            if receipt is None or receipt.fingerprint != pattern_fingerprint(self._source_hash, entry, rows):
                continue
            line = receipt.entry(name, shard)
            if pattern_fault(self._path, line, own["n_dims"], own["dtype"], full=verify) is None:
                self.receipts[shard, name] = receipt

    def bytes_left(self, name: str) -> int:
        """Most bytes that the missing shards will take."""
        own = self._plan["backbones"][name]["patterns"]
        lacking = [rows for shard, rows in enumerate(self._ranges) if (shard, name) not in self.receipts]
        return sum((stop - first) * (own["n_patterns"] * row_bytes(own) + 8) for first, stop in lacking)

    def must_widen(self, name: str, patterns: Sequence[FloatArray]) -> bool:
        """True if float16 would change some pattern too much."""
        return self._plan["backbones"][name]["patterns"]["dtype"] == "float16" and any(
            loses_in_float16(block) for block in patterns if len(block)
        )

    def write(
        self, shard: int, name: str, patterns: Sequence[FloatArray], bad: Mapping[int, str], pictures: str
    ) -> PatternReceipt:
        """Puts a shard on disk; items whose patterns the dtype cannot hold become bad."""
        entry = self._plan["backbones"][name]
        own, rows, reasons = entry["patterns"], self._ranges[shard], dict(bad)
        if own["dtype"] == "float16":
            for index, block in enumerate(patterns):
                if beyond_float16(block).any():
                    reasons.setdefault(rows[0] + index, f'backbone "{name}": patterns beyond float16 (65504)')
        mark = pattern_fingerprint(self._source_hash, entry, rows)
        receipt = write_pattern_shard(
            self._path, name, shard, patterns, own["n_dims"], own["dtype"], rows, reasons, pictures, mark
        )
        self.receipts[shard, name] = receipt
        return receipt

    def entry(self, name: str) -> dict[str, Any]:
        """The manifest's "patterns" of a backbone whose shards are all there."""
        shards = [self.receipts[shard, name].entry(name, shard) for shard in range(len(self._ranges))]
        return {**self._plan["backbones"][name]["patterns"], "shards": shards}
