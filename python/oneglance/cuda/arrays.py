"""The door of the CUDA part: which library an array in device memory belongs to, and its rows as the kernels take them.

An operation on device arrays goes: `library_of` the caller's array (None: it is not in device memory), `device_rows`
of each matrix, then kernels of `library.kernels` inside `library.guard(device)` with `library.stream(device)`, and
products by `library.product`. Answers are arrays of the same library on the same device.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidInput, MissingDependency
from .cupy_library import CupyLibrary, find_cupy
from .library import Library, card_of
from .torch_library import TorchLibrary, find_torch

# csrc/cuda/device_rows.h has the same codes.
ROW_TYPES = {"float16": 0, "float32": 1, "float64": 2, "bfloat16": 3}
_WIDENED = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

_OLDEST = 80  # CMakeLists.txt compiles for no older card

_registered: list[Library] = []
_chosen: ContextVar[str | None] = ContextVar("device", default=None)


@contextmanager
def registered(library: Library) -> Iterator[None]:
    """Inside the block arrays that `library` owns count as device arrays, and device="cuda" means it. For tests, with
    emulated kernels."""
    _registered.insert(0, library)
    try:
        yield
    finally:
        _registered.remove(library)


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Inside the block operations that are not told a device take this one for rows of the host, where they can.

    device  as `checked_device` answers it; "cpu" leaves what a block around this one has chosen
    """
    token = _chosen.set(_chosen.get() if device == "cpu" else device)
    try:
        yield
    finally:
        _chosen.reset(token)


def checked_device(device: Any) -> str:
    """The device as it was given; "cpu" where it is "auto" and no card, or no library for it, can be used. Raises
    InvalidInput."""
    if not isinstance(device, str):
        raise InvalidInput(f'device must be "cpu", "cuda", "cuda:0", ... or "auto", got {device!r}.')
    if device == "auto":
        return "cuda" if _is_usable() else "cpu"
    _wanted(device)
    if device != "cpu":
        _library_by_name(device)
    return device


def why_not() -> str | None:
    """Why device arrays cannot be worked on here; None when they can."""
    try:
        module: Any = importlib.import_module("oneglance._cuda")
    except ModuleNotFoundError:
        return "the CUDA module is not built (-DONEGLANCE_CUDA=ON builds it)"
    except ImportError as error:
        return f"the CUDA module is built but not loadable: {error}"
    n_cards = module.device_count()
    if not n_cards:
        return "the CUDA module finds no card or no driver"
    newest = max(card_of(module, device)["capability"] for device in range(n_cards))
    if newest < _OLDEST:
        return f"the card has compute capability {newest / 10:.1f}, and the CUDA module is for 8.0 and later"
    return None


def _kernels(name: str, kind: str) -> Any:
    reason = why_not()
    if reason is not None:
        raise InvalidInput(f"{name} is a {kind}, but {reason}. Pass {name} as an array of the CPU.")
    return importlib.import_module("oneglance._cuda")


def library_of(value: Any, name: str) -> Library | None:
    """The library whose device array this is; None for everything else (arrays of the CPU, lists, stores).

    Objects with __cuda_array_interface__ or DLPack of other libraries are taken by Torch or CuPy, whichever is loaded
    (see `adopted`). Raises InvalidInput when it is a device array and the CUDA module is missing.
    """
    for library in _registered:
        if library.owns(value):
            return library
    torch = find_torch(value)
    if torch is not None:
        return TorchLibrary(torch, _kernels(name, "CUDA tensor"))
    cupy = find_cupy(value)
    if cupy is not None:
        return CupyLibrary(cupy, _kernels(name, "CuPy array"))
    if not is_foreign(value):
        return None
    kernels = _kernels(name, "CUDA array")
    if "cupy" in sys.modules:
        return CupyLibrary(sys.modules["cupy"], kernels)
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        return TorchLibrary(sys.modules["torch"], kernels)
    raise InvalidInput(
        f"{name} is a CUDA array of {type(value).__module__}: import torch (with CUDA) or cupy, which does products."
    )


def place_of(value: Any, name: str, device: str | None) -> tuple[Library, int] | None:
    """Library and device that work on the rows: those of a device array, or for rows of the host those asked for.

    device  None: where the rows are, or for rows of the host what `computing_on` says. "cpu"; "cuda", "cuda:1", ...:
            rows of the host are streamed there. "auto": "cuda" where it can be used, else "cpu"
    None: the CPU. Raises InvalidInput for a device that is not there, or another one than the array's.
    """
    library = library_of(value, name)
    wanted = _wanted(device)
    if library is not None:
        where = library.device(value)
        if device in (None, "auto") or wanted in (-1, where):
            return library, where
        raise InvalidInput(f"{name} is on device {where}, device is {device!r}. Move {name}, or leave device out.")
    device = _chosen.get() if device is None else device
    if device in (None, "cpu") or (device == "auto" and not _is_usable()):
        return None
    return _library_by_name(str(device)), max(_wanted(device), 0)


