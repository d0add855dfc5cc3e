"""Files that are either whole or absent: temporary file in the same folder, fsync, atomic rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..errors import StoreError

Bytes: TypeAlias = "bytes | memoryview"

TMP_SUFFIX = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_HASH_BLOCK = 1 << 20


def digest(*parts: Bytes) -> str:
    """blake2b-256 of the parts one after another, as 64 hexadecimal digits."""
    return digest_of(parts)


def digest_of(parts: Iterable[Bytes]) -> str:
    """The same of an iterable, which is read once and never held as a whole."""
    state = hashlib.blake2b(digest_size=32)
    for part in parts:
        state.update(part)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """blake2b-256 of a file's bytes; one sequential reading."""
    state = hashlib.blake2b(digest_size=32)
    with open(path, "rb") as file:
        while block := file.read(_HASH_BLOCK):
            state.update(block)
    return state.hexdigest()


def json_bytes(value: Any) -> bytes:
    """The one spelling of a JSON value: two spaces, keys in the order given, newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def plain(value: Any) -> Any:
    """Numbers, lists and dicts as JSON knows them; NaN and infinity are None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def human_bytes(n_bytes: float) -> str:
    """12 B, 3.4 kB, 5.6 MB, ... (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def explain_os_error(error: OSError, path: Path, n_bytes: int) -> StoreError:
    """What the operating system refused, as a StoreError with the cure."""
    if error.errno in _FULL:
        try:
            free = f", {human_bytes(shutil.disk_usage(path.parent).free)} free"
        except OSError:
            free = ""
        return StoreError(
            f"disk full while writing {path}: {n_bytes} bytes needed{free}. Free some space and run the same "
            "command again; finished shards are kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(
            f"out: cannot write {path} ({error.strerror}). Choose a folder you may write to with out= / --out."
        )
    return StoreError(
        f"cannot write {path}: {error.strerror or error}. Mend that and run the same command again (what is "
        "finished is kept), or choose another place."
    )


def make_folder(path: Path) -> None:
    """mkdir -p that raises StoreError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise StoreError(f"out: {path} is a file, a folder is needed. Choose another name.") from None
    except OSError as error:
        raise explain_os_error(error, path, 0) from error


def sync_folder(path: Path) -> None:
    """Makes a rename in this folder survive a power cut; systems that cannot do it are left alone."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open a folder
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def write_atomic(path: Path, parts: Iterable[Bytes]) -> None:
    """Writes parts to `path` so that a reader, or the next run after a kill, sees all of it or nothing.

    Raises StoreError naming the path and the bytes needed; the temporary file is gone then.
    """
    blocks = [memoryview(part).cast("B") for part in parts]
    n_bytes = sum(block.nbytes for block in blocks)
    temporary = path.with_name(path.name + TMP_SUFFIX)
    try:
        with open(temporary, "wb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # a read-only disk refuses this as well
            temporary.unlink(missing_ok=True)
        raise explain_os_error(error, path, n_bytes) from error
    except BaseException:  # Ctrl-C in the middle of a write leaves no half file behind
        temporary.unlink(missing_ok=True)
        raise
