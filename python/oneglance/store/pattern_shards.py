"""Patterns of one shard of items on disk: flat rows, where each item's rows begin, and a receipt written last.

patterns/<backbone>/00000.npy          (m, d) patterns of the shard's items, item after item
patterns/<backbone>/00000.offsets.npy  int64 (items + 1,), from 0: item i of the shard has rows o[i] .. o[i + 1] - 1
patterns/<backbone>/00000.json         receipt
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._types import FloatArray, IntArray, Patterns, RowShards
from ..errors import InvalidInput, StoreError
from .files import digest, file_digest, json_bytes, write_atomic
from .manifest import DTYPES, PATTERNS
from .shards import fault_of, header_of, receipt_fields

_OFFSETS = "<i8"


@dataclass(frozen=True)
class PatternReceipt:
    """What is known about a finished shard of patterns; `bad` maps a row of the pool to a reason."""

    rows: tuple[int, int]
    n_patterns: int
    n_bytes: int
    blake2b: str
    offsets_blake2b: str
    pictures: str
    fingerprint: str
    bad: Mapping[int, str]

    def entry(self, backbone: str, shard: int) -> dict[str, Any]:
        """The shard in the manifest."""
        return {
            "file": pattern_name(backbone, shard),
            "rows": list(self.rows),
            "n_patterns": self.n_patterns,
            "bytes": self.n_bytes,
            "blake2b": self.blake2b,
            "offsets": offsets_name(backbone, shard),
            "offsets_blake2b": self.offsets_blake2b,
        }

    def to_json(self) -> bytes:
        return json_bytes(
            {
                "rows": list(self.rows),
                "n_patterns": self.n_patterns,
                "bytes": self.n_bytes,
                "blake2b": self.blake2b,
                "offsets_blake2b": self.offsets_blake2b,
                "pictures": self.pictures,
                "fingerprint": self.fingerprint,
                "bad": [[row, self.bad[row]] for row in sorted(self.bad)],
            }
        )


def pattern_name(backbone: str, shard: int) -> str:
    """Path of a shard's rows inside the store, with forward slashes."""
    return f"{PATTERNS}/{backbone}/{shard:05d}.npy"


def offsets_name(backbone: str, shard: int) -> str:
    """Path of a shard's offsets inside the store."""
    return f"{PATTERNS}/{backbone}/{shard:05d}.offsets.npy"


def pattern_fingerprint(source_hash: str, entry: Mapping[str, Any], rows: tuple[int, int]) -> str:
    """Hash over all that a shard's patterns follow from: entry is the backbone's, with its patterns."""
    own = [entry["patterns"][key] for key in ("how", "n_patterns", "dtype", "n_dims")]
    keys = ("model_hash", "preprocessing_hash", "compute")
    return digest(repr(("patterns", source_hash, [entry[key] for key in keys], own, rows)).encode())


def write_pattern_shard(
    store: Path,
    backbone: str,
    shard: int,
    patterns: Sequence[FloatArray],
    n_dims: int,
    dtype: str,
    rows: tuple[int, int],
    bad: Mapping[int, str],
    pictures: str,
    fingerprint: str,
) -> PatternReceipt:
    """Writes rows, offsets and receipt. patterns: (m_i, n_dims) per item; an item in `bad` gets none."""
    kept = [block[:0] if rows[0] + index in bad else block for index, block in enumerate(patterns)]
    offsets = np.concatenate([[0], np.cumsum([len(block) for block in kept])]).astype(_OFFSETS)
    flat = np.concatenate([np.empty((0, n_dims), dtype=np.float32), *kept])
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(flat, dtype=DTYPES[dtype])
    header, body = header_of(stored.shape[0], n_dims, dtype), stored.tobytes()
    write_atomic(store / pattern_name(backbone, shard), [header, body])
    whole = _offsets_bytes(offsets)
    write_atomic(store / offsets_name(backbone, shard), [whole])
    receipt = PatternReceipt(
        rows=rows,
        n_patterns=int(offsets[-1]),
        n_bytes=len(header) + len(body),
        blake2b=digest(header, body),
        offsets_blake2b=digest(whole),
        pictures=pictures,
        fingerprint=fingerprint,
        bad=dict(bad),
    )
    write_atomic((store / pattern_name(backbone, shard)).with_suffix(".json"), [receipt.to_json()])
    return receipt


def _offsets_bytes(offsets: IntArray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": _OFFSETS, "fortran_order": False, "shape": offsets.shape})
    return buffer.getvalue() + offsets.tobytes()


def read_pattern_receipt(store: Path, backbone: str, shard: int) -> PatternReceipt | None:
    """The receipt of a shard, or None if there is none that can be read."""
    path = (store / pattern_name(backbone, shard)).with_suffix(".json")
    value = receipt_fields(path)
    try:
        return None if value is None else PatternReceipt(
            rows=(int(value["rows"][0]), int(value["rows"][1])),
            n_patterns=int(value["n_patterns"]),
            n_bytes=int(value["bytes"]),
            blake2b=str(value["blake2b"]),
            offsets_blake2b=str(value["offsets_blake2b"]),
            pictures=str(value["pictures"]),
            fingerprint=str(value["fingerprint"]),
            bad={int(row): str(reason) for row, reason in value["bad"]},
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def pattern_fault(
    store: Path, shard: Mapping[str, Any], n_dims: int, dtype: str, *, full: bool
) -> tuple[Path, str] | None:
    """(file, what is wrong with it), or None. Reads the header of the rows and the offsets; full: hashes both.

    shard   its entry in the manifest
    """
    path = store / shard["file"]
    fault = fault_of(path, shard["n_patterns"], n_dims, dtype, shard["blake2b"] if full else None)
    if fault is not None:
        return path, fault
    path = store / shard["offsets"]
    if not path.is_file():
        return path, "is missing"
    try:
        if full and file_digest(path) != shard["offsets_blake2b"]:
            return path, "has another content than its hash says"
        offsets = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return path, "cannot be read as .npy"
    n_items = shard["rows"][1] - shard["rows"][0]
    fits = offsets.shape == (n_items + 1,) and offsets.dtype == _OFFSETS
    if not fits or offsets[0] != 0 or offsets[-1] != shard["n_patterns"] or (np.diff(offsets) < 0).any():
        return path, f"does not hold the offsets of {n_items} items and {shard['n_patterns']} patterns"
    return None


def open_patterns(store: Path, entry: Mapping[str, Any]) -> Patterns:
    """The patterns of a backbone's manifest entry: rows as read-only memory maps, offsets in memory."""
    maps: list[FloatArray] = []
    offsets: list[IntArray] = [np.zeros(1, dtype=np.int64)]
    n_rows = 0
    for shard in entry["shards"]:
        maps.append(np.load(store / shard["file"], mmap_mode="r", allow_pickle=False))
        own = np.load(store / shard["offsets"], allow_pickle=False)
        offsets.append(own[1:].astype(np.int64) + n_rows)
        n_rows += int(own[-1])
    try:
        return Patterns(RowShards(tuple(maps)), np.concatenate(offsets))
    except InvalidInput as error:
        raise StoreError(f"the patterns in {store} do not fit together ({error}). Re-run embed.") from None