def _wanted(device: str | None) -> int:
    """The number in "cuda:1"; -1 for any device, -2 for the CPU."""
    if device in (None, "auto", "cuda"):
        return -1
    if device == "cpu":
        return -2
    kind, _, number = str(device).partition(":")
    if kind != "cuda" or not number.isdigit():
        raise InvalidInput(f'device must be "cpu", "cuda", "cuda:0", ... or "auto", got {device!r}.')
    return int(number)


def _library_by_name(device: str) -> Library:
    """The library for rows of the host. Raises InvalidInput, MissingDependency."""
    if _registered:
        return _registered[0]
    reason = why_not()
    if reason is not None:
        raise InvalidInput(f'device is "{device}", but {reason}. Leave device out: the CPU does it.')
    kernels: Any = importlib.import_module("oneglance._cuda")
    if _wanted(device) >= kernels.device_count():
        raise InvalidInput(f'device is "{device}", but there are {kernels.device_count()} devices.')
    library = _loaded_library(kernels)
    if library is None:
        raise MissingDependency(f'device is "{device}": that needs torch with CUDA, or cupy, for matrix products.')
    return library


def _is_usable() -> bool:
    """Whether rows of the host can be worked on on a card: what "auto" asks."""
    if _registered:
        return True
    return why_not() is None and _loaded_library(importlib.import_module("oneglance._cuda")) is not None


def _loaded_library(kernels: Any) -> Library | None:
    """Torch or CuPy, whichever works on cards: the one that is loaded, else the one that is installed."""
    for name in sorted(("torch", "cupy"), key=lambda module: module not in sys.modules):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        if name == "cupy":
            return CupyLibrary(module, kernels)
        if module.cuda.is_available():
            return TorchLibrary(module, kernels)
    return None


def is_foreign(value: Any) -> bool:
    """Whether another library says that the value is in the memory of a CUDA device."""
    if isinstance(value, (np.ndarray, type)):
        return False
    if hasattr(value, "__cuda_array_interface__"):
        return True
    try:
        return int(next(iter(value.__dlpack_device__()))) == 2  # kDLCUDA
    except (AttributeError, TypeError, ValueError, RuntimeError, BufferError):  # it has none, or none for this kind
        return False


def adopted(value: Any, library: Library) -> Any:
    """The value as an array of the library, without a copy; only to be read where it is another library's."""
    return library.own(value) if library.owns(value) else library.adopt(value)


@dataclass(frozen=True, slots=True, eq=False)
class DeviceRows:
    """A matrix in device memory as the kernels take it; `array` keeps the memory alive."""

    array: Any
    library: Library
    device: int
    type: int
    n_rows: int
    n_dims: int
    row_stride: int

    @property
    def dtype(self) -> str:
        return next(name for name, code in ROW_TYPES.items() if code == self.type)

    @property
    def args(self) -> tuple[int, int, int, int, int]:
        """address, type code, n_rows, n_dims, row_stride."""
        return self.library.address(self.array), self.type, self.n_rows, self.n_dims, self.row_stride

    def part(self, first: int, last: int) -> DeviceRows:
        """Rows first .. last - 1, without a copy."""
        return DeviceRows(
            self.array[first:last], self.library, self.device, self.type, last - first, self.n_dims, self.row_stride
        )


def device_rows(value: Any, name: str, library: Library, *, like: DeviceRows | None = None) -> DeviceRows:
    """A 2-D device array as rows: float16/32/64 or bfloat16; integers become float64, other layouts are copied.

    like  rows that these must share the device and the number of columns with (an argument named X)
    """
    if not library.owns(value) and not is_foreign(value):
        raise InvalidInput(
            f"{name} must be in device memory, as X is, got {type(value).__name__}. Move it there, or both to the CPU."
        )
    array = adopted(value, library)
    shape = tuple(array.shape)
    if len(shape) != 2:
        whose = name if name.isidentifier() else ""
        hint = f" Use {whose}.reshape(-1, 1) for one feature." if len(shape) == 1 else ""
        raise InvalidInput(f"{name} must be 2-D (rows, features), got shape {shape}.{hint}")
    if 0 in shape:
        raise InvalidInput(f"{name} must have at least one row and one column, got shape {shape}.")
    dtype, device = library.dtype_name(array), library.device(array)
    if dtype in _WIDENED:
        with library.guard(device):
            array, dtype = library.astype(array, "float64"), "float64"
    if dtype not in ROW_TYPES:
        raise InvalidInput(f"{name} must hold float16, bfloat16, float32 or float64 numbers, got dtype {dtype}.")
    if like is not None and device != like.device:
        raise InvalidInput(f"{name} is on device {device}, X on device {like.device}. Move one of them.")
    if like is not None and shape[1] != like.n_dims:
        raise InvalidInput(
            f"{name} has {shape[1]} columns, X has {like.n_dims}. Both must come from the same backbone."
        )
    row_stride, column_stride = library.strides(array)
    if (column_stride != 1 and shape[1] > 1) or (row_stride < shape[1] and shape[0] > 1):
        with library.guard(device):
            array = library.contiguous(array)
        row_stride = shape[1]
    return DeviceRows(array, library, device, ROW_TYPES[dtype], shape[0], shape[1], max(row_stride, shape[1]))
