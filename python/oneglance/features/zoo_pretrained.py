"""Folders that `oneglance pretrain` wrote: backbone.json says what the network is, weights.pt holds its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInput
from ..store.files import file_digest
from .backbones import Backbone
from .encoders.make import KINDS, SIZES, build_encoder
from .encoders.shape import Shape
from .preprocess import Preprocess
from .specs import BACKBONE_FILE, Spec, default_name, parse_spec
from .weights import load_weights, read_state_dict

FORMAT = 1
WEIGHTS_FILE = "weights.pt"


def load_pretrained(spec: Spec) -> Backbone:
    """`FOLDER`, `pretrained:FOLDER`, with ?name=, ?size= and the like. Raises InvalidInput for a folder that is
    incomplete, damaged or of a later version."""
    folder = Path(spec.model).expanduser()
    described = read_description(folder)
    weights = folder / WEIGHTS_FILE
    if spec.weights is not None:
        raise InvalidInput(f"backbone {spec.text!r}: the folder holds its weights; drop weights=.")
    if not weights.is_file() or file_digest(weights) != described["weights"]:
        raise InvalidInput(
            f"backbone {spec.text!r}: {weights} is missing or not the file that {BACKBONE_FILE} was written for. "
            "Copy the folder as a whole, or train again."
        )
    tensors = read_state_dict(weights)
    if described["kind"] == "encoder":
        module: torch.nn.Module = build_encoder(shape_of(described["shape"]))
        load_weights(module, tensors, weights, spec.text, ())
        base = None
    else:
        from .zoo import load_backbone

        try:
            base = load_backbone(random_start(parse_spec(described["base"])))
        except InvalidInput as error:
            raise InvalidInput(
                f"backbone {spec.text!r}: its network is built from {described['base']!r}. {error} A path holds from "
                f'where training was started; one that holds here may stand as "base" in {folder / BACKBONE_FILE}.'
            ) from None
        module = base.module
        load_weights(module, tensors, weights, spec.text, ())
    given = described["preprocess"]
    preprocess: Any = base.preprocess if given is None and base is not None else preprocess_of(given)
    words = base.preprocessing if given is None and base is not None else None
    own = spec.preprocess(preprocess if isinstance(preprocess, Preprocess) else Preprocess())
    return Backbone(
        module,
        own or preprocess,
        name=spec.name,
        pool=spec.pool if spec.pool != "auto" or base is None else base.pool,
        output=spec.output if base is None or spec.output is not None else base.output,
        spec=f"pretrained:{folder.name} (weights {described['weights'][:16]})",
        preprocessing=str(own) if own else words,
        call=None if base is None else base.call,
        rebuild=None if base is None else base.rebuild,
    )


def read_description(folder: Path) -> dict[str, Any]:
    """The content of backbone.json. Raises InvalidInput."""
    path = folder / BACKBONE_FILE
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = described["format"]
    except FileNotFoundError:
        raise InvalidInput(f"backbone: {folder} has no {BACKBONE_FILE}; `oneglance pretrain` writes one.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"backbone: {path} cannot be read ({type(error).__name__}). Copy it again.") from None
    if version != FORMAT:
        raise InvalidInput(f"backbone: {path} has format {version}, this version reads {FORMAT}. Update oneglance.")
    if described.get("kind") == "module":
        raise InvalidInput(
            f"backbone: {folder} holds weights of a Python module ({described.get('base')}), which cannot be built "
            f"from a string. Load {WEIGHTS_FILE} into that module and pass it from Python."
        )
    return described


def shape_of(described: Mapping[str, Any]) -> Shape:
    """The encoder's shape as the file keeps it."""
    shape = Shape(**{**described, "picture": tuple(described["picture"])})
    if shape.kind not in KINDS or shape.size not in SIZES:
        raise InvalidInput(f"backbone: no encoder {shape.kind!r} of size {shape.size!r} is known. Update oneglance.")
    return shape


def preprocess_as_dict(preprocess: Preprocess) -> dict[str, Any]:
    """For the file; preprocess_of is the way back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(preprocess).items()}


def preprocess_of(described: Mapping[str, Any]) -> Preprocess:
    """A Preprocess as the file keeps it."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in described.items()
    }
    return Preprocess(**fields)


def random_start(spec: Spec) -> Spec:
    """The same architecture without its own weights, which are replaced anyway."""
    return replace(spec, weights="random", name=spec.name or default_name(spec.model))
