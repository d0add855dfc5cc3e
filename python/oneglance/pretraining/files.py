"""The folder of a pretrained backbone: backbone.json, weights.pt and record.json, each whole or absent.

weights.pt is a state dict that torch.load(weights_only=True) reads. backbone.json says how to build the network and
where it comes from; it is written last of the two and holds the hash of the weights. The same run gives the same bytes.
record.json says how the training went, with times.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInput
from ..features.backbones import Backbone
from ..features.encoders import SmallResNet, SmallViT
from ..features.preprocess import Preprocess
from ..features.specs import BACKBONE_FILE
from ..features.zoo_pretrained import FORMAT, WEIGHTS_FILE, preprocess_as_dict
from ..store.files import digest, json_bytes, make_folder, write_atomic

RECORD_FILE = "record.json"


def save_backbone(
    folder: Path, backbone: Backbone, provenance: Mapping[str, Any], record: Mapping[str, Any]
) -> dict[str, int]:
    """Writes the three files; file name -> bytes. Raises StoreError."""
    stream = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in backbone.module.state_dict().items()}, stream)
    weights = stream.getvalue()
    document = {"format": FORMAT, **describe(backbone), "weights": digest(weights), "provenance": dict(provenance)}
    make_folder(folder)
    (folder / BACKBONE_FILE).unlink(missing_ok=True)  # it always describes the weights beside it
    parts = {RECORD_FILE: json_bytes(dict(record)), WEIGHTS_FILE: weights, BACKBONE_FILE: json_bytes(document)}
    for name, content in parts.items():
        write_atomic(folder / name, [content])
    return {name: len(content) for name, content in parts.items()}


def describe(backbone: Backbone) -> dict[str, Any]:
    """How to build it again: an encoder by its shape, another network by its string; a module from Python only by its
    name, which is no more than a note."""
    preprocess = preprocess_as_dict(backbone.preprocess) if type(backbone.preprocess) is Preprocess else None
    module = backbone.module
    if isinstance(module, (SmallViT, SmallResNet)) and module.shape is not None:
        return {"kind": "encoder", "shape": module.shape.as_dict(), "preprocess": preprocess}
    if backbone.rebuild is not None:
        return {"kind": "backbone", "base": backbone.rebuild, "preprocess": preprocess}
    return {"kind": "module", "base": backbone.spec, "preprocess": preprocess}


def check_out(folder: Path, overwrite: bool) -> None:
    """Raises InvalidInput, before any work, if a backbone is there already."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"out: {folder} is a file, a folder is needed. Choose another name.")
    if (folder / BACKBONE_FILE).exists() and not overwrite:
        raise InvalidInput(
            f"out: {folder} holds a backbone already. Choose another folder, or overwrite=True / --overwrite."
        )
