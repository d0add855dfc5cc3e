"""What a store says about itself: where its rows come from and how its features were computed.

`manifest.json` describes a whole store and is written last; `unfinished.json` has the same shape without the
shards' hashes and stands there while an embed run has work left. Neither holds a time, a host or a duration,
so that a killed and resumed run ends with the same bytes as an undisturbed one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, StoreError
from .files import digest, json_bytes

SCHEMA_VERSION = 1
MANIFEST, UNFINISHED, ITEMS, FEATURES, PATTERNS, BAD_ITEMS = (
    "manifest.json",
    "unfinished.json",
    "items.parquet",
    "features",
    "patterns",
    "bad_items.csv",
)
DTYPES = {"float16": "<f2", "float32": "<f4"}

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*\Z")


@dataclass(frozen=True)
class SourceInfo:
    """kind and description in words; hash over item ids, columns and file sizes (or the vectors' bytes)."""

    kind: str
    description: str
    hash: str


@dataclass(frozen=True)
class PatternInfo:
    """A backbone's patterns (local features of an item) as the manifest names them.

    how         where they come from and how they are chosen, in words; all that they depend on beside the backbone
    n_dims      of a pattern        n_patterns  at most, per item       dtype  as for features
    """

    how: str
    n_dims: int
    n_patterns: int
    dtype: str = "auto"

    def entry(self) -> dict[str, Any]:
        """The manifest entry without shards; "auto" starts as float16."""
        dtype = "float16" if self.dtype == "auto" else self.dtype
        return {"how": self.how, "n_patterns": self.n_patterns, "dtype": dtype, "n_dims": self.n_dims}


@dataclass(frozen=True)
class BackboneInfo:
    """One backbone as the manifest names it.

    spec           how it was asked for            model_hash     hash of the model's weights and structure
    preprocessing  in words                        pooling        in words
    compute        arithmetic of the forward pass  n_dims         features per row
    dtype          "float16", "float32", or "auto": float16 unless some row would lose more than 0.1 % of its norm
    patterns       what this run wants to keep as patterns; None: nothing (what is there stays)
    """

    name: str
    spec: str
    model_hash: str
    preprocessing: str
    pooling: str
    compute: str
    n_dims: int
    dtype: str = "auto"
    patterns: PatternInfo | None = None

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise InvalidInput(
                f"backbone name {self.name!r} becomes a folder name and may hold only letters, digits, and . _ + -. "
                "Give another with name=."
            )
        if self.dtype not in ("auto", *DTYPES):
            raise InvalidInput(f'dtype must be "auto", "float16" or "float32", got {self.dtype!r}.')

    def entry(self) -> dict[str, Any]:
        """The manifest entry without shards and patterns; "auto" starts as float16."""
        return {
            "spec": self.spec,
            "model_hash": self.model_hash,
            "preprocessing": self.preprocessing,
            "preprocessing_hash": digest(self.preprocessing.encode()),
            "pooling": self.pooling,
            "compute": self.compute,
            "dtype": "float16" if self.dtype == "auto" else self.dtype,
            "n_dims": self.n_dims,
        }


def new_plan(source: SourceInfo, n_items: int, shard_rows: int) -> dict[str, Any]:
    """A manifest without backbones."""
    return {
        "schema_version": SCHEMA_VERSION,
        "n_items": n_items,
        "shard_rows": shard_rows,
        "source": {"kind": source.kind, "description": source.description, "hash": source.hash},
        "backbones": {},
    }


def read_manifest(path: Path) -> dict[str, Any] | None:
    """manifest.json or unfinished.json; None where there is no such file. Raises StoreError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Embed again with fresh=True / --fresh.") from error
    if not isinstance(value, dict) or "schema_version" not in value:
        raise StoreError(f"{path} is not the manifest of a oneglance store. Choose another folder.")
    if value["schema_version"] != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {value['schema_version']}, this oneglance reads version {SCHEMA_VERSION}. "
            "Use the version that wrote it, or embed again with fresh=True / --fresh."
        )
    fault = _fault(value, whole=path.name == MANIFEST)
    if fault is not None:
        raise StoreError(f"{path} {fault}: it is damaged. Embed again with fresh=True / --fresh.")
    return value


def _fault(value: dict[str, Any], whole: bool) -> str | None:
    """What a manifest lacks, in words, so that no reader meets a hole later; `whole`: shards must be listed."""
    missing = [key for key in ("n_items", "shard_rows", "source", "backbones") if key not in value]
    if missing:
        return f"lacks {missing}"
    try:
        counts = [value["n_items"], value["shard_rows"]]
        texts = [value["source"][key] for key in ("kind", "description", "hash")]
        for entry in value["backbones"].values():
            counts.append(entry["n_dims"])
            texts += [entry[key] for key in ("spec", "model_hash", "preprocessing", "pooling", "compute")]
            if entry["dtype"] not in DTYPES:
                return f"names the dtype {entry['dtype']!r}"
            for shard in entry["shards"] if whole else ():
                counts.append(shard["rows"][1] - shard["rows"][0])
                texts += [shard["file"], shard["blake2b"]]
            patterns = entry.get("patterns")
            if patterns is None:
                continue
            counts += [patterns["n_dims"], patterns["n_patterns"]]
            texts.append(patterns["how"])
            if patterns["dtype"] not in DTYPES:
                return f"names the dtype {patterns['dtype']!r}"
            for shard in patterns["shards"] if whole else ():
                counts += [shard["rows"][1] - shard["rows"][0], shard["n_patterns"] + 1]
                texts += [shard[key] for key in ("file", "blake2b", "offsets", "offsets_blake2b")]
        if whole:
            counts.append(value["n_bad"] + 1)
            texts.append(value["items_blake2b"])
            for name, entry in value["backbones"].items():
                for listed in (entry, *([entry["patterns"]] if entry.get("patterns") else [])):
                    rows = [shard["rows"] for shard in listed["shards"]]
                    if [row[0] for row in rows] != [0, *(row[1] for row in rows)][:-1]:
                        return f"lists the shards of {name!r} with gaps, twice or out of order"
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        return f"has not the form of a manifest ({type(error).__name__}: {error})"
    wrong = [number for number in counts if not isinstance(number, int) or number < 1]
    wrong += [text for text in texts if not isinstance(text, str)]
    return f"holds {wrong[0]!r} in an unexpected place" if wrong else None


def refuse_other_source(plan: Mapping[str, Any], source: SourceInfo, n_items: int, path: Path) -> None:
    """StoreError unless the store at `path` was begun from the same source."""
    if plan["source"]["hash"] != source.hash:
        raise StoreError(
            f"{path} holds features of another source: the store has {plan['source']['description']} "
            f"({plan['n_items']} items), this run {source.description} ({n_items} items); ids, columns, file sizes "
            "or contents differ. Choose a new folder with out= / --out, or overwrite with fresh=True / --fresh."
        )


def refuse_other_backbone(stored: Mapping[str, Any], wanted: BackboneInfo, path: Path) -> None:
    """StoreError unless the stored features of this name were computed the same way."""
    entry = wanted.entry()
    words = {
        "model_hash": "model",
        "preprocessing": "preprocessing",
        "pooling": "pooling",
        "compute": "compute",
        "dtype": "dtype",
        "n_dims": "n_dims",
    }
    for key, word in words.items():
        if key == "dtype" and wanted.dtype == "auto":
            continue
        if stored[key] != entry[key]:
            there, now = _difference(stored[key], entry[key]), _difference(entry[key], stored[key])
            raise StoreError(
                f'{path} holds features of backbone "{wanted.name}" with another {word}: the store has '
                f"{there!r}, this run {now!r}. Choose a new folder with out= / --out, give this "
                "backbone another name with name=, or overwrite with fresh=True / --fresh."
            )


def refuse_other_patterns(stored: Mapping[str, Any], wanted: PatternInfo, backbone: str, path: Path) -> None:
    """StoreError unless the stored patterns of this backbone were taken the same way."""
    entry = wanted.entry()
    words = {"how": "choice", "n_patterns": "number per item", "n_dims": "n_dims", "dtype": "dtype"}
    for key, word in words.items():
        if key == "dtype" and wanted.dtype == "auto":
            continue
        if stored[key] != entry[key]:
            there, now = _difference(stored[key], entry[key]), _difference(entry[key], stored[key])
            raise StoreError(
                f'{path} holds patterns of backbone "{backbone}" with another {word}: the store has {there!r}, this '
                f"run {now!r}. Choose a new folder with out= / --out, give this backbone another name with name=, "
                "or overwrite with fresh=True / --fresh."
            )


def _difference(value: Any, other: Any) -> Any:
    """Of texts made of parts, the parts that the other one lacks: whole preprocessings are hard to compare by eye."""
    if not (isinstance(value, str) and isinstance(other, str)):
        return value
    known = other.split("; ")
    return "; ".join(part for part in value.split("; ") if part not in known) or value


def row_bytes(entry: Mapping[str, Any]) -> int:
    """Bytes of one row of a backbone."""
    return int(entry["n_dims"]) * {"float16": 2, "float32": 4}[entry["dtype"]]


def shard_ranges(n_items: int, shard_rows: int) -> list[tuple[int, int]]:
    """Row range (first, past the last) of every shard."""
    return [(start, min(start + shard_rows, n_items)) for start in range(0, n_items, shard_rows)]


def shard_name(backbone: str, shard: int) -> str:
    """Path of a shard inside the store, with forward slashes."""
    return f"{FEATURES}/{backbone}/{shard:05d}.npy"


def content_hash(manifest: Mapping[str, Any]) -> str:
    """Hash over the manifest, which holds the hashes of all other files."""
    return digest(json_bytes(manifest))
