"""A pinned buffer of the host with its like on the device, and the events that keep copies and work apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class Lane(ABC):
    """Used in the order host, copy, arrived, typed, read; then again."""

    n_bytes: int

    @abstractmethod
    def host(self) -> Bytes:
        """The pinned bytes, once the copy before has left them."""

    @abstractmethod
    def copy(self, n_bytes: int) -> None:
        """Starts copying the first bytes, once the work before has read what is there. Returns at once."""

    @abstractmethod
    def arrived(self) -> None:
        """Later work on the caller's stream waits for the copy."""

    @abstractmethod
    def typed(self, offset: int, n_items: int, dtype: str) -> Any:
        """Numbers on the device, from a byte offset on (a multiple of 16)."""

    @abstractmethod
    def read(self) -> None:
        """All work that reads the device's bytes has been started."""


class TorchLane(Lane):
    def __init__(self, torch: Any, device: Any, n_bytes: int) -> None:
        self.torch, self.n_bytes = torch, n_bytes
        self._pinned = torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)
        self._memory = torch.empty(n_bytes, dtype=torch.uint8, device=device)
        self._copies = torch.cuda.Stream(device)
        self._copied, self._read = torch.cuda.Event(), torch.cuda.Event()
        self._read.record()

    def host(self) -> Bytes:
        self._copied.synchronize()
        host: Bytes = self._pinned.numpy()
        return host

    def copy(self, n_bytes: int) -> None:
        self._copies.wait_event(self._read)
        with self.torch.cuda.stream(self._copies):
            self._memory[:n_bytes].copy_(self._pinned[:n_bytes], non_blocking=True)
            self._copied.record()

    def arrived(self) -> None:
        self.torch.cuda.current_stream().wait_event(self._copied)

    def typed(self, offset: int, n_items: int, dtype: str) -> Any:
        kind = getattr(self.torch, dtype)
        return self._memory[offset : offset + n_items * kind.itemsize].view(kind)

    def read(self) -> None:
        self._read.record()


class CupyLane(Lane):
    def __init__(self, cupy: Any, n_bytes: int) -> None:
        self.cupy, self.n_bytes = cupy, n_bytes
        self._keeper = cupy.cuda.alloc_pinned_memory(n_bytes)
        self._pinned: Bytes = np.frombuffer(self._keeper, dtype=np.uint8, count=n_bytes)
        self._memory = cupy.empty(n_bytes, dtype="uint8")
        self._copies = cupy.cuda.Stream(non_blocking=True)
        self._copied, self._read = cupy.cuda.Event(), cupy.cuda.Event()
        self._read.record()

    def host(self) -> Bytes:
        self._copied.synchronize()
        return self._pinned

    def copy(self, n_bytes: int) -> None:
        self._copies.wait_event(self._read)
        self._memory[:n_bytes].set(self._pinned[:n_bytes], stream=self._copies)
        self._copied.record(self._copies)

    def arrived(self) -> None:
        self.cupy.cuda.get_current_stream().wait_event(self._copied)

    def typed(self, offset: int, n_items: int, dtype: str) -> Any:
        return self._memory[offset : offset + n_items * np.dtype(dtype).itemsize].view(dtype)

    def read(self) -> None:
        self._read.record()


class PlainLane(Lane):
    """For kernels that run on the host: `as_device` makes an array of the library over these bytes."""

    def __init__(self, as_device: Any, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._as_device = as_device
        self._pinned, self._memory = np.empty(n_bytes, np.uint8), np.empty(n_bytes, np.uint8)

    def host(self) -> Bytes:
        return self._pinned

    def copy(self, n_bytes: int) -> None:
        self._memory[:n_bytes] = self._pinned[:n_bytes]

    def arrived(self) -> None: ...

    def typed(self, offset: int, n_items: int, dtype: str) -> Any:
        return self._as_device(self._memory[offset : offset + n_items * np.dtype(dtype).itemsize].view(dtype))

    def read(self) -> None: ...
