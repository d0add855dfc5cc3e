"""Backbone strings: `kind:name[=weights][?option=value&...]`, or a folder that `oneglance pretrain` wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import InvalidInput
from .preprocess import IMAGENET, Preprocess

KINDS = ("torchvision", "timm", "transformers", "torchscript", "pretrained")
BACKBONE_FILE = "backbone.json"
"""What a folder of `oneglance pretrain` is told by."""
_IMAGE_OPTIONS = ("size", "resize", "fit", "filter", "channels", "scale", "mean", "std")
OPTIONS = ("weights", "name", "seed", "pool", "output", *_IMAGE_OPTIONS)


@dataclass(frozen=True)
class Spec:
    """A parsed backbone string.

    text     as it was given            kind     one of KINDS
    model    architecture, folder or file
    weights  None, "random", or a file  name     the backbone's name in the store
    """

    text: str
    kind: str
    model: str
    weights: str | None
    name: str
    seed: int = 0
    pool: str = "auto"
    output: str | None = None
    image_options: Mapping[str, str] = field(default_factory=dict)

    def preprocess(self, base: Preprocess = IMAGENET) -> Preprocess | None:
        """The preprocessing that the string asks for; None if it asks for none."""
        return _preprocess(self.image_options, base) if self.image_options else None


def parse_spec(text: str) -> Spec:
    """Raises InvalidInput with the known kinds or options."""
    kind, colon, rest = text.partition(":")
    folder, mark, query = text.partition("?")
    if kind not in KINDS and (Path(folder).expanduser() / BACKBONE_FILE).is_file():
        kind, colon, rest = "pretrained", ":", f"{folder}{mark}{query}"
    if not colon or kind not in KINDS or not rest:
        raise InvalidInput(
            f"backbone {text!r}: must look like KIND:NAME with KIND one of {', '.join(KINDS)}; e.g. "
            '"torchvision:resnet18=weights.pth", "timm:vit_small_patch16_224=random", "transformers:FOLDER", '
            '"torchscript:net.pt?size=128"; or be a folder that `oneglance pretrain` wrote. From Python an nn.Module '
            "is taken as well."
        )
    body, _, query = rest.partition("?")
    options = _options(text, query)
    model, weights = body, options.pop("weights", None)
    if kind in ("torchvision", "timm") and "=" in body:
        model, _, given = body.partition("=")
        if weights is not None:
            raise InvalidInput(f"backbone {text!r}: weights are given twice, after = and as option weights=.")
        weights = given
    if weights == "" or not model:
        raise InvalidInput(f"backbone {text!r}: the model's name or the weights are empty.")
    name = options.pop("name", None) or default_name(model)
    try:
        seed = int(options.pop("seed", "0"))
    except ValueError:
        raise InvalidInput(f"backbone {text!r}: seed must be an integer.") from None
    pool, output = options.pop("pool", "auto"), options.pop("output", None)
    return Spec(text, kind, model, weights, name, seed, pool, output, options)


def _options(text: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if key not in OPTIONS or not equals:
            raise InvalidInput(f"backbone {text!r}: unknown option {part!r}. Known: {', '.join(OPTIONS)}.")
        if key in options:
            raise InvalidInput(f"backbone {text!r}: option {key!r} is given twice.")
        options[key] = unquote(value)
    return options


def default_name(model: str) -> str:
    """A store name from a model's name, file or folder: its last part, without suffix and odd characters."""
    last = Path(model.rstrip("/")).name
    stem = last.rsplit(".", 1)[0] if last.endswith((".pt", ".pth", ".ts", ".torchscript", ".zip")) else last
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", stem).lstrip("._+-") or "backbone"


def _preprocess(options: Mapping[str, str], base: Preprocess) -> Preprocess:
    fields: dict[str, Any] = {key: getattr(base, key) for key in _IMAGE_OPTIONS}
    if "size" in options:
        fields["resize"] = None
    for key, value in options.items():
        try:
            if key in ("size", "resize"):
                fields[key] = None if value == "none" else int(value)
            elif key in ("mean", "std"):
                numbers = tuple(float(number) for number in value.split(","))
                fields[key] = numbers * 3 if len(numbers) == 1 else numbers
            elif key == "scale":
                fields[key] = float(value)
            else:
                fields[key] = value.lower()
        except ValueError:
            need = "three numbers, e.g. 0.5,0.5,0.5" if key in ("mean", "std") else "a number"
            raise InvalidInput(f"backbone option {key}= must be {need}, got {value!r}.") from None
    return Preprocess(**fields)
