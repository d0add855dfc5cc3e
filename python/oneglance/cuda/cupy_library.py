"""CuPy arrays. CuPy is looked up, never imported: who passes an array has it loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from .lanes import CupyLane, Lane
from .library import CHOOSING, Library, Shape


class CupyLibrary(Library):
    """`cupy`, or a module of the same functions (the tests pass NumPy with emulated kernels, and override the rest)."""

    name = "cupy"

    def __init__(self, cupy: Any, kernels: Any) -> None:
        self.cupy, self.kernels = cupy, kernels

    def owns(self, value: Any) -> bool:
        return isinstance(value, self.cupy.ndarray)

    def own(self, value: Any) -> Any:
        return value

    def adopt(self, value: Any) -> Any:
        if hasattr(value, "__cuda_array_interface__"):
            return self.cupy.asarray(value)
        return self.cupy.from_dlpack(value)

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

    def product(self, a: Any, b: Any, out: Any, *, tf32: bool = False, add: bool = False) -> None:
        with CHOOSING, self._tf32(tf32):
            if add:
                out += self.cupy.matmul(a, b)
            else:
                self.cupy.matmul(a, b, out=out)

    def _compute_types(self) -> Any:
        """CuPy's switch of TF32, or None where this CuPy has none: then CUPY_TF32 in the environment decides."""
        linalg = getattr(getattr(self.cupy, "_core", None), "_routines_linalg", None)
        return linalg if hasattr(linalg, "set_compute_type") and hasattr(linalg, "get_compute_type") else None

    @property
    def selects_tf32(self) -> bool:
        return self._compute_types() is not None

    @contextmanager
    def _tf32(self, wanted: bool) -> Iterator[None]:
        linalg = self._compute_types()
        if linalg is None:
            yield
            return
        before = linalg.get_compute_type("float32")
        linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_TF32 if wanted else linalg.COMPUTE_TYPE_FP32)
        try:
            yield
        finally:
            linalg.set_compute_type("float32", before)

    def cholesky_upper(self, a: Any) -> Any | None:
        with self._errors():
            try:
                return self.cupy.linalg.cholesky(a).T
            except np.linalg.LinAlgError:
                return None

    def _errors(self) -> AbstractContextManager[Any]:
        """Inside, a failed factorisation raises; CuPy would hand out what there is."""
        guard: AbstractContextManager[Any] = import_module("cupyx").errstate(linalg="raise")
        return guard

    def upper_inverse(self, r: Any) -> Any:
        identity = self.cupy.eye(r.shape[0])
        return import_module("cupyx.scipy.linalg").solve_triangular(r, identity, lower=False)

    def eigenvalues(self, a: Any) -> Any:
        return self.cupy.linalg.eigvalsh(a)

    def stable_order(self, a: Any) -> Any:
        return self.cupy.argsort(a, axis=1)

    def joined(self, a: Any, b: Any) -> Any:
        return self.cupy.concatenate([a, b], axis=1)

    def taken(self, a: Any, positions: Any) -> Any:
        return self.cupy.take_along_axis(a, positions, axis=1)

    def full(self, shape: Shape, value: float, dtype: str, device: int) -> Any:
        return self.cupy.full(shape, value, dtype=dtype)

    def lane(self, n_bytes: int, device: int) -> Lane:
        return CupyLane(self.cupy, n_bytes)

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
