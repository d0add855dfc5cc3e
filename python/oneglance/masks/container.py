"""A safetensors file of which every byte is checked: its metadata hold the hash of the whole file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import StoreError
from ..store.files import digest, make_folder, write_atomic

Array = npt.NDArray[Any]

FORMAT, VERSION = "oneglance-mask", 2
_DTYPES = {"I64": "<i8", "F32": "<f4", "F16": "<f2", "U8": "|u1"}
_NAMES = {np.dtype(spelled): name for name, spelled in _DTYPES.items()}
_BLANK = "0" * 64
_MOST_HEADER = 100_000_000  # as in safetensors
MOST_DIMS = 64  # of a tensor, as in NumPy; a product of millions of sizes would take hours


def dtype_name(dtype: np.dtype[Any]) -> str | None:
    """The name that safetensors has for a dtype, None for those that a mask file does not hold."""
    return _NAMES.get(dtype.newbyteorder("<"))


def write_container(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> tuple[int, int]:
    """Writes all or nothing. The same content gives the same bytes.

    tensors   name -> int64, float32, float16 or uint8 array
    metadata  beside "format", "version" and "digest", which are added here
    Returns (bytes of the file, bytes before the first tensor). Raises StoreError.
    """
    facts = {"format": FORMAT, "version": str(VERSION), "digest": _BLANK, **metadata}
    entries: dict[str, Any] = {"__metadata__": facts}
    blocks, at = [], 0
    # Wide numbers first, so that every tensor is aligned.
    for name, array in sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize):
        block = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        spelled = dtype_name(array.dtype)
        entries[name] = {"dtype": spelled, "shape": list(array.shape), "data_offsets": [at, at + len(block)]}
        blocks.append(block)
        at += len(block)
    blank = _header(entries)
    facts["digest"] = digest(blank, *blocks)
    header = _header(entries)
    make_folder(path.parent)
    write_atomic(path, [header, *blocks])
    return len(header) + at, len(header)


def _header(entries: dict[str, Any]) -> bytes:
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_container(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """(metadata, tensors), after every byte has been compared with the hash. Tensors are views, read-only.

    Raises StoreError naming the file: not there, not a mask file, of a later version, truncated, changed.
    """
    try:
        with open(path, "rb") as file:
            header, entries, facts = _read_header(file, path)
            content = file.read()
    except OSError as error:
        raise StoreError(
            f"no mask file at {path}: {error.strerror or error}. Write one with write_mask_file."
        ) from error
    stated = facts.get("digest", "")
    pattern = f'"digest":"{stated}"'.encode()
    if len(stated) != 64 or header.count(pattern) != 1:
        raise damaged(path, "its header has no digest")
    found = digest(header.replace(pattern, f'"digest":"{_BLANK}"'.encode()), content)
    if found != stated:
        raise damaged(path, f"its bytes have the hash {found[:16]}..., its header says {stated[:16]}...")
    return facts, _tensors(entries, content, path)


def damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is damaged: {why}. Take another copy of it, or write it again.")


def _read_header(file: BinaryIO, path: Path) -> tuple[bytes, dict[str, Any], dict[str, str]]:
    size = file.seek(0, 2)
    file.seek(0)
    length = file.read(8)
    n_bytes = int.from_bytes(length, "little")
    if len(length) < 8 or n_bytes > min(size - 8, _MOST_HEADER):
        raise damaged(path, f"it has {size} bytes, fewer than its header says, or it is no mask file")
    text = file.read(n_bytes)
    try:
        entries = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise damaged(path, "its header is not JSON, or it is no mask file") from None
    facts = entries.pop("__metadata__", None) if isinstance(entries, dict) else None
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        raise StoreError(f"{path} is no mask file: a safetensors header with metadata was needed.")
    if facts.get("format") != FORMAT:
        raise StoreError(
            f'{path} is no mask file: format "{FORMAT}" was needed, got {facts.get("format")!r}. Write one with '
            "write_mask_file."
        )
    version = facts.get("version", "")
    if version != str(VERSION):
        older = version.isdecimal() and int(version[:20]) < VERSION
        raise StoreError(
            f"{path} is a mask file of version {version[:20]!r}, this oneglance reads {VERSION}. "
            f"{'Write the masks again' if older else 'Update oneglance'}, or take another copy if the file is damaged."
        )
    return length + text, entries, facts


def _tensors(entries: dict[str, Any], content: bytes, path: Path) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    end = 0
    try:
        for name, entry in sorted(entries.items(), key=lambda item: tuple(item[1]["data_offsets"])):
            dtype = np.dtype(_DTYPES[entry["dtype"]])
            if len(entry["shape"]) > MOST_DIMS:
                raise ValueError(f"tensor {name!r} has {len(entry['shape'])} dimensions")
            shape = tuple(int(size) for size in entry["shape"])
            begin, after = (int(at) for at in entry["data_offsets"])
            if min(shape, default=0) < 0 or begin != end or after - begin != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"tensor {name!r} does not fit")
            tensors[name] = np.frombuffer(content[begin:after], dtype=dtype).reshape(shape)
            end = after
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise damaged(path, f"its header names tensors that are not there ({type(error).__name__}: {error})") from None
    if end != len(content):
        raise damaged(path, f"{len(content) - end} bytes belong to no tensor")
    return tensors
