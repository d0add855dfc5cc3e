"""What operations need in device memory, and what they say when it is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import OutOfMemory
from .library import Library


def readable(n_bytes: float) -> str:
    """ "1.3 GB" """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.0f} bytes"


@contextmanager
def named_memory(library: Library, device: int, what: str, needed: int, cure: str) -> Iterator[None]:
    """The library's out-of-memory inside the block becomes OutOfMemory with the bytes needed and the cure.

    needed  bytes beyond the caller's arrays; when the device has fewer left, the error comes before the work
    """
    free = library.free_bytes(device)
    if needed > free:
        raise OutOfMemory(_message(what, device, needed, free, cure))
    try:
        yield
    except library.out_of_memory as error:
        raise OutOfMemory(_message(what, device, needed, library.free_bytes(device), cure)) from error


def _message(what: str, device: int, needed: int, free: int, cure: str) -> str:
    return (
        f"{what} needs {readable(needed)} on device {device} beyond the arrays given, {readable(free)} are free. {cure}"
    )
