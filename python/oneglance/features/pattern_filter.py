"""Which patches of a picture are kept, and their k-means. NumPy, or kernels of a device where the patches are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, Float64Array, FloatArray
from ..cuda import library_of
from ..cuda.patterns import Lloyd, picture_patterns
from .pattern_spec import PatternSpec

_SLACK = 1e-9  # of the attention's mass: far above the rounding of a sum of shares, far below one patch that counts


@dataclass(frozen=True)
class Patches:
    """The patches of one batch.

    rows       float32 (N, T, d) features of patches or map positions
    attention  float (N, T) >= 0, any scale: the class token's attention; None where there is none
    Both NumPy arrays, or both Torch tensors of a device.
    """

    rows: Any
    attention: Any

    def on_host(self) -> Patches:
        """As NumPy arrays."""
        if isinstance(self.rows, np.ndarray):
            return self
        return Patches(self.rows.cpu().numpy(), None if self.attention is None else self.attention.cpu().numpy())


def keep_by_attention(attention: FloatArray, tau: float) -> BoolArray:
    """(T,) True for the smallest set of most attended patches whose share of the attention is at least tau.

    attention   (T,) >= 0; scaled to sum 1 here
    Sorted ascending with running sum s, the patches with s > 1 - tau. Of equal ones the lower position goes first
    into the set. tau = 1 keeps all, also a patch that gets no attention; tau = 0, or attention 0 everywhere,
    none (the caller then takes the patch of largest norm).
    """
    if tau == 1:
        return np.ones(attention.shape, dtype=np.bool_)
    shares = attention.astype(np.float64)
    order = np.lexsort((-np.arange(shares.size), shares))
    mass = np.cumsum(shares[order])
    total = mass[-1] if mass.size else 0.0
    keep = np.zeros(shares.shape, dtype=np.bool_)
    if total > 0 and tau > 0:
        # Rounding must not keep one more of 196 equal patches than of 196 nearly equal ones.
        keep[order[mass / total > 1 - tau + min(_SLACK, tau / 2)]] = True
    return keep


def row_norms(rows: FloatArray) -> Float64Array:
    """(T,) L2 norms in float64."""
    wide = rows.astype(np.float64)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", wide, wide)), dtype=np.float64)


def kept_patches(rows: FloatArray, attention: FloatArray | None, spec: PatternSpec) -> BoolArray:
    """(T,) True for the patches of one picture that are kept, at least one.

    By attention where there is any, else those with L2 norm over norm_threshold. Where the rule keeps none: the
    patch of largest norm, the lower position on ties.
    """
    if attention is not None:
        keep = keep_by_attention(attention, spec.tau)
        if keep.any():
            return keep
    norms = row_norms(rows)
    keep = norms > spec.norm_threshold if attention is None else np.zeros(norms.shape, dtype=np.bool_)
    if not keep.any() and keep.size:
        keep[int(np.argmax(norms))] = True
    return np.asarray(keep, dtype=np.bool_)


def cluster_patches(patches: Patches, items: Sequence[int], spec: PatternSpec) -> list[npt.NDArray[np.float32]]:
    """The patterns of every picture of a batch, float32 (at most n_patterns, d) each; none where a patch or an
    attention is not finite.

    items   rows of the pictures in the pool: they name the random numbers, so batches and shards do not matter
    """
    from ..cluster import small_kmeans

    library = library_of(patches.rows, "patches")
    if library is not None:
        how = Lloyd(spec.n_patterns, spec.seed)
        found = picture_patterns(patches.rows, patches.attention, items, how, spec.tau, spec.norm_threshold, library)
        if found is not None:
            return found
        patches = patches.on_host()
    points: list[npt.NDArray[np.float32]] = []
    for number, rows in enumerate(patches.rows):
        attention = None if patches.attention is None else patches.attention[number]
        if np.isfinite(rows).all() and (attention is None or np.isfinite(attention).all()):
            points.append(rows[kept_patches(rows, attention, spec)])
        else:
            points.append(rows[:0])
    if not points:
        return []
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in points])]).astype(np.int64)
    clustered = small_kmeans(
        np.concatenate(points), offsets, spec.n_patterns, seed=spec.seed, items=np.asarray(items, dtype=np.int64)
    )
    return np.split(clustered.patterns, clustered.offsets[1:-1])
