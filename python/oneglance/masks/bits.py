"""Binary masks of one bit per weight: pack, unpack, compare, and apply to weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._types import BoolArray
from ..cuda import library_of
from ..cuda import mask_bits as on_cards
from ..cuda.library import Library
from ..errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class BitMask:
    """Which weights of one tensor are kept.

    shape  of the tensor; N weights in row-major order
    bits   uint8 (ceil(N / 8),), read-only: weight i is bit i mod 8 of byte i // 8, the lowest bit first; the bits
           after the last weight are 0
    kept   number of weights kept, the ones in `bits`

    Raises InvalidInput where the three do not fit together.
    """

    shape: tuple[int, ...]
    bits: npt.NDArray[np.uint8]
    kept: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        if any(size < 0 for size in self.shape):
            raise InvalidInput(f"shape must hold sizes >= 0, got {self.shape}.")
        bits = np.asarray(self.bits)
        n_bytes = (self.n_weights + 7) // 8
        if bits.dtype != np.uint8 or bits.shape != (n_bytes,):
            raise InvalidInput(
                f"bits must be uint8 of shape ({n_bytes},) for a mask of shape {self.shape}, got {bits.dtype} of shape "
                f"{bits.shape}. Use pack_mask."
            )
        bits = np.ascontiguousarray(bits).view()
        bits.flags.writeable = False
        object.__setattr__(self, "bits", bits)
        used = self.n_weights % 8
        if used and bits[-1] >> used:
            raise InvalidInput(f"bits after weight {self.n_weights - 1} must be 0. Use pack_mask.")
        ones = _core.mask_popcount(bits)
        if self.kept != ones:
            raise InvalidInput(f"kept must be the number of ones in bits, {ones}, got {self.kept}. Use pack_mask.")
        object.__setattr__(self, "kept", ones)

    @property
    def n_weights(self) -> int:
        return math.prod(self.shape)

    @property
    def keep_rate(self) -> float:
        """kept / N; 1 for a tensor without weights."""
        return self.kept / self.n_weights if self.n_weights else 1.0

    @property
    def divisor(self) -> np.float32:
        """sqrt(r) that kept weights are divided by: float32 of sqrt(max(kept, 1) / N) in float64; 1 without weights."""
        return np.float32(math.sqrt(max(self.kept, 1) / self.n_weights)) if self.n_weights else np.float32(1)


def pack_mask(mask: Any) -> BitMask:
    """A BitMask of a bool or uint8 array (or torch tensor, CuPy array) of any shape; any value but 0 means kept."""
    library = library_of(mask, "mask")
    if library is not None:
        flags = on_cards.own_array(mask, "mask", library, ("bool", "uint8"))
        return _just_packed(tuple(flags.shape), *on_cards.pack(flags, library))
    array = as_array(mask, "mask", ("bool", "uint8"))
    bits, kept = _core.pack_mask(np.ascontiguousarray(array).view(np.uint8))
    return _just_packed(array.shape, bits, kept)


def pack_scores(scores: Any, mu: float = 0.0) -> BitMask:
    """A BitMask of float32 scores: weight i is kept where score i > mu (strictly, in float32).

    One reading of the scores. Raises InvalidInput for NaN among them: neither kept nor dropped is right.
    """
    library = library_of(scores, "scores")
    array = (
        as_array(scores, "scores", ("float32",))
        if library is None
        else on_cards.own_array(scores, "scores", library, ("float32",))
    )
    if math.isnan(mu):
        raise InvalidInput("mu must be a number, got NaN.")
    bits, kept, n_nan = _core.pack_scores(array, mu) if library is None else on_cards.pack_scores(array, mu, library)
    if n_nan:
        n = math.prod(array.shape)
        raise InvalidInput(
            f"scores must not be NaN, got {n_nan} of {n}. The training has diverged: lower the learning rate."
        )
    return _just_packed(tuple(array.shape), bits, kept)


def unpack_mask(mask: BitMask, start: int = 0, stop: int | None = None, *, out: Any = None) -> BoolArray:
    """The mask as booleans: in its shape, or (stop - start,) of weights start .. stop - 1 in row-major order.

    out  bool array of that shape, contiguous, to write to; on a CUDA device the mask is unpacked there. Default: a new
         NumPy array
    Returns out.
    """
    whole = start == 0 and stop is None
    stop = mask.n_weights if stop is None else stop
    if not 0 <= start <= stop <= mask.n_weights:
        raise InvalidInput(f"start and stop must lie in 0..{mask.n_weights} in this order, got {start} and {stop}.")
    shape = mask.shape if whole else (stop - start,)
    library = None if out is None else library_of(out, "out")
    if library is not None:
        on_cards.unpack(mask.bits, start, stop, on_cards.target(out, library, "bool", shape), library)
        there: BoolArray = out
        return there
    flat: BoolArray = np.empty(shape, dtype=np.bool_) if out is None else _as_target(out, "bool", shape)
    _core.unpack_mask(mask.bits, start, stop, flat.reshape(-1).view(np.uint8))
    return flat


def xor_masks(a: BitMask, b: BitMask) -> BitMask:
    """The weights in which two masks of one shape differ; `kept` of the answer is their Hamming distance."""
    if a.shape != b.shape:
        raise InvalidInput(f"a and b must have one shape, got {a.shape} and {b.shape}.")
    return _just_packed(a.shape, *_core.mask_xor(a.bits, b.bits))


def apply_mask(weights: Any, mask: BitMask, out: Any = None) -> Any:
    """Masked weights w * m / sqrt(r): w / mask.divisor where kept, +0 elsewhere (also where w is NaN).

    weights  float32 or float16 array of the mask's shape: NumPy, torch, CuPy; divided in float32, then rounded. On a
             CUDA device also bfloat16, and float64, which is divided in float64
    out      where to write, same shape and dtype, contiguous; may be `weights` itself. Default: a new array, of NumPy
             or of the device
    Returns out. One reading and one writing, at the speed of memory.
    """
    library = library_of(weights, "weights")
    if library is not None:
        return _apply_on_device(weights, mask, out, library)
    array = as_array(weights, "weights", ("float32", "float16"))
    if array.shape != mask.shape:
        raise InvalidInput(f"weights must have the mask's shape {mask.shape}, got {array.shape}.")
    target = np.empty(array.shape, array.dtype) if out is None else _as_target(out, array.dtype.name, mask.shape)
    source = np.ascontiguousarray(array).reshape(array.shape)
    if source.ctypes.data != target.ctypes.data and np.may_share_memory(source, target):
        source = source.copy()
    _core.apply_mask(source, mask.bits, mask.kept, target)
    return target if out is None else out


def _apply_on_device(weights: Any, mask: BitMask, out: Any, library: Library) -> Any:
    array = on_cards.own_array(weights, "weights", library, ("float32", "float16", "bfloat16", "float64"))
    if tuple(array.shape) != mask.shape:
        raise InvalidInput(f"weights must have the mask's shape {mask.shape}, got {tuple(array.shape)}.")
    dtype, device = library.dtype_name(array), library.device(array)
    with library.guard(device):
        there = (
            library.empty(mask.shape, dtype, device)
            if out is None
            else on_cards.target(out, library, dtype, mask.shape, device)
        )
    on_cards.DeviceMasks([mask.bits], [mask.divisor], mask.n_weights, library, device).apply(array, there)
    return there if out is None else out


def _just_packed(shape: tuple[int, ...], bits: npt.NDArray[np.uint8], kept: int) -> BitMask:
    """A BitMask without the checks, which would count the ones again: a quarter of the time of packing."""
    bits.flags.writeable = False
    mask = object.__new__(BitMask)
    for name, value in (("shape", shape), ("bits", bits), ("kept", kept)):
        object.__setattr__(mask, name, value)
    return mask


def _as_target(out: Any, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    target = as_array(out, "out", (dtype,))
    if target.shape != shape or not target.flags.c_contiguous or not target.flags.writeable:
        raise InvalidInput(f"out must be a writeable, contiguous array of shape {shape}, got shape {target.shape}.")
    return target


def as_array(value: Any, name: str, dtypes: tuple[str, ...]) -> npt.NDArray[Any]:
    """A view where there is one: NumPy array, or CPU torch tensor (torch itself is never imported here)."""
    if hasattr(value, "detach"):
        value = value.detach()
        if getattr(value, "is_cuda", False):
            raise InvalidInput(f"{name} is a CUDA tensor; this build computes on the CPU. Pass {name}.cpu().")
        value = value.numpy()
    array: npt.NDArray[Any] = np.asarray(value)
    if array.dtype.name not in dtypes or not array.dtype.isnative:
        raise InvalidInput(f"{name} must be {' or '.join(dtypes)}, got {array.dtype}. Convert it first.")
    return array
