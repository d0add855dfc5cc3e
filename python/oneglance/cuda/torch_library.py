"""Torch tensors in device memory. Torch is looked up, never imported: who passes a tensor has it loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from .lanes import Lane, PlainLane, TorchLane
from .library import CHOOSING, Library, Shape


class TorchLibrary(Library):
    """device_type "cuda"; "cpu" with kernels that are emulated, for the tests."""

    name = "torch"

    def __init__(self, torch: Any, kernels: Any, device_type: str = "cuda") -> None:
        self.torch, self.kernels, self.device_type = torch, kernels, device_type

    def owns(self, value: Any) -> bool:
        return isinstance(value, self.torch.Tensor) and value.device.type == self.device_type

    def own(self, value: Any) -> Any:
        return value.detach()

    def adopt(self, value: Any) -> Any:
        if not hasattr(value, "__cuda_array_interface__"):
            return self.torch.from_dlpack(value)
        there = _Readable(value)
        interface = there.__cuda_array_interface__
        device = int(self.kernels.device_of(interface["data"][0]))
        with self.guard(device):
            if interface.get("stream") is not None:  # Torch does not look at it
                self.kernels.synchronize(int(interface["stream"]))
            return self.torch.as_tensor(there, device=self._device(device))

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype).removeprefix("torch.")

    def address(self, array: Any) -> int:
        return int(array.data_ptr())

    def strides(self, array: Any) -> tuple[int, ...]:
        return tuple(array.stride())

    def contiguous(self, array: Any) -> Any:
        return array.contiguous()

    def astype(self, array: Any, dtype: str) -> Any:
        return array.to(getattr(self.torch, dtype))

    def device(self, array: Any) -> int:
        return int(array.device.index or 0)

    def _device(self, device: int) -> Any:
        return self.torch.device(self.device_type, device if self.device_type == "cuda" else None)

    def guard(self, device: int) -> AbstractContextManager[Any]:
        if self.device_type != "cuda":
            return nullcontext()
        guard: AbstractContextManager[Any] = self.torch.cuda.device(device)
        return guard

    def stream(self, device: int) -> int:
        return int(self.torch.cuda.current_stream(device).cuda_stream) if self.device_type == "cuda" else 0

    def empty(self, shape: Shape, dtype: str, device: int) -> Any:
        return self.torch.empty(shape, dtype=getattr(self.torch, dtype), device=self._device(device))

    def zeros(self, shape: Shape, dtype: str, device: int) -> Any:
        return self.torch.zeros(shape, dtype=getattr(self.torch, dtype), device=self._device(device))

    def from_host(self, array: npt.NDArray[Any], device: int) -> Any:
        return self.torch.from_numpy(np.array(array, order="C")).to(self._device(device))

    def to_host(self, array: Any) -> npt.NDArray[Any]:
        host: npt.NDArray[Any] = array.detach().cpu().numpy()
        return host

    def product(self, a: Any, b: Any, out: Any, *, tf32: bool = False, add: bool = False) -> None:
        with CHOOSING, self._tf32(tf32):
            if add:
                self.torch.addmm(out, a, b, out=out)
            else:
                self.torch.mm(a, b, out=out)

    @property
    def selects_tf32(self) -> bool:
        return True

    def cholesky_upper(self, a: Any) -> Any | None:
        factor, failed = self.torch.linalg.cholesky_ex(a, upper=True)
        return None if int(failed) else factor

    def upper_inverse(self, r: Any) -> Any:
        identity = self.torch.eye(r.shape[0], dtype=r.dtype, device=r.device)
        return self.torch.linalg.solve_triangular(r, identity, upper=True)

    def eigenvalues(self, a: Any) -> Any:
        return self.torch.linalg.eigvalsh(a)

    @contextmanager
    def _tf32(self, wanted: bool) -> Iterator[None]:
        """Whether products of float32 may use TF32 is one setting of the process: set for the call, then put back."""
        settings = self.torch.backends.cuda.matmul
        name, value = (
            ("fp32_precision", "tf32" if wanted else "ieee")
            if hasattr(settings, "fp32_precision")
            else ("allow_tf32", wanted)
        )
        before = getattr(settings, name)
        if before == value:
            yield
            return
        setattr(settings, name, value)
        try:
            yield
        finally:
            setattr(settings, name, before)

    def stable_order(self, a: Any) -> Any:
        return self.torch.sort(a, dim=1, stable=True).indices

    def joined(self, a: Any, b: Any) -> Any:
        return self.torch.cat([a, b], dim=1)

    def taken(self, a: Any, positions: Any) -> Any:
        return self.torch.gather(a, 1, positions)

    def full(self, shape: Shape, value: float, dtype: str, device: int) -> Any:
        size = (shape,) if isinstance(shape, int) else tuple(shape)
        return self.torch.full(size, value, dtype=getattr(self.torch, dtype), device=self._device(device))

    def lane(self, n_bytes: int, device: int) -> Lane:
        if self.device_type != "cuda":
            return PlainLane(self.torch.from_numpy, n_bytes)
        return TorchLane(self.torch, self._device(device), n_bytes)

    def free_bytes(self, device: int) -> int:
        if self.device_type != "cuda":
            return int(self.kernels.card(device)["memory_bytes"])
        free: int = self.torch.cuda.mem_get_info(device)[0]
        kept: int = self.torch.cuda.memory_reserved(device) - self.torch.cuda.memory_allocated(device)
        return free + kept

    @property
    def out_of_memory(self) -> type[Exception]:
        kind: type[Exception] = self.torch.cuda.OutOfMemoryError
        return kind


class _Readable:
    """An array that Torch takes even where it may only be read, which Torch has no word for. Keeps it alive."""

    def __init__(self, array: Any) -> None:
        self.array = array
        interface = array.__cuda_array_interface__
        self.__cuda_array_interface__ = {**interface, "data": (interface["data"][0], False)}


def find_torch(value: Any) -> Any:
    """torch, when it is loaded and the value is one of its CUDA tensors; else None."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor) or not value.is_cuda:
        return None
    return torch
