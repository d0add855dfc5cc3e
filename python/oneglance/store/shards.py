"""One shard of features on disk: a raw little-endian .npy file and, beside it, its receipt.

The receipt (`00000.json`) names the hash and size of the file, the way it was computed (as a fingerprint), the
digest of the pictures it was computed from, and the rows that could not be used, with reasons. It is written
after the shard, so a shard without a fitting receipt counts as missing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._types import BoolArray, FloatArray
from ..errors import StoreError
from .files import digest, file_digest, json_bytes, write_atomic
from .manifest import DTYPES

MAX_NORM_LOSS = 1e-3  # of a row, by storing it as float16: rounding alone costs at most 2**-11 = 0.05 %


@dataclass(frozen=True)
class Receipt:
    """What is known about a finished shard; `bad` maps a row of the pool to a reason."""

    rows: tuple[int, int]
    n_bytes: int
    blake2b: str
    pictures: str
    fingerprint: str
    bad: Mapping[int, str]

    def entry(self, file: str) -> dict[str, Any]:
        """The shard in the manifest."""
        return {"file": file, "rows": list(self.rows), "bytes": self.n_bytes, "blake2b": self.blake2b}

    def to_json(self) -> bytes:
        return json_bytes(
            {
                "rows": list(self.rows),
                "bytes": self.n_bytes,
                "blake2b": self.blake2b,
                "pictures": self.pictures,
                "fingerprint": self.fingerprint,
                "bad": [[row, self.bad[row]] for row in sorted(self.bad)],
            }
        )


def fingerprint(source_hash: str, entry: Mapping[str, Any], rows: tuple[int, int]) -> str:
    """Hash over all that a shard's content follows from."""
    keys = ("model_hash", "preprocessing_hash", "pooling", "compute", "dtype", "n_dims")
    return digest(repr((source_hash, [entry[key] for key in keys], rows)).encode())


def loses_in_float16(features: FloatArray) -> bool:
    """True if storing as float16 changes some finite row by more than 0.1 % of its norm (or to infinity)."""
    if features.dtype == np.float16:
        return False
    rows = features[np.isfinite(features).all(axis=1)].astype(np.float64)
    with np.errstate(over="ignore"):
        short = rows.astype(np.float16).astype(np.float64)
    norm2 = np.einsum("ij,ij->i", rows, rows)
    if not np.isfinite(short).all():
        return True
    short -= rows
    loss2 = np.einsum("ij,ij->i", short, short)
    return bool((loss2 > MAX_NORM_LOSS**2 * norm2).any())


def beyond_float16(features: FloatArray) -> BoolArray:
    """(n,) True where a row of finite numbers has one that float16 cannot hold."""
    with np.errstate(over="ignore"):
        fits = np.isfinite(features.astype(np.float16)).all(axis=1)
    finite = np.isfinite(features).all(axis=1)
    return np.asarray(finite & ~fits, dtype=np.bool_)


def header_of(n_rows: int, n_dims: int, dtype: str) -> bytes:
    """The .npy header; it depends on nothing else, so it also serves to check a file."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": DTYPES[dtype], "fortran_order": False, "shape": (n_rows, n_dims)}
    )
    return buffer.getvalue()


def write_shard(
    path: Path,
    features: FloatArray,
    dtype: str,
    rows: tuple[int, int],
    bad: Mapping[int, str],
    pictures: str,
    shard_fingerprint: str,
) -> Receipt:
    """Writes `path` and its receipt; rows in `bad` become NaN."""
    with np.errstate(over="ignore"):  # a row that overflows is in `bad` already
        stored = np.ascontiguousarray(features, dtype=DTYPES[dtype])
    if bad:
        stored = stored.copy() if np.may_share_memory(stored, features) else stored
        stored[[row - rows[0] for row in bad]] = np.nan
    header = header_of(stored.shape[0], stored.shape[1], dtype)
    body = memoryview(stored.view(np.uint8).data).cast("B")
    write_atomic(path, [header, body])
    receipt = Receipt(rows, len(header) + body.nbytes, digest(header, body), pictures, shard_fingerprint, dict(bad))
    write_atomic(path.with_suffix(".json"), [receipt.to_json()])
    return receipt


def read_receipt(path: Path) -> Receipt | None:
    """The receipt beside the shard `path`, or None if there is none that can be read."""
    value = receipt_fields(path.with_suffix(".json"))
    try:
        return (
            value
            if value is None
            else Receipt(
                rows=(int(value["rows"][0]), int(value["rows"][1])),
                n_bytes=int(value["bytes"]),
                blake2b=str(value["blake2b"]),
                pictures=str(value["pictures"]),
                fingerprint=str(value["fingerprint"]),
                bad={int(row): str(reason) for row, reason in value["bad"]},
            )
        )
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def receipt_fields(path: Path) -> Any:
    """What a receipt's file holds, or None where there is none or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}. Make it readable and run again.") from error


def fault_of(path: Path, n_rows: int, n_dims: int, dtype: str, blake2b: str | None = None) -> str | None:
    """What is wrong with a shard's file: None, or some words. Reads only the header unless blake2b is given."""
    header = header_of(n_rows, n_dims, dtype)
    n_bytes = len(header) + n_rows * n_dims * np.dtype(DTYPES[dtype]).itemsize
    try:
        found = path.stat().st_size
        if found != n_bytes:
            return f"has {found} bytes, {n_bytes} were expected"
        with open(path, "rb") as file:
            if file.read(len(header)) != header:
                return f"does not begin with the .npy header of ({n_rows}, {n_dims}) {dtype}"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    if blake2b is not None and file_digest(path) != blake2b:
        return "has another content than its hash says"
    return None
