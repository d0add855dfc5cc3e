"""Fingerprints of weights and masks: which base and which parent a mask file belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .bits import BitMask


def weights_hash(named_arrays: Mapping[str, Any]) -> str:
    """blake2b-256 of named arrays, 64 hexadecimal digits: names, dtypes, shapes and values; the order does not matter.

    named_arrays  name -> NumPy array or torch tensor, e.g. the parameters of a base as they were before adaptation.
                  bfloat16 tensors count by their values. The same on every machine (little-endian bytes).
    """
    return _digest(_spelled(name, named_arrays[name]) for name in sorted(named_arrays))


def masks_hash(masks: Mapping[str, BitMask]) -> str:
    """The same of masks: names, shapes and bits."""
    return _digest((name, "bits", masks[name].shape, masks[name].bits) for name in sorted(masks))


def _digest(entries: Iterator[tuple[str, str, tuple[int, ...], Any]]) -> str:
    state = hashlib.blake2b(digest_size=32)
    for name, dtype, shape, values in entries:
        label = f"{dtype} {','.join(map(str, shape))} {name}".encode()
        state.update(len(label).to_bytes(8, "little") + label)
        state.update(memoryview(values).cast("B") if values.size else b"")
    return state.hexdigest()


def _spelled(name: str, value: Any) -> tuple[str, str, tuple[int, ...], Any]:
    dtype, array = as_numbers(name, value)
    # ascontiguousarray would make a scalar 1-D
    return name, dtype, array.shape, np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def as_numbers(name: str, value: Any) -> tuple[str, npt.NDArray[Any]]:
    """(name of the dtype, array) of an array or a torch tensor; torch is never imported here."""
    dtype = ""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # NumPy has no such type; float32 holds each of its values
            value, dtype = value.float(), "bfloat16"
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} must hold numbers, got dtype {array.dtype}.")
    return dtype or array.dtype.name, array
