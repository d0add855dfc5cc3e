"""A backbone as files: weights.pt with its tensors, backbone.json with how to build it. zoo_pretrained reads them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch

from ..store.files import digest, json_bytes
from .backbones import Backbone
from .encoders import SmallResNet, SmallViT
from .preprocess import Preprocess
from .specs import BACKBONE_FILE
from .zoo_pretrained import FORMAT, WEIGHTS_FILE, preprocess_as_dict


def backbone_files(backbone: Backbone, provenance: Mapping[str, Any]) -> dict[str, bytes]:
    """Contents by file name, in the order in which they are written: backbone.json last, with the hash of the weights.

    provenance  where the weights come from, any JSON. The same backbone gives the same bytes
    """
    stream = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in backbone.module.state_dict().items()}, stream)
    weights = stream.getvalue()
    document = {"format": FORMAT, **describe(backbone), "weights": digest(weights), "provenance": dict(provenance)}
    return {WEIGHTS_FILE: weights, BACKBONE_FILE: json_bytes(document)}


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
