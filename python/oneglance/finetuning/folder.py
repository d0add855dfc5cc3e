"""The folder of a fine-tuned backbone: the network as embed reads it, its head as predict reads it, and the report."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..adapt import Head, Heads, load_heads
from ..adapt.files import ARRAYS, FACTS, heads_library
from ..adapt.named import hash_of_entry
from ..errors import InvalidInput, StoreError
from ..features import extract
from ..features.backbones import Backbone, as_backbones
from ..features.pictures import DECODING
from ..features.saved import backbone_files
from ..features.specs import BACKBONE_FILE, default_name
from ..features.zoo_pretrained import WEIGHTS_FILE
from ..store.files import digest, json_bytes, make_folder, write_atomic
from .choosing import Used
from .labelled import Labels
from .lora import FOLDER as ADAPTER
from .lora import forget_adapter, save_adapter
from .result import REPORT, Finetuned
from .tunable import LinearHead


def heads_of(backbone: Backbone, head: LinearHead, labels: Labels, used: Used, *, ready: bool) -> Heads:
    """The head as `fit_heads` would give it; backbone: has seen a batch. ready: pictures come preprocessed."""
    words = "none: float arrays" if ready else f"{DECODING}; {backbone.preprocessing}"
    entry = {"model_hash": backbone.hash(), "preprocessing": words, "pooling": backbone.pooling}
    one = Head(
        backbone.name,
        hash_of_entry(entry),
        len(head.coef),
        "classification",
        "linear",
        labels.names,
        np.ones(len(labels.names), dtype=np.bool_),
        "normalise",
        {"coef": head.coef, "intercept": head.intercept},
        None,
        used.temperature,
        {"recipe": used.recipe.name, "variant": str(used.variant), "n_labelled": int(labels.rows.size)},
    )
    return Heads({backbone.name: one}, "classification", labels.names)


def save_finetuned(made: Finetuned, folder: Path) -> dict[str, int]:
    """See Finetuned.save. The report is written last: with it, the folder is whole."""
    heads_library()
    files = backbone_files(made.backbone, {"by": "finetune", "recipe": made.recipe, "variant": made.variant})
    make_folder(folder)
    for name in (REPORT, BACKBONE_FILE, FACTS):  # each describes files beside it
        (folder / name).unlink(missing_ok=True)
    forget_adapter(folder / ADAPTER)
    for name, content in files.items():
        write_atomic(folder / name, [content])
    # embed calls a backbone by its folder.
    name = default_name(str(folder.resolve()))
    (head,) = made.heads.values()
    replace(made.heads, heads={name: replace(head, backbone=name)}).save(folder)
    if made.adapter is not None:
        save_adapter(made.adapter, folder / ADAPTER)
    write_atomic(folder / REPORT, [json_bytes(made.document())])
    return {name: (folder / name).stat().st_size for name in (*files, ARRAYS, FACTS, REPORT)}


@dataclass(frozen=True, eq=False)
class Loaded:
    """A fine-tuned network and its head, as saved. report: what report.json says."""

    backbone: Backbone
    heads: Heads
    report: dict[str, Any]

    def predict(self, images: Any) -> npt.NDArray[Any]:
        """(n,) classes of pictures in memory, as for features.extract."""
        return predict(self.backbone, self.heads, images)


def predict(backbone: Backbone, heads: Heads, images: Any) -> npt.NDArray[Any]:
    """(n,) classes of pictures in memory."""
    return np.asarray(next(iter(heads.predict(extract(backbone, images)).values())))


def load_finetuned(folder: str | PathLike[str], model: Any = None) -> Loaded:
    """A folder that Finetuned.save wrote.

    model  the network that was tuned, where it was given from Python: an nn.Module or a Backbone; it stays as it is
    Raises StoreError (missing, damaged), InvalidInput (another network, or a model that is needed).
    """
    place = Path(folder)
    try:
        report: dict[str, Any] = json.loads((place / REPORT).read_text(encoding="utf-8"))
        described: Mapping[str, Any] = json.loads((place / BACKBONE_FILE).read_text(encoding="utf-8"))
        weights = (place / WEIGHTS_FILE).read_bytes()
        whole = digest(weights) == described["weights"]
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{place} holds no fine-tuned backbone: {error}. Write one with Finetuned.save.") from error
    if not whole:
        raise StoreError(f"{place / WEIGHTS_FILE} is not the file that {BACKBONE_FILE} was written for. Save again.")
    if described["kind"] != "module":
        (backbone,) = as_backbones([str(place)])
        return Loaded(backbone, load_heads(place), report)
    if model is None:
        raise InvalidInput(
            f"model is needed: {place} holds the weights of a network from Python ({described['base']}). "
            "Call load_finetuned(folder, network)."
        )
    (base,) = as_backbones([model])
    backbone = copy.copy(base)
    backbone.module = _with_weights(base.module, weights, place)
    backbone.spec = f"{base.spec}, fine-tuned"
    return Loaded(backbone, load_heads(place), report)


def _with_weights(module: nn.Module, weights: bytes, place: Path) -> nn.Module:
    changed = copy.deepcopy(module)
    tensors = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    try:
        changed.load_state_dict(tensors)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise InvalidInput(f"model is another network than {place / WEIGHTS_FILE} was saved from: {first}.") from None
    return changed
