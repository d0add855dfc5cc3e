"""torchvision's image classifiers, cut before their last linear layer."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInput
from .backbones import Backbone
from .preprocess import IMAGENET
from .specs import Spec
from .weights import load_weights, read_state_dict
from .zoo import broken_package, make, weights_file

_HEADS = ("fc", "classifier", "heads", "head")
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # training-time branches of GoogLeNet and Inception
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def load_torchvision(spec: Spec) -> Backbone:
    """`torchvision:NAME`, `torchvision:NAME=FILE`, `torchvision:NAME=random?seed=0`.

    Preprocessing is that of the weights: of the published ones that the file's name belongs to, else of the
    model's default weights.
    """
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:
        raise broken_package("torchvision", "vision", error) from error
    known = models.list_models(module=models)
    if spec.model not in known:
        close = difflib.get_close_matches(spec.model, known, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else f" There are {', '.join(known[:6])}, ..."
        raise InvalidInput(f"backbone {spec.text!r}: torchvision has no image classifier {spec.model!r}.{hint}")
    published = list(models.get_model_weights(spec.model))
    default = getattr(models.get_model_weights(spec.model), "DEFAULT", None)
    file = weights_file(spec)
    if file is None and spec.weights is None:
        file = _cached(spec, default)
    chosen = next((entry for entry in published if file and entry.url.endswith("/" + file.name)), default)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        module = models.get_model(spec.model, weights=None, **_arguments(spec.model, file is not None))
    head = cut_head(module, spec.text)
    if file is not None:
        tensors = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in read_state_dict(file).items()}
        load_weights(module, tensors, file, spec.text, (head + ".", *_AUXILIARY))
    transforms: Any = chosen.transforms() if chosen is not None else IMAGENET
    return make(spec, module, transforms)


def _arguments(model: str, trained: bool) -> dict[str, Any]:
    if model not in ("googlenet", "inception_v3"):
        return {}
    return {"aux_logits": False, "transform_input": trained, "init_weights": not trained}


def _cached(spec: Spec, default: Any) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    url = default.url if default is not None else ""
    path = folder / url.rpartition("/")[2]
    if url and path.is_file():
        return path
    raise InvalidInput(
        f"backbone {spec.text!r}: no weights on disk, and nothing is downloaded. Give a file with "
        f'"torchvision:{spec.model}=FILE"' + (f", put {url} into {folder}" if url else "") + ", or take random weights "
        f'with "torchvision:{spec.model}=random".'
    )


def cut_head(module: torch.nn.Module, text: str) -> str:
    """Replaces the last linear layer of the classifier by nothing; returns the path that was cut off."""
    name = next((name for name in _HEADS if hasattr(module, name)), None)
    if name is None:
        raise InvalidInput(f"backbone {text!r}: no classifier found to cut off. Pass the module from Python instead.")
    head = getattr(module, name)
    if isinstance(head, torch.nn.Sequential):
        linear = [key for key, layer in head.named_children() if isinstance(layer, torch.nn.Linear)]
        if linear:
            setattr(head, linear[-1], torch.nn.Identity())
            return f"{name}.{linear[-1]}"
        setattr(module, name, torch.nn.AdaptiveAvgPool2d(1))  # SqueezeNet classifies by a convolution
        return name
    setattr(module, name, torch.nn.Identity())
    return name
