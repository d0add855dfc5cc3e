"""k-means of thousands of small point sets at once: the patterns of each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import as_matrix, positive_int, positive_number, seed_int
from .._rows import named_rows
from .._types import IntArray, as_offsets
from ..cuda import device_rows, library_of
from ..cuda import patterns as on_cards
from ..cuda.arrays import adopted
from ..cuda.library import Library
from ..cuda.norms import row_norms2
from ..cuda.rows import on_host
from ..errors import InvalidInput

MAX_ITER = 128  # random numbers for empty clusters are numbered c * 128 + iteration
_MAX_ITEM = 2**32


@dataclass(frozen=True, slots=True, eq=False)
class SmallKMeans:
    """Patterns of every image, flat.

    patterns  float32 (m, d), image after image; in the memory of a device where the points are
    offsets   int64 (n_images + 1,): image i has the rows offsets[i] .. offsets[i + 1] - 1
    """

    patterns: npt.NDArray[np.float32]
    offsets: IntArray


def small_kmeans(
    points: Any,
    offsets: Any,
    k: int,
    *,
    seed: int = 0,
    items: Any = None,
    counts: Any = None,
    max_iter: int = 100,
    tol: float = 1e-4,
) -> SmallKMeans:
    """At most k patterns per image: k-means of each image's own points, parallel over images.

    points    (m, d) points of all images, image after image (ragged); or (n_images, m, d) (padded).
              Computed from their float32 values
    offsets   int64 (n_images + 1,): image i has the points offsets[i] .. offsets[i + 1] - 1. None for padded
    k         patterns per image, >= 1
    seed      0 .. 2**63 - 1
    items     int64 (n_images,), 0 .. 2**32 - 1: names of the images for the random numbers, so that an image has
              the same patterns in any batch. Default: 0, 1, 2, ...
    counts    int (n_images,), padded only: image i has the points [i, :counts[i]]. Default: all
    max_iter  most iterations per image, up to 128
    tol       an image stops when (sum of its centre shifts)^2 < tol, in the units of the points squared

    An image with m <= k points has these points as its patterns (none for m = 0); k = 1 gives the mean. Else Lloyd
    in float64 with Euclidean distance from k distinct random points, ties to the lower centre; a centre without
    points becomes a random point of the image. Raises InvalidInput.
    Cost 2 m k d flops per image and iteration. Source: FreeSel, arXiv 2309.17342, and its released code.
    """
    k, seed = positive_int(k, "k"), seed_int(seed)
    max_iter, tol = positive_int(max_iter, "max_iter"), positive_number(tol, "tol", zero_ok=True)
    if max_iter > MAX_ITER:
        raise InvalidInput(f"max_iter must be at most {MAX_ITER}, got {max_iter}.")
    library = library_of(points, "points")
    if library is None:
        flat, ends = _ragged(points, offsets, counts, None)
    else:
        offsets, counts, items = (on_host(value, library) for value in (offsets, counts, items))
        points = adopted(points, library)
        with library.guard(library.device(points)):
            flat, ends = _ragged(points, offsets, counts, library)
    names = _names(items, ends.size - 1)
    with named_rows("points", cure="Fix them, or leave their images out."):
        if library is not None:
            return SmallKMeans(*_on_device(flat, ends, names, on_cards.Lloyd(k, seed, max_iter, tol), library))
        patterns, out = _core.small_kmeans(flat, ends, k, seed, names, max_iter, tol)
    return SmallKMeans(patterns, out)


def _on_device(
    flat: Any, ends: IntArray, names: IntArray, how: on_cards.Lloyd, library: Library
) -> tuple[Any, IntArray]:
    if flat.shape[0] == 0:
        return flat, np.zeros_like(ends)
    rows = device_rows(flat, "points", library)
    norms2, n_bad = row_norms2(rows)
    if library.host_int(n_bad):
        bad = np.flatnonzero(~np.isfinite(library.to_host(norms2)))
        raise _core.NonFiniteRows(bad.size, bad[:8].tolist())
    return on_cards.small_kmeans(rows, ends, names, how)


def _flat(points: Any, library: Library | None) -> Any:
    if library is None:
        return as_matrix(points, "points", empty_ok=True)
    if points.ndim != 2 or points.shape[1] == 0:
        raise InvalidInput(f"points must be 2-D (rows, features), got shape {tuple(points.shape)}.")
    return library.astype(points, "float32")


def _as_float32(flat: Any, library: Library | None) -> Any:
    return np.ascontiguousarray(flat, dtype=np.float32) if library is None else flat


def _ragged(points: Any, offsets: Any, counts: Any, library: Library | None) -> tuple[Any, IntArray]:
    """Points flat, in C order and float32, with offsets."""
    if getattr(points, "ndim", 2) != 3:
        if counts is not None:
            raise InvalidInput("counts is for padded points (n_images, m, d); flat points need offsets only.")
        flat = _flat(points, library)
        if offsets is None:
            raise InvalidInput("offsets is needed for flat points (m, d): which rows belong to which image.")
        return _as_float32(flat, library), as_offsets(offsets, "offsets", flat.shape[0])
    if offsets is not None:
        raise InvalidInput(
            "offsets is for flat points (m, d); for padded points (n_images, m, d) pass None and counts=."
        )
    n_images, most, n_dims = points.shape
    flat = _flat(points.reshape(n_images * most, n_dims), library)
    if counts is None:
        ends = np.arange(n_images + 1, dtype=np.int64) * most
        return _as_float32(flat, library), as_offsets(ends, "offsets", flat.shape[0])
    sizes = np.asarray(counts)
    if (
        sizes.shape != (n_images,)
        or sizes.dtype.kind not in "iu"
        or (sizes.size and not 0 <= sizes.min() <= sizes.max() <= most)
    ):
        raise InvalidInput(
            f"counts must hold {n_images} integers in 0..{most}, points per image; got {sizes.dtype} of shape "
            f"{sizes.shape}" + (f" from {sizes.min()} to {sizes.max()}." if sizes.size else ".")
        )
    used = np.flatnonzero(np.arange(most) < sizes[:, None])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    packed = flat[used if library is None else library.from_host(used, library.device(flat))]
    return _as_float32(packed, library), as_offsets(ends, "offsets", packed.shape[0])


def _names(items: Any, n_images: int) -> IntArray:
    if items is None:
        return np.arange(n_images, dtype=np.int64)
    names = np.asarray(items)
    if names.shape != (n_images,) or names.dtype.kind not in "iu":
        raise InvalidInput(
            f"items must hold {n_images} integers, one per image, got {names.dtype} of shape {names.shape}."
        )
    if names.size and not 0 <= names.min() <= names.max() < _MAX_ITEM:
        raise InvalidInput(f"items must lie in 0 .. 2**32 - 1, got {names.min()} .. {names.max()}.")
    return np.ascontiguousarray(names, dtype=np.int64)
