"""What the package asks of the library that an array in device memory belongs to: memory, products, streams."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .lanes import Lane

Shape = int | Sequence[int]

# Which arithmetic float32 products take is a setting of the process in both libraries: it is held from the moment it is
# set until it is put back, or a thread could multiply by another's choice, and leave that behind.
CHOOSING = threading.Lock()


class Library(ABC):
    """Torch or CuPy, and the compiled kernels that work on its arrays.

    Types of numbers are NumPy's names ("float32", "int64", ...). All calls are made inside `guard(device)`; work goes
    to the stream that is current there, and only `to_host` and `float` of an array wait for it.
    """

    name: str
    kernels: Any  # the compiled module

    @abstractmethod
    def owns(self, value: Any) -> bool:
        """Whether the value is an array of this library in the memory of a device."""

    @abstractmethod
    def own(self, value: Any) -> Any:
        """The array without its history (gradients)."""

    @abstractmethod
    def adopt(self, value: Any) -> Any:
        """Another library's array in device memory, by __cuda_array_interface__ or DLPack, as one of this library: the
        same memory on the same device, which later work on the current stream finds as its maker left it."""

    @abstractmethod
    def dtype_name(self, array: Any) -> str: ...

    @abstractmethod
    def address(self, array: Any) -> int: ...

    @abstractmethod
    def strides(self, array: Any) -> tuple[int, ...]:
        """In elements."""

    @abstractmethod
    def contiguous(self, array: Any) -> Any: ...

    @abstractmethod
    def astype(self, array: Any, dtype: str) -> Any: ...

    @abstractmethod
    def device(self, array: Any) -> int: ...

    @abstractmethod
    def guard(self, device: int) -> AbstractContextManager[Any]:
        """Makes the device current inside the block."""

    @abstractmethod
    def stream(self, device: int) -> int:
        """The caller's current stream as an integer."""

    @abstractmethod
    def empty(self, shape: Shape, dtype: str, device: int) -> Any: ...

    @abstractmethod
    def zeros(self, shape: Shape, dtype: str, device: int) -> Any: ...

    @abstractmethod
    def from_host(self, array: npt.NDArray[Any], device: int) -> Any: ...

    @abstractmethod
    def to_host(self, array: Any) -> npt.NDArray[Any]: ...

    @abstractmethod
    def product(self, a: Any, b: Any, out: Any, *, tf32: bool = False, add: bool = False) -> None:
        """out[...] = a @ b, or += with `add`.

        tf32  tensor cores may be used for float32, because the operands have no more than 11 significant bits
        """

    @property
    @abstractmethod
    def selects_tf32(self) -> bool:
        """Whether `product` can ask for TF32, and can keep it off."""

    @abstractmethod
    def cholesky_upper(self, a: Any) -> Any | None:
        """R upper with a = R'R for symmetric float64; None when not positive definite. Waits for the answer."""

    @abstractmethod
    def upper_inverse(self, r: Any) -> Any: ...

    @abstractmethod
    def eigenvalues(self, a: Any) -> Any:
        """Of a symmetric float64 matrix, ascending."""

    @abstractmethod
    def stable_order(self, a: Any) -> Any:
        """int64 positions that sort each row of a matrix, ascending, equal numbers in the order they have."""

    @abstractmethod
    def joined(self, a: Any, b: Any) -> Any:
        """Columns of b beside those of a."""

    @abstractmethod
    def taken(self, a: Any, positions: Any) -> Any:
        """a[i, positions[i, j]]"""

    @abstractmethod
    def full(self, shape: Shape, value: float, dtype: str, device: int) -> Any: ...

    @abstractmethod
    def lane(self, n_bytes: int, device: int) -> Lane:
        """A way for bytes of the host to the device."""

    @abstractmethod
    def free_bytes(self, device: int) -> int:
        """Bytes that can still be allocated, those that the library keeps for itself included."""

    @property
    @abstractmethod
    def out_of_memory(self) -> type[Exception]: ...

    def card(self, device: int) -> dict[str, Any]:
        return card_of(self.kernels, device)

    def host_int(self, array: Any) -> int:
        """The number in an array of one; waits for it."""
        return int(np.asarray(self.to_host(array)).reshape(()))


@cache
def card_of(kernels: Any, device: int) -> dict[str, Any]:
    """What the compiled module says about a card: asked once, as it never changes and is wanted for every panel."""
    found: dict[str, Any] = kernels.card(device)
    return found
