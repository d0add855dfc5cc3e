"""Masks on disk: docs/mask_format.md says how, byte by byte."""

from __future__ import annotations

import json
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
from .container import damaged, dtype_name, read_container, write_container
from .hashes import masks_hash, weights_hash
from .sizes import MaskSizes

_BN_MODES = ("stored", "re-estimate", "base")
_MASK, _BUFFER, _META = ".mask", ".buffer", "meta."


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
    coder: str = "auto",
) -> MaskSizes:
    """Writes masks, buffers and metadata as one safetensors file, whole or not at all.

    base_weights  name -> array or torch tensor: all parameters of the base as they were before adaptation. Their hash
                  goes into the file, and readers refuse other weights. Default: no hash, no such check
    parent        masks that these began from (experts of a dispatcher): what differs is stored where that is shorter,
                  and the file can then be read only with the same parent
    coder         see encode_masks
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
        "shapes": _json({name: list(mask.shape) for name, mask in state.masks.items()}),
    }
    if weights is not None:
        facts["base_hash"] = weights_hash(weights)
    if any(stream[0] == MAGNITUDE for stream in streams.values()):
        facts["needs_base"] = "true"
    if shorter:
        facts["parent_hash"] = masks_hash(parents)
        facts["differing"] = _json(list(shorter))
    facts.update(_metadata_facts(state))
    tensors = {name + _MASK: stream for name, stream in streams.items()}
    for name, value in state.buffers.items():
        array = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
        if array.dtype.kind == "u" or dtype_name(array.dtype) is None:
            raise InvalidInput(
                f"buffers: {name} must be float16, float32 or int64, got {array.dtype}. Convert it first."
            )
        tensors[name + _BUFFER] = array
    file_bytes, header_bytes = write_container(Path(path), tensors, facts)
    return _sizes(state.masks, tensors, file_bytes, header_bytes)


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
        shapes = {name: tuple(shape) for name, shape in json.loads(facts["shapes"]).items()}
        masks = decode_masks({name: tensors.pop(name + _MASK) for name in shapes}, shapes, weights=base_weights)
        for name in json.loads(facts.get("differing", "[]")):
            masks[name] = xor_masks(masks[name], parents[name])
        metadata = {
            name.removeprefix(_META): json.loads(value) for name, value in facts.items() if name.startswith(_META)
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    buffers = {name.removesuffix(_BUFFER): array.copy() for name, array in tensors.items() if name.endswith(_BUFFER)}
    if len(buffers) != len(tensors):
        raise damaged(path, f"tensors {sorted(set(tensors) - {name + _BUFFER for name in buffers})} have no meaning")
    return MaskState(masks, buffers, metadata)


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


def _sizes(
    masks: Mapping[str, BitMask], tensors: Mapping[str, npt.NDArray[Any]], file_bytes: int, header_bytes: int
) -> MaskSizes:
    return MaskSizes(
        n_weights=sum(mask.n_weights for mask in masks.values()),
        kept=sum(mask.kept for mask in masks.values()),
        mask_bytes=sum(array.nbytes for name, array in tensors.items() if name.endswith(_MASK)),
        buffer_bytes=sum(array.nbytes for name, array in tensors.items() if name.endswith(_BUFFER)),
        header_bytes=header_bytes,
        file_bytes=file_bytes,
    )
