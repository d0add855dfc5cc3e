"""CuPy arrays. CuPy is looked up, never imported: who passes an array has it loaded."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from .library import Library, Shape


class CupyLibrary(Library):
    """`cupy`, or a module of the same functions (the tests pass NumPy with emulated kernels, and override the rest)."""

    name = "cupy"

    def __init__(self, cupy: Any, kernels: Any) -> None:
        self.cupy, self.kernels = cupy, kernels

    def owns(self, value: Any) -> bool:
        return isinstance(value, self.cupy.ndarray)

    def own(self, value: Any) -> Any:
        return value

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def strides(self, array: Any) -> tuple[int, ...]:
        return tuple(stride // array.itemsize for stride in array.strides)

    def contiguous(self, array: Any) -> Any:
        return self.cupy.ascontiguousarray(array)

    def astype(self, array: Any, dtype: str) -> Any:
        return array.astype(dtype)

    def device(self, array: Any) -> int:
        return int(array.device.id)

    def guard(self, device: int) -> AbstractContextManager[Any]:
        guard: AbstractContextManager[Any] = self.cupy.cuda.Device(device)
        return guard

    def stream(self, device: int) -> int:
        return int(self.cupy.cuda.get_current_stream().ptr)

    def empty(self, shape: Shape, dtype: str, device: int) -> Any:
        return self.cupy.empty(shape, dtype=dtype)

    def zeros(self, shape: Shape, dtype: str, device: int) -> Any:
        return self.cupy.zeros(shape, dtype=dtype)

    def from_host(self, array: npt.NDArray[Any], device: int) -> Any:
        return self.cupy.asarray(np.ascontiguousarray(array))

    def to_host(self, array: Any) -> npt.NDArray[Any]:
        host: npt.NDArray[Any] = self.cupy.asnumpy(array)
        return host

    def product(self, a: Any, b: Any, out: Any, *, tf32: bool = False) -> None:
        """CuPy chooses its products by CUPY_TF32 in the environment: operands of 11 digits are right either way."""
        self.cupy.matmul(a, b, out=out)

    def free_bytes(self, device: int) -> int:
        free: int = self.cupy.cuda.Device(device).mem_info[0]
        return free + int(self.cupy.get_default_memory_pool().free_bytes())

    @property
    def out_of_memory(self) -> type[Exception]:
        kind: type[Exception] = self.cupy.cuda.memory.OutOfMemoryError
        return kind


def find_cupy(value: Any) -> Any:
    """cupy, when it is loaded and the value is one of its arrays; else None."""
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(value, getattr(cupy, "ndarray", ())) else None
