"""Features of several backbones as one space."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray, RowShards
from ..errors import InvalidInput, StoreError
from ..store.files import human_bytes
from .pool import Pool
from .space import Space

IN_MEMORY = 2 << 30
"""Bytes up to which the joined copy is held in memory; a larger one is a scratch file that is gone with its use."""

_BLOCK = 4096


def joint_shape(pool: Pool, metric: str, strategy: str) -> Space:
    """The joint space without its values, for plans."""
    if not pool.features:
        raise InvalidInput(
            f'strategy "{strategy}" needs global features, and {pool.where} holds patterns only. '
            'Use strategy="freesel", or give one row of features per item.'
        )
    n_dims = sum(rows.shape[1] for rows in pool.features.values())
    empty = np.broadcast_to(np.float32(0), (pool.n_items, n_dims))
    return Space("+".join(pool.features), "sqeuclidean", RowShards((empty,)))


def joint_space(pool: Pool, counted: BoolArray, note: Callable[[str], None]) -> Space:
    """Features of all backbones, side by side: float32 (n, sum of widths); each less the mean of the rows that are
    counted, and of unit norm. Rows with NaN keep it. Raises StoreError where a scratch file has no room."""
    shape = joint_shape(pool, "sqeuclidean", "kernel")
    joint = _room(shape.rows.shape, shape.backbone, note)
    first = 0
    for rows in pool.features.values():
        _centred_unit(rows, counted, joint[:, first : first + rows.shape[1]])
        first += rows.shape[1]
    return Space(shape.backbone, shape.metric, RowShards((joint,)))


def _centred_unit(rows: RowShards, counted: BoolArray, out: FloatArray) -> None:
    mean: Float64Array = np.zeros(rows.shape[1])
    n_counted = 0
    for start in range(0, len(rows), _BLOCK):
        there = np.flatnonzero(counted[start : start + _BLOCK]) + start
        block = np.asarray(rows.take(there), dtype=np.float64)
        block = block[np.isfinite(block).all(axis=1)]
        mean += block.sum(axis=0)
        n_counted += len(block)
    mean /= max(1, n_counted)
    for start in range(0, len(rows), _BLOCK):
        block = rows.take(np.arange(start, min(start + _BLOCK, len(rows)))).astype(np.float64) - mean
        largest = np.abs(block).max(axis=1, keepdims=True)
        extreme = (largest > 1e100) | ((largest < 1e-100) & (largest > 0))  # their squares leave float64
        with np.errstate(invalid="ignore"):  # infinite rows become NaN, and are named as unusable
            if extreme.any():
                block /= np.where(extreme, largest, 1.0)
            norm = np.linalg.norm(block, axis=1, keepdims=True)
            out[start : start + len(block)] = block / np.where(norm == 0, 1.0, norm)


def _room(shape: tuple[int, int], backbone: str, note: Callable[[str], None]) -> FloatArray:
    """float32 zeros, in memory or in an unnamed file of the folder for temporary ones."""
    size = 4 * shape[0] * shape[1]
    if size <= IN_MEMORY:
        return np.empty(shape, dtype=np.float32)
    folder = tempfile.gettempdir()
    note(f"the joined features of {backbone} take {human_bytes(size)}: a scratch file in {folder} ...")
    with tempfile.TemporaryFile(prefix="oneglance-", dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is met here, not as a crash while writing
        except OSError as error:
            free = human_bytes(shutil.disk_usage(folder).free)
            raise StoreError(
                f"the joined features of {backbone} need {human_bytes(size)} of scratch space in {folder}, which has "
                f"{free} free ({error.strerror}). Set TMPDIR to a folder with room, or name fewer backbones."
            ) from None
        return np.memmap(file, dtype=np.float32, mode="r+", shape=shape)
