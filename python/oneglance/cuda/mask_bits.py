"""Packed masks on the device: csrc/cuda/mask_bits.h. Bits go to the device and come back packed, one per weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .arrays import ROW_TYPES, adopted, is_foreign, library_of, why_not
from .library import Library

Bits = npt.NDArray[np.uint8]
_ITEM_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def library_if_built(tensor: Any, name: str) -> Library | None:
    """`library_of`; None too for a CUDA tensor where the CUDA module is missing: then Torch does what it can."""
    return None if getattr(tensor, "is_cuda", False) and why_not() is not None else library_of(tensor, name)


def own_array(value: Any, name: str, library: Library, dtypes: Sequence[str], device: int | None = None) -> Any:
    """The value as an array of the library of one of these types, in the memory of a device: of this one where it is
    given. Not necessarily contiguous."""
    if not library.owns(value) and not is_foreign(value):
        raise InvalidInput(
            f"{name} must be in device memory, as the other arrays are, got {type(value).__name__}. Move it there."
        )
    array = adopted(value, library)
    if device is not None and library.device(array) != device:
        raise InvalidInput(
            f"{name} is on device {library.device(array)}, the other arrays on device {device}. Move one of them."
        )
    if library.dtype_name(array) not in dtypes:
        raise InvalidInput(f"{name} must be {' or '.join(dtypes)}, got {library.dtype_name(array)}. Convert it first.")
    return array


def is_contiguous(array: Any, library: Library) -> bool:
    """Row-major, without gaps."""
    if 0 in array.shape:
        return True
    step = 1
    for size, stride in zip(reversed(array.shape), reversed(library.strides(array)), strict=True):
        if size != 1 and stride != step:
            return False
        step *= size
    return True


def target(out: Any, library: Library, dtype: str, shape: tuple[int, ...], device: int | None = None) -> Any:
    """The array to write to, checked."""
    array = own_array(out, "out", library, (dtype,), device)
    facts = {} if library.owns(out) else getattr(out, "__cuda_array_interface__", {})
    if facts and facts["data"][1]:
        raise InvalidInput(f"out must be writeable, this {type(out).__name__} may only be read. Pass another.")
    if tuple(array.shape) != shape or not is_contiguous(array, library):
        raise InvalidInput(f"out must be a contiguous array of shape {shape}, got shape {tuple(array.shape)}.")
    return array


def pack(array: Any, library: Library) -> tuple[Bits, int]:
    """(bits, ones) of a bool or uint8 array; any value but 0 is a 1. Waits for the device."""
    device, n = library.device(array), math.prod(array.shape)
    with library.guard(device):
        source = library.contiguous(array)
        bits, ones = library.empty((n + 7) // 8, "uint8", device), library.zeros(1, "int64", device)
        library.kernels.pack_mask(
            library.address(source), n, library.address(bits), library.address(ones), library.stream(device)
        )
        return library.to_host(bits), library.host_int(ones)


def pack_scores(array: Any, mu: float, library: Library) -> tuple[Bits, int, int]:
    """(bits, ones, NaN) of float32 scores > mu. Waits for the device."""
    device, n = library.device(array), math.prod(array.shape)
    with library.guard(device):
        source = library.contiguous(array)
        bits, counts = library.empty((n + 7) // 8, "uint8", device), library.zeros(2, "int64", device)
        library.kernels.pack_scores(
            library.address(source), mu, n, library.address(bits), library.address(counts), library.stream(device)
        )
        ones, n_nan = library.to_host(counts).tolist()
        return library.to_host(bits), int(ones), int(n_nan)


def unpack(bits: Bits, start: int, stop: int, out: Any, library: Library) -> None:
    """out[...] = weights start .. stop - 1 as booleans."""
    device = library.device(out)
    with library.guard(device):
        there = library.from_host(bits, device)
        library.kernels.unpack_mask(library.address(there), start, stop, library.address(out), library.stream(device))


class DeviceMasks:
    """Masks of one shape on a device. bits (n_masks, step bytes), divisors (n_masks,) float32."""

    def __init__(self, bits: Sequence[Bits], divisors: Sequence[Any], n: int, library: Library, device: int) -> None:
        self.library, self.device, self.n, self.n_masks = library, device, n, len(bits)
        self.step = -(-n // 128) * 16  # every mask begins at a multiple of 16 bytes
        packed = np.zeros((len(bits), self.step), dtype=np.uint8)
        for row, mask in zip(packed, bits, strict=True):
            row[: mask.size] = mask
        with library.guard(device):
            self.bits = library.from_host(packed, device)
            self.divisors = library.from_host(np.array(divisors, dtype=np.float32), device)

    def apply(self, array: Any, out: Any) -> None:
        """out (n_masks, ...) = the masked weights; with one mask `out` may be `array`."""
        library = self.library
        with library.guard(self.device):
            source = library.contiguous(array)
            apart = abs(library.address(out) - library.address(source))
            if 0 < apart < self.n * _ITEM_BYTES[library.dtype_name(array)]:  # else some would be written before read
                source = library.empty(tuple(array.shape), library.dtype_name(array), self.device)
                source[...] = array
            library.kernels.apply_masks(
                library.address(source),
                ROW_TYPES[library.dtype_name(array)],
                self.n,
                library.address(self.bits),
                self.step,
                library.address(self.divisors),
                self.n_masks,
                library.address(out),
                library.stream(self.device),
            )

    def linear(self, x: Any, weight: Any, sites: npt.NDArray[np.int64], bias: Any, out: Any) -> None:
        """out (n, d_out) = every sample's own masked weights times it, plus bias. Contiguous float32 arrays."""
        library, device = self.library, self.device
        order = np.argsort(sites, kind="stable").astype(np.int64)
        with library.guard(device):
            there, places = library.from_host(sites, device), library.from_host(order, device)
            library.kernels.masked_linear(
                library.address(x),
                *map(int, x.shape),
                library.address(weight),
                int(weight.shape[0]),
                library.address(self.bits),
                self.step,
                library.address(self.divisors),
                library.address(there),
                library.address(places),
                0 if bias is None else library.address(bias),
                library.address(out),
                library.stream(device),
            )
