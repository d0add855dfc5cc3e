"""Checks at the door. Each names the argument, what was needed, what came, and the cure."""

from __future__ import annotations

import difflib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ._types import BoolArray, FloatArray, IntArray, RowShards
from .errors import InvalidInput

_FLOATS = (np.float16, np.float32, np.float64)


def as_matrix(value: Any, name: str, *, empty_ok: bool = False) -> FloatArray:
    """A 2-D float16/32/64 array with unit column stride; a copy only where the input forces one.

    empty_ok   allow no rows (a shard may be empty, a whole matrix may not)
    """
    if isinstance(value, np.ndarray):
        array: npt.NDArray[Any] = value
    elif hasattr(value, "detach"):  # torch tensor; torch itself is never imported here
        tensor = value.detach()
        if getattr(tensor, "is_cuda", False):
            raise InvalidInput(f"{name} is a CUDA tensor; this function computes on the CPU. Pass {name}.cpu().")
        if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type; float32 holds each of its values
            tensor = tensor.float()
        array = np.asarray(tensor)
    else:
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths
            raise InvalidInput(f"{name} must be 2-D (rows, features), got rows of different lengths.") from None
    if array.ndim == 0:
        raise InvalidInput(f"{name} must be a 2-D array (rows, features), got {type(value).__name__}.")
    if array.ndim != 2:
        whose = name if name.isidentifier() else ""
        hint = f" Use {whose}.reshape(-1, 1) for one feature." if array.ndim == 1 else ""
        raise InvalidInput(f"{name} must be 2-D (rows, features), got shape {array.shape}.{hint}")
    if (array.shape[0] == 0 and not empty_ok) or array.shape[1] == 0:
        raise InvalidInput(f"{name} must have at least one row and one column, got shape {array.shape}.")
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype not in _FLOATS:
        raise InvalidInput(
            f"{name} must hold float16, float32 or float64 numbers, got dtype {array.dtype}. Convert it with .astype."
        )
    item = array.dtype.itemsize
    ascending = array.strides[1] == item and array.strides[0] >= array.shape[1] * item and array.strides[0] % item == 0
    if not ascending or not array.flags.aligned:
        array = np.array(array, order="C")
    return array


def as_shards(value: Any, name: str) -> RowShards:
    """One matrix as shards: a RowShards passes through, anything else becomes a single shard."""
    if isinstance(value, RowShards):
        if value.shape[0] == 0:
            raise InvalidInput(f"{name} must have at least one row, got shards without any.")
        return RowShards(tuple(as_matrix(shard, name, empty_ok=True) for shard in value.shards))
    return RowShards((as_matrix(value, name),))


def as_mask(value: Any, name: str, n_rows: int) -> BoolArray | None:
    """None, or a boolean array of length n_rows."""
    if value is None:
        return None
    mask = np.asarray(value)
    if mask.dtype != np.bool_ or mask.shape != (n_rows,):
        raise InvalidInput(
            f"{name} must be a boolean array of shape ({n_rows},), got {mask.dtype} of shape {mask.shape}. "
            f"For row positions use numpy.isin(numpy.arange({n_rows}), positions)."
        )
    if not mask.any():
        raise InvalidInput(f"{name} leaves no row: at least one entry must be True.")
    return mask


def positive_number(value: Any, name: str, *, zero_ok: bool = False) -> float:
    """A finite float > 0 (or >= 0)."""
    need = ">= 0" if zero_ok else "> 0"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must be a number {need}, got {value!r}.") from None
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero_ok):
        raise InvalidInput(f"{name} must be a finite number {need}, got {number:g}.")
    return number


def positive_int(value: Any, name: str) -> int:
    """An integer >= 1 (NumPy integers too; not bool, not 3.0)."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InvalidInput(f"{name} must be an integer >= 1, got {value!r}.")
    return int(value)


def seed_int(value: Any, name: str = "seed") -> int:
    """A seed: an integer in 0 .. 2**63 - 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**63:
        raise InvalidInput(f"{name} must be an integer in 0 .. 2**63 - 1, got {value!r}.")
    return int(value)


METRICS = ("sqeuclidean", "cosine")


def is_cosine(metric: Any) -> bool:
    """True for "cosine", False for "sqeuclidean"; anything else raises InvalidInput."""
    if metric in METRICS:
        return bool(metric == "cosine")
    close = difflib.get_close_matches(str(metric).lower(), (*METRICS, "euclidean"), n=1, cutoff=0.4)
    meant = "sqeuclidean" if close == ["euclidean"] else close[0] if close else None
    hint = f' Did you mean "{meant}"?' if meant else ""
    raise InvalidInput(f"metric must be one of {list(METRICS)}, got {metric!r}.{hint}")


def as_positions(value: Any, name: str, n_items: int) -> IntArray:
    """Distinct positions 0 .. n_items - 1 in the order given, int64; None is none."""
    if value is None:
        return np.empty(0, dtype=np.int64)
    positions = np.asarray(value)
    if positions.size == 0 and positions.ndim == 1:
        return np.empty(0, dtype=np.int64)
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        cure = f" Use numpy.flatnonzero({name})." if positions.dtype == np.bool_ else ""
        raise InvalidInput(
            f"{name} must be a 1-D list of positions (int), got {positions.dtype} of shape {positions.shape}.{cure}"
        )
    outside = positions[(positions < 0) | (positions >= n_items)]
    if outside.size:
        raise InvalidInput(f"{name} must hold positions in 0..{n_items - 1}, got {outside[0]}.")
    values, counts = np.unique(positions, return_counts=True)
    if values.size < positions.size:
        raise InvalidInput(f"{name} must hold each position once, got {values[counts > 1][0]} more than once.")
    return np.ascontiguousarray(positions, dtype=np.int64)
