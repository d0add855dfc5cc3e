"""Backbones by name with what tells them apart: rows, width, and the hash of how they were computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from ..errors import InvalidInput
from ..store import FeatureStore, open_store
from ..store.files import digest
from ..strategies.pool import Pool, as_pool

_DECIDES = ("model_hash", "preprocessing", "pooling")


def as_named(source: Any, backbones: Sequence[str] | None) -> tuple[Pool, dict[str, str | None]]:
    """The pool, and per backbone the hash of the model, preprocessing and pooling behind its features.

    Arrays and stores of ready vectors have no hash (None): nobody knows what made them.
    Raises InvalidInput (no features, unknown backbone) and StoreError.
    """
    if isinstance(source, (str, PathLike)):
        source = open_store(source)
    pool = as_pool(source, backbones)
    if not pool.features:
        raise InvalidInput(f"{pool.where} holds patterns only, heads need one row of features per item.")
    hashes: dict[str, str | None] = dict.fromkeys(pool.features)
    if isinstance(source, FeatureStore):
        entries: Mapping[str, Any] = source.manifest["backbones"]
        for name in (name for name in hashes if entries[name]["model_hash"]):
            hashes[name] = hash_of_entry(entries[name])
    return pool, hashes


def hash_of_entry(entry: Mapping[str, Any]) -> str:
    """Of a backbone's entry in the manifest: model_hash, preprocessing and pooling."""
    return digest(json.dumps([entry[key] for key in _DECIDES]).encode())
