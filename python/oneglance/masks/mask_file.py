"""Masks on disk: docs/mask_format.md says how, byte by byte."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, StoreError
from .bits import BitMask, xor_masks
from .codec import MAGNITUDE, decode_masks, encode_masks
from .container import MOST_DIMS, damaged, dtype_name, read_container, write_container
from .hashes import masks_hash, weights_hash
from .sizes import MaskSizes

_MALFORMED = (
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
    RecursionError,
    zlib.error,
)
_BN_MODES = ("stored", "re-estimate", "base")
_MASKS, _BUFFERS, _INDEX, _META = "masks", "buffers", "index", "meta."
# What a file may ask for, as docs/mask_format.md says: a few bytes can name sizes that no machine has. Bytes of the
# unpacked index, and of masks at one bit per weight: the larger of a number and so many times their bytes in the file.
_MOST_INDEX, _INDEX_GROWTH = 1 << 20, 100
_MOST_MASKS, _MASK_GROWTH = 1 << 30, 16
_MOST_SIZE = 1 << 62  # of a tensor


@dataclass(frozen=True, slots=True, eq=False)
class MaskState:
    """All that turns a base network into an adapted one.

    masks     name of a weight tensor -> BitMask; the order is kept
    buffers   name -> float16, float32 or int64 array: statistics of batch norm and the like. May be empty
    metadata  str -> any JSON value. Names with a meaning: "base" (name of the base network), "preprocessing" (what
              pictures go through), "mu" (threshold of the scores, default 0), "bn": "stored" (statistics are in
              `buffers`), "re-estimate" (on the target pool, after loading) or "base" (those of the base stay);
              default "stored" where there are buffers, else "base"
    """

    masks: dict[str, BitMask]
    buffers: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def write_mask_file(
    path: str | PathLike[str],
    state: MaskState,
    *,
    base_weights: Mapping[str, Any] | None = None,
    parent: MaskState | Mapping[str, BitMask] | None = None,
    coder: str = "smallest",
) -> MaskSizes:
    """Writes masks, buffers and metadata as one safetensors file, whole or not at all.

    base_weights  name -> array or torch tensor: all parameters of the base as they were before adaptation. Their hash
                  goes into the file, and readers refuse other weights. Default: no hash, no such check
    parent        masks that these began from (experts of a dispatcher): what differs is stored where that is shorter,
                  and the file can then be read only with the same parent
    coder         see encode_masks. Default: the fewest bytes, about a second for 25 million weights; with base_weights,
                  these are then needed to read the file. "auto" is ten times as fast and needs nothing
    Returns the sizes. The same content gives the same bytes. Raises InvalidInput, StoreError (disk, folder).
    """
    if not state.masks:
        raise InvalidInput("state.masks must hold at least one mask, got none.")
    weights = None if base_weights is None else _matching(base_weights, state.masks)
    parents = _masks_of(parent)
    streams = encode_masks(state.masks, coder=coder, weights=weights)
    differing = {
        name: xor_masks(mask, parents[name])
        for name, mask in state.masks.items()
        if name in parents and parents[name].shape == mask.shape
    }
    shorter = {
        name: stream
        for name, stream in encode_masks(differing, coder=coder, weights=weights).items()
        if stream.size < streams[name].size
    }
    streams.update(shorter)
    facts = {
        "bit_order": "lowest bit first, row-major",
        "rule": "kept where score > mu; w * m / sqrt(max(kept, 1) / n)",
    }
    index: dict[str, Any] = {
        _MASKS: [[name, mask.shape, streams[name].size] for name, mask in state.masks.items()],
    }
    if weights is not None:
        facts["base_hash"] = weights_hash(weights)
    if any(stream[0] == MAGNITUDE for stream in streams.values()):
        facts["needs_base"] = "true"
    if shorter:
        facts["parent_hash"] = masks_hash(parents)
        index["differing"] = [place for place, name in enumerate(state.masks) if name in shorter]
    buffers = {name: _buffer(name, value) for name, value in state.buffers.items()}
    index[_BUFFERS] = [[name, array.shape, dtype_name(array.dtype)] for name, array in buffers.items()]
    facts.update(_metadata_facts(state))
    # One tensor of all streams, one per type of buffers, and the names packed: as JSON in the header these were a fifth
    # of a small network's file.
    packed = np.frombuffer(zlib.compress(_json(index).encode(), 9), dtype=np.uint8)
    tensors = {_MASKS: np.concatenate(list(streams.values())), _INDEX: packed}
    for dtype in sorted({array.dtype for array in buffers.values()}, key=str):
        together = [array.reshape(-1) for array in buffers.values() if array.dtype == dtype]
        tensors[f"{_BUFFERS}.{dtype_name(dtype)}"] = np.concatenate(together)
    file_bytes, header_bytes = write_container(Path(path), tensors, facts)
    return MaskSizes(
        n_weights=sum(mask.n_weights for mask in state.masks.values()),
        kept=sum(mask.kept for mask in state.masks.values()),
        mask_bytes=tensors[_MASKS].nbytes,
        buffer_bytes=sum(array.nbytes for array in buffers.values()),
        header_bytes=header_bytes + packed.size,
        file_bytes=file_bytes,
    )


def read_mask_file(
    path: str | PathLike[str],
    *,
    base_weights: Mapping[str, Any] | None = None,
    parent: MaskState | Mapping[str, BitMask] | None = None,
) -> MaskState:
    """The inverse of write_mask_file.

    base_weights  as given to write_mask_file: another base is refused, naming both hashes. Default: no check
    parent        needed where the file was written with one; another is refused, naming both hashes
    Raises StoreError (no such file, truncated, changed, of a later version), InvalidInput (base, parent).
    """
    path = Path(path)
    facts, tensors = read_container(path)
    if base_weights is not None:
        _refuse_other(path, "base_weights", facts.get("base_hash"), weights_hash(base_weights))
    elif "needs_base" in facts:
        raise InvalidInput(
            f"base_weights: {path} was written with the base's weights, and cannot be read without. Pass those with "
            f'the hash {facts.get("base_hash")}, or write the file with another coder than "smallest" or "magnitude".'
        )
    parents = _masks_of(parent)
    if "parent_hash" in facts:
        if parent is None:
            raise InvalidInput(
                f"parent: {path} holds differences from the masks with the hash {facts['parent_hash']}; pass them."
            )
        _refuse_other(path, "parent", facts["parent_hash"], masks_hash(parents))
    try:
        index = _unpack(tensors.pop(_INDEX))
        entries, streams = index[_MASKS], tensors.pop(_MASKS)
        shapes = _shapes(entries, streams.size, base_weights)
        pieces = _cut(streams, [n_bytes for _, _, n_bytes in entries])
        masks = decode_masks(dict(zip(shapes, pieces, strict=True)), shapes, weights=base_weights)
        for place in index.get("differing", []):
            name = entries[place][0]
            masks[name] = xor_masks(masks[name], parents[name])
        buffers = _read_buffers(index[_BUFFERS], tensors)
        metadata = {
            name.removeprefix(_META): json.loads(value) for name, value in facts.items() if name.startswith(_META)
        }
    except _MALFORMED as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    return MaskState(masks, buffers, metadata)


def _shapes(entries: list[Any], n_bytes: int, base_weights: Mapping[str, Any] | None) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every mask. Raises one of _MALFORMED where they are not the base's (its hash has been compared,
    so they must be), or where n_bytes of streams stand for more than a reader believes; nothing is unpacked before."""
    packed = sum((_size(shape) + 7) // 8 for _, shape, _ in entries)
    if packed > max(_MOST_MASKS, _MASK_GROWTH * n_bytes):
        raise ValueError(f"its index asks for {packed} bytes of masks, its streams have {n_bytes}")
    shapes = {name: tuple(shape) for name, shape, _ in entries}
    if base_weights is not None:
        for name, shape in shapes.items():
            if name not in base_weights or tuple(np.shape(base_weights[name])) != shape:
                raise ValueError(f"its mask {name!r} of shape {shape} is of no tensor of the base")
    return shapes


def _size(shape: Any) -> int:
    """Entries of a tensor. Raises one of _MALFORMED, before it multiplies, for what is no shape."""
    if len(shape) > MOST_DIMS or not all(type(size) is int and 0 <= size < _MOST_SIZE for size in shape):
        raise ValueError("a shape in its index is none")
    return math.prod(shape)


def _read_buffers(entries: list[Any], tensors: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Raises one of _MALFORMED unless the entries use up the tensors."""
    found = {}
    for dtype in {dtype for _, _, dtype in entries}:
        own = [(name, shape) for name, shape, its in entries if its == dtype]
        pieces = _cut(tensors.pop(f"{_BUFFERS}.{dtype}"), [_size(shape) for _, shape in own])
        for (name, shape), piece in zip(own, pieces, strict=True):
            found[name] = piece.reshape(shape).copy()
    if tensors:
        raise ValueError(f"tensors {sorted(tensors)} have no meaning")
    return {name: found[name] for name, _, _ in entries}


def _unpack(packed: npt.NDArray[Any]) -> dict[str, Any]:
    """Raises one of _MALFORMED unless it is one whole zlib stream of a JSON object."""
    unpacker = zlib.decompressobj()
    most = max(_MOST_INDEX, _INDEX_GROWTH * packed.size)
    text = unpacker.decompress(packed.tobytes(), most)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"its index is not one zlib stream of at most {most} bytes")
    index = json.loads(text)
    if not isinstance(index, dict):
        raise ValueError("its index is no JSON object")
    return index


def _cut(whole: npt.NDArray[Any], sizes: list[int]) -> list[npt.NDArray[Any]]:
    if min(sizes, default=0) < 0 or sum(sizes) != whole.size:
        raise ValueError(f"pieces of {sum(sizes)} entries from a tensor of {whole.size}")
    ends = np.cumsum(sizes, dtype=np.int64)
    return [whole[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _buffer(name: str, value: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    if array.dtype.kind == "u" or dtype_name(array.dtype) is None:
        raise InvalidInput(f"buffers: {name} must be float16, float32 or int64, got {array.dtype}. Convert it first.")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _metadata_facts(state: MaskState) -> dict[str, str]:
    metadata = {"mu": 0.0, "bn": "stored" if state.buffers else "base", **state.metadata}
    if metadata["bn"] not in _BN_MODES:
        raise InvalidInput(f'metadata["bn"] must be one of {list(_BN_MODES)}, got {metadata["bn"]!r}.')
    if metadata["bn"] == "stored" and not state.buffers:
        raise InvalidInput(
            'metadata["bn"] is "stored", but there are no buffers. Pass them, or "re-estimate" or "base".'
        )
    try:
        return {_META + name: _json(value) for name, value in metadata.items()}
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"metadata must hold JSON values under names: {error}.") from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _masks_of(parent: MaskState | Mapping[str, BitMask] | None) -> Mapping[str, BitMask]:
    return parent.masks if isinstance(parent, MaskState) else parent or {}


def _matching(base_weights: Mapping[str, Any], masks: Mapping[str, BitMask]) -> Mapping[str, Any]:
    for name, mask in masks.items():
        if name not in base_weights:
            raise InvalidInput(f"base_weights has no {name!r}, which has a mask. Pass all parameters of the base.")
        if tuple(base_weights[name].shape) != mask.shape:
            raise InvalidInput(
                f"base_weights[{name!r}] has shape {tuple(base_weights[name].shape)}, its mask {mask.shape}. Masks and "
                "base do not belong together."
            )
    return base_weights


def _refuse_other(path: Path, argument: str, stated: str | None, got: str) -> None:
    if stated is None:
        raise StoreError(
            f"{path} does not say which {argument} it belongs to. Read it without {argument}=, or write it with."
        )
    if stated != got:
        raise InvalidInput(f"{argument}: {path} belongs to hash {stated}, got {got}. Pass those it was made with.")
