"""Arrays in device memory for the contract: real ones where there is a card, and the CPU's with emulated kernels.

The emulation runs the kernels of csrc/cuda on the CPU (csrc/cuda/simt.h), under the host code of the package: NumPy
stands for CuPy, Torch on the CPU for Torch on CUDA. Fresh memory is poisoned, so that what a kernel forgets to write
is seen.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from oneglance.cuda import why_not
from oneglance.cuda.arrays import registered
from oneglance.cuda.cupy_library import CupyLibrary
from oneglance.cuda.lanes import PlainLane
from oneglance.cuda.torch_library import TorchLibrary

ROOT = Path(__file__).resolve().parents[2]


@cache
def emulated_kernels():
    """The module of emulated kernels, or None: `cmake --workflow --preset emulated` builds it."""
    folder = Path(os.environ.get("ONEGLANCE_EMULATED_DIR", ROOT / "build" / "emulated"))
    found = sorted(folder.glob("_cuda_emulated*.so"))
    if not found:
        return None
    spec = importlib.util.spec_from_file_location("_cuda_emulated", found[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class InDeviceMemory(np.ndarray):
    """A NumPy array that counts as one of a device."""


class EmulatedCupy(CupyLibrary):
    def __init__(self, kernels):
        super().__init__(np, kernels)

    def owns(self, value):
        return isinstance(value, InDeviceMemory)

    def address(self, array):
        return array.ctypes.data

    def device(self, array):
        return 0

    def guard(self, device):
        return nullcontext()

    def stream(self, device):
        return 0

    def empty(self, shape, dtype, device):
        array = np.empty(shape, dtype=dtype)
        array.reshape(-1).view(np.uint8)[...] = 0xFF
        return array.view(InDeviceMemory)

    def zeros(self, shape, dtype, device):
        return np.zeros(shape, dtype=dtype).view(InDeviceMemory)

    def from_host(self, array, device):
        return np.array(array, order="C").view(InDeviceMemory)

    def to_host(self, array):
        return np.array(array).view(np.ndarray)

    def _errors(self):
        return nullcontext()

    def upper_inverse(self, r):
        return np.linalg.inv(r)

    def contiguous(self, array):
        return np.ascontiguousarray(array).view(InDeviceMemory)

    def stable_order(self, a):
        return np.argsort(a, axis=1, kind="stable")

    def full(self, shape, value, dtype, device):
        return np.full(shape, value, dtype=dtype).view(InDeviceMemory)

    def lane(self, n_bytes, device):
        return PlainLane(lambda array: array.view(InDeviceMemory), n_bytes)

    def free_bytes(self, device):
        return self.kernels.card(device)["memory_bytes"]

    @property
    def out_of_memory(self):
        return MemoryError


class EmulatedTorch(TorchLibrary):
    def __init__(self, torch, kernels):
        super().__init__(torch, kernels, device_type="cpu")

    def empty(self, shape, dtype, device):
        array = super().empty(shape, dtype, device)
        array.view(-1).view(self.torch.uint8).fill_(0xFF)
        return array


class Device:
    """put: NumPy array -> device array; get: back. `library` is that of the arrays."""

    def __init__(self, name, library):
        self.name, self.library = name, library
        self.emulated = name.startswith("emulated")

    def put(self, array):
        with self.library.guard(0):
            return self.library.from_host(np.asarray(array), 0)

    def get(self, array):
        assert self.library.owns(array), f"the answer is a {type(array).__name__}, not an array of the device"
        return self.library.to_host(array)

    @contextmanager
    def descending(self):
        """Threads and blocks run the other way round inside the block, where they are emulated."""
        if self.emulated:
            self.library.kernels.set_descending(True)
        try:
            yield
        finally:
            if self.emulated:
                self.library.kernels.set_descending(False)


@contextmanager
def opened(name):
    """The device of that name; skips the test with the reason where there is none."""
    kind, library = name.split("-")
    if kind == "emulated":
        kernels = emulated_kernels()
        if kernels is None:
            pytest.skip("the emulated kernels are not built: cmake --workflow --preset emulated")
        made = EmulatedCupy(kernels) if library == "numpy" else EmulatedTorch(pytest.importorskip("torch"), kernels)
        with registered(made):
            yield Device(name, made)
        return
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    from oneglance import _cuda

    module = pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "torch" and not module.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    yield Device(name, TorchLibrary(module, _cuda) if library == "torch" else CupyLibrary(module, _cuda))
