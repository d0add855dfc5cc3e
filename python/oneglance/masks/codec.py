"""Masks as short byte streams, each readable by itself. docs/mask_format.md describes them byte by byte."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..errors import InvalidInput
from .bits import BitMask
from .hashes import as_numbers

Stream = npt.NDArray[np.uint8]

_RAW, _BYTES, _ADAPTIVE, MAGNITUDE = range(4)  # the first byte of a stream
_CODERS = {
    "auto": (_RAW, _BYTES),
    "smallest": (_RAW, _BYTES, _ADAPTIVE, MAGNITUDE),
    "raw": (_RAW,),
    "bytes": (_RAW, _BYTES),
    "adaptive": (_RAW, _ADAPTIVE),
    "magnitude": (_RAW, MAGNITUDE),
}
_SMALL = 1 << 15
"""Weights up to which "auto" tries the adaptive coder: a millisecond, and its streams have no tables."""


def encode_masks(
    masks: Mapping[str, BitMask], *, coder: str = "auto", weights: Mapping[str, Any] | None = None
) -> dict[str, Stream]:
    """Name -> uint8 stream, in the order of `masks`. The same bytes on every machine, for any number of threads.

    coder    "auto": each tensor as it is shortest among the fast coders. "smallest": the slow ones as well, about 10 MB
             of packed masks per second and core; with `weights`, these are needed again to decode. One of "raw",
             "bytes", "adaptive", "magnitude": that one, or raw where raw is shorter
    weights  name -> the base's weights, for "smallest" and "magnitude": kept rates that depend on |weight| cost less
    """
    if coder not in _CODERS:
        raise InvalidInput(f"coder must be one of {list(_CODERS)}, got {coder!r}.")
    if coder == "magnitude" and weights is None:
        raise InvalidInput('coder "magnitude" needs the base\'s weights. Pass them, or coder="adaptive".')
    used = weights if MAGNITUDE in _CODERS[coder] else None
    streams = _core.encode_masks(
        [mask.bits for mask in masks.values()],
        [mask.n_weights for mask in masks.values()],
        [mask.kept for mask in masks.values()],
        _flat_weights(used, {name: mask.shape for name, mask in masks.items()}),
        _CODERS[coder],
        _SMALL if coder == "auto" else 0,
    )
    return dict(zip(masks, streams, strict=True))


def decode_masks(
    streams: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], *, weights: Mapping[str, Any] | None = None
) -> dict[str, BitMask]:
    """The inverse, for streams of the shapes that the caller expects.

    weights  as given to encode_masks; needed where that used them
    Raises InvalidInput naming a tensor whose stream is damaged, has another size, or needs weights.
    """
    missing = [name for name in streams if name not in shapes]
    if missing:
        raise InvalidInput(f"shapes must hold a shape for each stream, none for {missing[0]!r}.")
    found = _core.decode_masks(
        [np.ascontiguousarray(stream, dtype=np.uint8) for stream in streams.values()],
        [math.prod(shapes[name]) for name in streams],
        _flat_weights(weights, {name: shapes[name] for name in streams}),
    )
    masks = {}
    for name, (bits, kept, error) in zip(streams, found, strict=True):
        if error:
            raise InvalidInput(f"the stream of {name} cannot be decoded: {error}.")
        masks[name] = BitMask(shapes[name], bits, kept)
    return masks


def _flat_weights(
    weights: Mapping[str, Any] | None, shapes: Mapping[str, tuple[int, ...]]
) -> list[npt.NDArray[np.float32] | None]:
    flat: list[npt.NDArray[np.float32] | None] = []
    for name, shape in shapes.items():
        if weights is None or name not in weights:
            flat.append(None)
            continue
        array = as_numbers(name, weights[name])[1]
        if array.shape != tuple(shape):
            raise InvalidInput(f"weights[{name!r}] must have the mask's shape {tuple(shape)}, got {array.shape}.")
        flat.append(np.ascontiguousarray(array, dtype=np.float32).reshape(-1))
    return flat
