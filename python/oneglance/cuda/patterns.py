"""Patterns of pictures on the device: which patches count, and the k-means of every picture's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import IntArray
from .arrays import DeviceRows
from .library import Library
from .mask_bits import is_contiguous
from .memory import named_memory

_BLOCKS_PER_PROCESSOR = 8
_SCRATCH_BYTES = 256 << 20


@dataclass(frozen=True)
class Lloyd:
    """n_clusters, seed, max_iter and tol as of cluster.small_kmeans."""

    n_clusters: int
    seed: int
    max_iter: int = 100
    tol: float = 1e-4


def small_kmeans(points: DeviceRows, offsets: IntArray, names: IntArray, how: Lloyd) -> tuple[Any, IntArray]:
    """(patterns float32 (m, d) on the device, their offsets on the host): cluster.small_kmeans of float32 rows, bit for
    bit. Rows must be finite. No wait."""
    library, device, counts = points.library, points.device, np.diff(offsets)
    ends = np.concatenate([[0], np.cumsum(np.minimum(counts, how.n_clusters))]).astype(np.int64)
    most = int(counts.max(initial=0))
    need, n_blocks = _scratch(library, device, names.size, min(how.n_clusters, most), points.n_dims, max(1, most))
    needed = 4 * int(ends[-1]) * points.n_dims + 8 * need * n_blocks + 32 * names.size
    cure = "Give fewer images at a time, or free some of it."
    with library.guard(device), named_memory(library, device, "small_kmeans", needed, cure):
        out = library.empty((int(ends[-1]), points.n_dims), "float32", device)
        there = library.from_host(offsets, device)
        _run(
            points.array,
            points.row_stride,
            points.n_dims,
            {"offsets": library.address(there), "kept": 0, "n_kept": 0, "width": 0},
            most,
            names,
            ends,
            how,
            library,
            out,
        )
    return out, ends


def picture_patterns(
    rows: Any,
    attention: Any,
    names: Sequence[int],
    how: Lloyd,
    tau: float,
    norm_threshold: float,
    library: Library,
) -> list[npt.NDArray[np.float32]] | None:
    """Patterns of every picture, on the host, as features.pattern_filter.cluster_patches finds them; None where a
    picture has more patches than a block's shared memory holds.

    rows (N, T, d) and attention (N, T) or None: float32 arrays of the library. Waits for the device.
    """
    n, width, n_dims = map(int, rows.shape)
    if 16 * width > library.kernels.MOST_SHARED:
        return None
    if n == 0:
        return []
    device, k = library.device(rows), min(how.n_clusters, width)
    with library.guard(device):
        rows = rows if is_contiguous(rows, library) else library.contiguous(rows)
        shares = None if attention is None else library.contiguous(library.astype(attention, "float32"))
        kept, n_kept = library.empty((n, width), "int32", device), library.empty(n, "int64", device)
        library.kernels.filter_patches(
            rows=library.address(rows),
            attention=0 if shares is None else library.address(shares),
            n=n,
            n_patches=width,
            n_dims=n_dims,
            tau=tau,
            norm_threshold=norm_threshold,
            kept=library.address(kept),
            n_kept=library.address(n_kept),
            stream=library.stream(device),
        )
        out = library.empty((n * k, n_dims), "float32", device)
        chosen = {"offsets": 0, "kept": library.address(kept), "n_kept": library.address(n_kept), "width": width}
        ends = np.arange(n + 1, dtype=np.int64) * k
        _run(rows, n_dims, n_dims, chosen, width, np.asarray(names, dtype=np.int64), ends, how, library, out)
        counts = np.minimum(library.to_host(n_kept), how.n_clusters)
        patterns = library.to_host(out).reshape(n, k, n_dims)
    return [found[:count].copy() for found, count in zip(patterns, counts.tolist(), strict=True)]


def _scratch(library: Library, device: int, n_sets: int, n_clusters: int, n_dims: int, most: int) -> tuple[int, int]:
    """(float64 numbers of scratch per block, blocks)."""
    need = int(library.kernels.small_kmeans_scratch(n_clusters, n_dims, most))
    processors = int(library.card(device)["n_processors"])
    return need, min(n_sets, processors * _BLOCKS_PER_PROCESSOR, max(1, _SCRATCH_BYTES // (8 * need)))


def _run(
    points: Any,
    row_stride: int,
    n_dims: int,
    sets: dict[str, int],
    most: int,
    names: IntArray,
    first_out: IntArray,
    how: Lloyd,
    library: Library,
    out: Any,
) -> None:
    device, n_sets = library.device(out), names.size
    if n_sets == 0 or most == 0:
        return
    n_clusters = min(how.n_clusters, most)
    need, n_blocks = _scratch(library, device, n_sets, n_clusters, n_dims, most)
    scratch = library.empty(need * n_blocks, "float64", device)
    there, places = library.from_host(names, device), library.from_host(first_out, device)
    library.kernels.small_kmeans(
        points=library.address(points),
        row_stride=row_stride,
        n_dims=n_dims,
        **sets,
        n_sets=n_sets,
        most=most,
        names=library.address(there),
        first_out=library.address(places),
        n_clusters=n_clusters,
        seed=how.seed,
        max_iter=how.max_iter,
        tol=how.tol,
        scratch=library.address(scratch),
        n_blocks=n_blocks,
        out=library.address(out),
        stream=library.stream(device),
    )


def class_attention(q: Any, keys: Any, scale: float, n_prefix: int, library: Library) -> Any | None:
    """(N, T - n_prefix) float32: softmax(scale q k') of token 0, averaged over heads; None where shared memory is too
    small for it.

    q (N, heads, 1, d_head), keys (N, key_heads, T, d_head): float32; heads is a multiple of key_heads.
    """
    n, n_heads, _, d_head = map(int, q.shape)
    n_key_heads, n_tokens = int(keys.shape[1]), int(keys.shape[2])
    if 4 * n_heads * n_tokens > library.kernels.MOST_SHARED:
        return None
    device = library.device(q)
    with library.guard(device):
        q = q if library.strides(q)[3] == 1 else library.contiguous(q)
        keys = keys if library.strides(keys)[3] == 1 else library.contiguous(keys)
        q_step, q_head_step, _, _ = library.strides(q)
        key_step, key_head_step, key_token_step, _ = library.strides(keys)
        out = library.empty((n, n_tokens - n_prefix), "float32", device)
        library.kernels.class_attention(
            q=library.address(q),
            keys=library.address(keys),
            n=n,
            n_heads=n_heads,
            n_key_heads=n_key_heads,
            n_tokens=n_tokens,
            d_head=d_head,
            n_prefix=n_prefix,
            q_step=q_step,
            q_head_step=q_head_step,
            key_step=key_step,
            key_head_step=key_head_step,
            key_token_step=key_token_step,
            scale=scale,
            out=library.address(out),
            stream=library.stream(device),
        )
    return out
