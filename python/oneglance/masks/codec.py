"""Masks as short byte streams, each readable by itself."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .bits import BitMask

CODERS = ("raw",)


def encode_masks(masks: Mapping[str, BitMask], *, coder: str = "auto") -> dict[str, npt.NDArray[np.uint8]]:
    """Name -> uint8 stream, in the order of `masks`."""
    if coder not in ("auto", *CODERS):
        raise InvalidInput(f"coder must be one of {['auto', *CODERS]}, got {coder!r}.")
    return {name: np.frombuffer(_encode(mask), dtype=np.uint8) for name, mask in masks.items()}


def decode_masks(streams: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, BitMask]:
    """The inverse. Raises InvalidInput naming a tensor whose stream is damaged or of another shape."""
    return {name: _decode(name, bytes(stream), shapes[name]) for name, stream in streams.items()}


def _encode(mask: BitMask) -> bytes:
    bits = mask.bits.tobytes()
    numbers = (0, mask.n_weights, mask.kept, zlib.crc32(bits))
    return b"".join(number.to_bytes(8, "little") for number in numbers) + bits


def _decode(name: str, stream: bytes, shape: tuple[int, ...]) -> BitMask:
    coder, _, ones, crc = (int.from_bytes(stream[at : at + 8], "little") for at in range(0, 32, 8))
    bits = stream[32:]
    if coder != 0 or zlib.crc32(bits) != crc:
        raise InvalidInput(f"the stream of {name} is damaged.")
    return BitMask(shape, np.frombuffer(bits, dtype=np.uint8), ones)
