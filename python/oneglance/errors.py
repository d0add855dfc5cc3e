"""Every error oneglance raises on purpose.

    OneglanceError
    ├── InvalidInput        an argument, array or file is not what was needed   (also a ValueError)
    ├── BadData             too large a share of the pool cannot be used        (CLI exit code 3)
    ├── StoreError          a feature store is missing, damaged or in use
    ├── OutOfMemory         a device has too little memory left            (also a MemoryError)
    └── MissingDependency   an optional package is needed for this call         (also an ImportError)

A message says which argument, what was needed, what came, and the cure.
"""

from __future__ import annotations


class OneglanceError(Exception):
    """Base class: catch this to catch everything that oneglance raises on purpose."""


class InvalidInput(OneglanceError, ValueError):
    """An argument, array or file is not what the call needs."""


class BadData(OneglanceError):
    """More items of the pool are unusable than the caller allowed."""


class StoreError(OneglanceError):
    """A feature store is missing, damaged, of another version, or being written by someone else."""


class OutOfMemory(OneglanceError, MemoryError):
    """A device has too little memory left; the message names the bytes needed and the way around."""


class MissingDependency(OneglanceError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""
