"""Heads on disk: arrays as safetensors, everything else as JSON beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, MissingDependency, StoreError
from ..store.files import digest, json_bytes, make_folder, plain, write_atomic
from .head import ACTIVATIONS, HEADS, SCALES, TASKS, Head

ARRAYS, FACTS = "heads.safetensors", "heads.json"
_VERSION = 1
_SAVED = (str, int, float, bool)


def heads_library() -> Any:
    """The module that reads and writes the arrays. Raises MissingDependency."""
    try:
        import safetensors.numpy
    except ImportError:
        raise MissingDependency(
            'saving and loading heads needs safetensors: pip install "oneglance[heads]". Fitting works without.'
        ) from None
    return safetensors.numpy


def write_heads(folder: Path, heads: dict[str, Head], task: str, classes: npt.NDArray[Any] | None) -> None:
    """Both files; the JSON holds the hash of the other, and is written last. Raises InvalidInput for classes that JSON
    does not hold, as dates or tuples."""
    library = heads_library()
    strange = [] if classes is None else [name for name in classes.tolist() if not isinstance(name, _SAVED)]
    if strange:
        raise InvalidInput(
            f"classes must be texts, numbers or booleans to be saved, got {strange[0]!r}. Fit heads with str(label)."
        )
    tensors = {
        f"{name}/{key}": np.ascontiguousarray(value)
        for name, head in heads.items()
        for key, value in head.arrays.items()
    }
    content = library.save(tensors)
    facts = {
        "format": "oneglance heads",
        "version": _VERSION,
        "task": task,
        "classes": None if classes is None else classes.tolist(),
        "arrays_blake2b": digest(content),
        "heads": {
            name: {
                "hash": head.hash,
                "n_dims": head.n_dims,
                "kind": head.kind,
                "scale": head.scale,
                "activation": head.activation,
                "temperature": head.temperature,
                "seen": None if head.seen is None else head.seen.tolist(),
                "arrays": list(head.arrays),
                "info": plain(head.info),
            }
            for name, head in heads.items()
        },
    }
    make_folder(folder)
    write_atomic(folder / ARRAYS, [content])
    write_atomic(folder / FACTS, [json_bytes(facts)])


def read_heads(folder: Path) -> tuple[dict[str, Head], str, npt.NDArray[Any] | None]:
    """The inverse. Raises StoreError naming the file and what is wrong with it."""
    library = heads_library()
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        content = (folder / ARRAYS).read_bytes()
    except (OSError, ValueError) as error:
        raise StoreError(f"no heads at {folder}: {error}. Write them with Heads.save.") from error
    if not isinstance(facts, dict) or facts.get("format") != "oneglance heads" or facts.get("version") != _VERSION:
        raise StoreError(f"{folder / FACTS} is not of heads version {_VERSION}. Use the oneglance that wrote it.")
    if digest(content) != facts.get("arrays_blake2b"):
        raise StoreError(
            f"{folder / ARRAYS} has another content than {FACTS} says: it is damaged. Save the heads again."
        )
    try:
        tensors = library.load(content)
    except Exception as error:  # the library's own kind of error derives from nothing else
        raise StoreError(f"{folder / ARRAYS} is no safetensors file: {error}. Save the heads again.") from error
    try:
        classes = None if facts["classes"] is None else as_classes(facts["classes"])
        heads = {}
        for name, fact in facts["heads"].items():
            heads[name] = Head(
                name,
                fact["hash"],
                int(fact["n_dims"]),
                facts["task"],
                fact["kind"],
                classes,
                None if fact["seen"] is None else np.array(fact["seen"], dtype=np.bool_),
                fact["scale"],
                {key: tensors[f"{name}/{key}"] for key in fact["arrays"]},
                fact["activation"],
                float(fact["temperature"]),
                fact["info"],
            )
            _check_head(heads[name])
        if not heads:
            raise ValueError("no head")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder / FACTS} is damaged ({type(error).__name__}: {error}). Save again.") from error
    return heads, facts["task"], classes


def _check_head(head: Head) -> None:
    """ValueError for facts and arrays that do not belong together."""
    width = head.arrays["codes" if head.kind == "knn" else "intercept"].shape
    n_outputs = int(width[0]) if head.classes is None else len(head.classes)
    coef: tuple[int, ...] = (head.n_dims, n_outputs)
    if head.kind == "knn":
        coef, codes, k = (*width, head.n_dims), head.arrays["codes"], head.info["k"]
        fits = head.arrays["rows"].shape == coef and codes.dtype.kind == "i" and 1 <= k <= codes.size
        fits = fits and int(codes.min()) >= 0 and int(codes.max()) < n_outputs
    else:
        fits = head.arrays["coef"].shape == coef and width == (n_outputs,)
    known = head.task in TASKS and head.kind in HEADS and head.scale in SCALES
    known = known and head.activation in (None, *ACTIVATIONS) and (head.classes is None) == (head.task == "regression")
    seen = head.seen is None if head.classes is None else head.seen is not None and len(head.seen) == n_outputs
    if not (fits and known and seen and 0 < head.temperature < np.inf):
        raise ValueError(f'the facts of "{head.backbone}" and its arrays do not go together')


def as_classes(values: list[Any]) -> npt.NDArray[Any]:
    """Class labels as an array: int64 where all are integers, else str objects and the like as they are."""
    if all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.int64)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
