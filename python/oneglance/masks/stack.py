"""Several masks of one tensor at once: all masked tensors in one reading, or a linear map with a mask per sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..cuda import library_of
from ..cuda.library import Library
from ..cuda.mask_bits import DeviceMasks, own_array
from ..errors import InvalidInput
from .bits import BitMask, apply_mask, as_array

_TYPES = ("float32", "float16", "bfloat16", "float64")
_FUSED = 64  # samples up to which the masked weights are not worth writing down


class MaskStack:
    """Masks of one tensor, ready to be applied.

    masks  BitMasks of one shape, by their place here
    Arrays are of the CPU (NumPy, torch) or of a CUDA device, where the bits are kept from the first call on. Answers
    are arrays of the same library on the same device; of the CPU: NumPy. Raises InvalidInput.
    """

    def __init__(self, masks: Sequence[BitMask]) -> None:
        shapes = {mask.shape for mask in masks}
        if len(shapes) != 1:
            raise InvalidInput(f"masks must hold at least one mask, all of one shape, got shapes {sorted(shapes)}.")
        self.masks, self.shape = tuple(masks), masks[0].shape
        self._there: dict[tuple[str, int], DeviceMasks] = {}

    def __len__(self) -> int:
        return len(self.masks)

    def apply(self, weights: Any) -> Any:
        """(n_masks, *shape): the weights under every mask, as apply_mask gives them; one reading of the weights.

        weights  float32 or float16; on a device also bfloat16 and float64
        """
        library = library_of(weights, "weights")
        if library is None:
            return np.stack([apply_mask(weights, mask) for mask in self.masks])
        array = _shaped(own_array(weights, "weights", library, _TYPES), "weights", self.shape)
        device = library.device(array)
        with library.guard(device):
            out = library.empty((len(self), *self.shape), library.dtype_name(array), device)
        self._on(library, device).apply(array, out)
        return out

    def linear(self, x: Any, weight: Any, sites: Any, bias: Any = None) -> Any:
        """(n, d_out) float32: row b of x times the weights under mask sites[b], plus bias.

        x       (n, d_in) float32
        weight  (d_out, d_in) float32, the masks' shape
        sites   int (n,): 0 .. n_masks - 1, or -1 for the weights without mask
        bias    (d_out,) float32 or None
        On a device, up to 64 rows make no masked copy: the weights are read once per 8 rows, sums are float32. More
        rows, and the CPU: one product per mask that occurs.
        """
        library = library_of(x, "x")
        places = np.asarray(sites if library is None or not library.owns(sites) else library.to_host(sites))
        if len(self.shape) != 2:
            raise InvalidInput(f"linear needs masks of a matrix (d_out, d_in), these have shape {self.shape}.")
        if getattr(x, "ndim", 0) != 2 or int(x.shape[1]) != self.shape[1]:
            got = tuple(x.shape) if hasattr(x, "shape") else type(x).__name__
            raise InvalidInput(f"x must be an array with rows of {self.shape[1]} numbers, as the weights', got {got}.")
        n = int(x.shape[0])
        if places.shape != (n,) or places.dtype.kind not in "iu":
            raise InvalidInput(f"sites must hold one integer per row of x ({n}), got {places.dtype} of {places.shape}.")
        if n and not -1 <= places.min() <= places.max() < len(self):
            raise InvalidInput(f"sites must lie in -1..{len(self) - 1}, got {places.min()} .. {places.max()}.")
        places = places.astype(np.int64)
        if library is None:
            rows = as_array(x, "x", ("float32",))
            w = _shaped(as_array(weight, "weight", ("float32",)), "weight", self.shape)
            add = None if bias is None else _shaped(as_array(bias, "bias", ("float32",)), "bias", self.shape[:1])
            made = np.empty((n, self.shape[0]), dtype=np.float32)
            for site in np.unique(places).tolist():
                mine = places == site
                made[mine] = rows[mine] @ (w if site < 0 else apply_mask(w, self.masks[site])).T
            return made if add is None else made + add
        return self._linear(x, weight, places, bias, library)

    def _linear(self, x: Any, weight: Any, sites: npt.NDArray[np.int64], bias: Any, library: Library) -> Any:
        x = own_array(x, "x", library, ("float32",))
        device, n = library.device(x), len(sites)
        with library.guard(device):
            w = _shaped(own_array(weight, "weight", library, ("float32",), device), "weight", self.shape)
            rows, w, add = library.contiguous(x), library.contiguous(w), None
            if bias is not None:
                bias = _shaped(own_array(bias, "bias", library, ("float32",), device), "bias", self.shape[:1])
                add = library.contiguous(bias)
            out = library.empty((n, self.shape[0]), "float32", device)
            if n <= _FUSED:
                self._on(library, device).linear(rows, w, sites, add, out)
                return out
            for site in np.unique(sites).tolist():
                mine = library.from_host(np.flatnonzero(sites == site), device)
                masked = w
                if site >= 0:
                    masked = library.empty(self.shape, "float32", device)
                    mask = self.masks[site]
                    DeviceMasks([mask.bits], [mask.divisor], mask.n_weights, library, device).apply(w, masked)
                part = library.empty((int(mine.shape[0]), self.shape[0]), "float32", device)
                library.product(rows[mine], masked.T, part)
                out[mine] = part if add is None else part + add
        return out

    def _on(self, library: Library, device: int) -> DeviceMasks:
        key = (library.name, device)
        if key not in self._there:
            bits, divisors = [mask.bits for mask in self.masks], [mask.divisor for mask in self.masks]
            self._there[key] = DeviceMasks(bits, divisors, self.masks[0].n_weights, library, device)
            with library.guard(device):  # the next call may be on another stream
                library.kernels.synchronize(library.stream(device))
        return self._there[key]


def _shaped(array: Any, name: str, shape: tuple[int, ...]) -> Any:
    if tuple(array.shape) != shape:
        raise InvalidInput(f"{name} must have shape {shape}, as the masks have it, got {tuple(array.shape)}.")
    return array
