"""timm models without classifier, with the preprocessing of their configuration."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInput
from .backbones import Backbone
from .specs import Spec
from .weights import read_state_dict
from .zoo import broken_package, make, weights_file


def load_timm(spec: Spec) -> Backbone:
    """`timm:NAME`, `timm:NAME=FILE`, `timm:NAME=random?seed=0`; pool=mean|cls works on the token or map output."""
    try:
        import timm.data
    except (ImportError, RuntimeError) as error:
        raise broken_package("timm", "timm", error) from error
    if not timm.is_model(spec.model):
        close = difflib.get_close_matches(spec.model.partition(".")[0], timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise InvalidInput(f"backbone {spec.text!r}: timm has no model {spec.model!r}.{hint}")
    file = weights_file(spec)
    if file is None and spec.weights is None:
        file = _cached(spec)
    try:
        module = _create(spec)
    except (RuntimeError, ValueError) as error:  # an unknown tag after the dot
        raise InvalidInput(f"backbone {spec.text!r}: {str(error).strip().splitlines()[0]}") from None
    if file is not None:
        fresh = module
        try:
            module = _create(spec, pretrained=True, pretrained_cfg_overlay={"state_dict": read_state_dict(file)})
        except (RuntimeError, KeyError, ValueError) as error:
            first = " ".join(str(error).split())[:300]
            raise InvalidInput(f"weights: {file} does not fit {spec.text!r}: {first}") from None
        _refuse_untouched(fresh, module, file, spec)
    data: Any = timm.data
    transform = data.create_transform(**data.resolve_model_data_config(module), is_training=False)
    call = None if spec.pool == "auto" else _forward_features
    return make(spec, module, transform, call=call)


def _create(spec: Spec, **arguments: Any) -> torch.nn.Module:
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        module: torch.nn.Module = timm.create_model(spec.model, num_classes=0, **{"pretrained": False, **arguments})
    return module


def _forward_features(module: torch.nn.Module, batch: torch.Tensor) -> object:
    return module.forward_features(batch)  # type: ignore[operator]


def _refuse_untouched(fresh: torch.nn.Module, loaded: torch.nn.Module, file: Path, spec: Spec) -> None:
    # timm loads without strictness once the classifier is gone: what a file lacks would stay random, silently.
    before = dict(fresh.named_parameters())
    kept = [
        name
        for name, value in loaded.named_parameters()
        if value.numel() > 1 and bool((value != value.flatten()[0]).any()) and torch.equal(value, before[name])
    ]
    if kept:
        raise InvalidInput(
            f"weights: {file} does not fit {spec.text!r}: it lacks {kept[:3]} ({len(kept)} in all). "
            "Give the weights of that architecture."
        )


def _cached(spec: Spec) -> Path:
    import timm

    config = timm.get_pretrained_cfg(spec.model)
    hub_id = getattr(config, "hf_hub_id", None)
    if hub_id:
        from huggingface_hub import try_to_load_from_cache

        for name in ("model.safetensors", "pytorch_model.bin"):
            found = try_to_load_from_cache(hub_id, name)
            if isinstance(found, str):
                return Path(found)
    where = f" (the file is model.safetensors of {hub_id})" if hub_id else ""
    raise InvalidInput(
        f'backbone {spec.text!r}: no weights on disk, and nothing is downloaded. Give a file with "timm:{spec.model}'
        f'=FILE"{where}, or take random weights with "timm:{spec.model}=random".'
    )
