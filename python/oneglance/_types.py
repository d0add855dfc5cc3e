"""Shared value types: rows in several shards, local patterns of items, and the array aliases used in signatures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Float64Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class RowShards:
    """One (n, d) matrix kept as consecutive blocks of rows, usually memory maps of a store's files.

    shards   arrays (n_s, d) of one dtype and one d, in row order; never copied here
    """

    shards: tuple[FloatArray, ...]

    def __post_init__(self) -> None:
        widths = {shard.shape[1:] for shard in self.shards}
        dtypes = {shard.dtype for shard in self.shards}
        if len(self.shards) == 0 or len(widths) != 1 or len(next(iter(widths))) != 1:
            raise InvalidInput(
                "shards needs at least one 2-D array, all with the same number of columns; "
                f"got shapes {[shard.shape for shard in self.shards][:4]}."
            )
        if len(dtypes) != 1:
            raise InvalidInput(f"shards needs one dtype, got {sorted(map(str, dtypes))}. Convert them first.")

    @property
    def shape(self) -> tuple[int, int]:
        return sum(shard.shape[0] for shard in self.shards), self.shards[0].shape[1]

    @property
    def ndim(self) -> int:
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.shards[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[FloatArray]:
        return iter(self.shards)

    def take(self, rows: Sequence[int] | IntArray) -> FloatArray:
        """Rows by position, (len(rows), d), in the order asked for. Reads only these rows."""
        wanted = np.asarray(rows, dtype=np.int64)
        n_rows = self.shape[0]
        if wanted.size and (wanted.min() < 0 or wanted.max() >= n_rows):
            raise InvalidInput(f"rows must lie in 0..{n_rows - 1}, got {wanted.min()}..{wanted.max()}.")
        starts = np.cumsum([0] + [shard.shape[0] for shard in self.shards])
        out = np.empty((wanted.size, self.shape[1]), dtype=self.dtype)
        owner = np.searchsorted(starts, wanted, side="right") - 1
        for index, shard in enumerate(self.shards):
            here = np.flatnonzero(owner == index)
            if here.size:
                out[here] = shard[wanted[here] - starts[index]]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False and len(self.shards) > 1:
            raise InvalidInput("several shards cannot be one array without a copy; drop copy=False.")
        whole = self.shards[0] if len(self.shards) == 1 else np.concatenate(self.shards)
        return np.array(whole, dtype=dtype, copy=copy)


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """Local features of items: a flat matrix of patterns, and which of its rows belong to which item.

    rows     (m, d) patterns of all items, item after item: RowShards, or one 2-D array, which becomes a shard
    offsets  int64 (n_items + 1,): item i has the rows offsets[i] .. offsets[i + 1] - 1; there may be none
    """

    rows: RowShards
    offsets: IntArray

    def __post_init__(self) -> None:
        if not isinstance(self.rows, RowShards):
            object.__setattr__(self, "rows", RowShards((np.asarray(self.rows),)))
        object.__setattr__(self, "offsets", as_offsets(self.offsets, "offsets", len(self.rows)))

    @property
    def n_items(self) -> int:
        return int(self.offsets.size - 1)

    def __len__(self) -> int:
        return self.n_items

    def counts(self) -> IntArray:
        """Patterns per item, int64 (n_items,)."""
        return np.diff(self.offsets)

    def owners(self) -> IntArray:
        """The item of every pattern, int64 (m,), ascending."""
        return np.repeat(np.arange(self.n_items, dtype=np.int64), self.counts())


def as_offsets(value: Any, name: str, n_rows: int) -> IntArray:
    """int64 (n_items + 1,) that starts at 0, never falls and ends at n_rows. Raises InvalidInput."""
    offsets = np.asarray(value)
    if offsets.ndim != 1 or offsets.size < 2 or offsets.dtype.kind not in "iu":
        raise InvalidInput(
            f"{name} must be a 1-D integer array (items + 1,), got {offsets.dtype} of shape {offsets.shape}. "
            "Item i has the rows offsets[i] .. offsets[i + 1] - 1."
        )
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    falls = np.flatnonzero(np.diff(offsets) < 0)
    if falls.size:
        at = int(falls[0])
        raise InvalidInput(
            f"{name} must never fall, got {offsets[at]} and then {offsets[at + 1]} at item {at}. "
            "Use numpy.concatenate([[0], numpy.cumsum(counts)])."
        )
    if offsets[0] != 0 or offsets[-1] != n_rows:
        raise InvalidInput(
            f"{name} must start at 0 and end at the number of rows, {n_rows}; got {offsets[0]} and {offsets[-1]}. "
            "Use numpy.concatenate([[0], numpy.cumsum(counts)])."
        )
    return offsets
