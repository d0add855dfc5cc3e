"""LoRA through peft: the only place that meets it.

Batch norms are listed among the modules that an adapter saves: their buffers would otherwise be missing from it, and
it would not give the same outputs after loading.
"""

from __future__ import annotations

import copy
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InvalidInput, MissingDependency
from ..features.backbones import Backbone
from ..masks.network import norms_of
from ..masks.rules import choose_tensors
from ..masks.train import seeded
from .settings import Tuning

FOLDER = "adapter"
_CONFIG = "adapter_config.json"


def peft_library() -> Any:
    """The package. Raises MissingDependency."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers in an old way
            import peft
    except ImportError as error:
        raise MissingDependency(
            'recipe "lora" needs peft: pip install "oneglance[lora]". The other recipes work without. '
            f"({' '.join(str(error).split())[:120]})"
        ) from None
    return peft


def with_adapters(base: Backbone, plan: Tuning, number: int = 0) -> nn.Module:
    """A peft model over a copy of the network: low-rank adapters on the tensors that masks would take (convolutions,
    or linear maps of the blocks), the batch norms beside them. number tells trainings with the same seed apart.

    Raises InvalidInput where nothing can be adapted, or where peft would take other parts for batch norms.
    """
    library = peft_library()
    module = copy.deepcopy(base.module)
    targets, norms = target_modules(module), batch_norms(module)
    first_seed = int(torch.randint(2**31, (1,), generator=seeded(plan.seed, "lora", number)))
    config = library.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.lora_alpha,
        target_modules="|".join(re.escape(name) for name in targets),  # a pattern has to match the whole name
        modules_to_save=norms or None,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(first_seed)
        adapted: nn.Module = library.get_peft_model(module, config)
    return adapted


def target_modules(module: nn.Module) -> list[str]:
    """Names of the parts that get adapters; convolutions in groups, which low rank does not fit, are left out."""
    parts = dict(module.named_modules())
    names = []
    for tensor in choose_tensors(module).names:
        name = tensor.rpartition(".")[0]
        part = parts[name]
        plain = isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1)
        if plain and name and name not in names and not _inside_attention(name, parts):
            names.append(name)
    if not names:
        raise InvalidInput('recipe "lora": the network has neither linear maps nor convolutions with names to adapt.')
    return names


def _inside_attention(name: str, parts: dict[str, nn.Module]) -> bool:
    """The output map of torch's MultiheadAttention, whose weight is read without calling it."""
    return isinstance(parts.get(name.rpartition(".")[0]), nn.MultiheadAttention)


def batch_norms(module: nn.Module) -> list[str]:
    """Names of the batch norms. Raises InvalidInput where peft, which goes by the ends of names, would take others."""
    norms = {id(norm) for norm in norms_of(module)}
    names = [name for name, part in module.named_modules() if id(part) in norms]
    others = [
        key
        for key, part in module.named_modules()
        if id(part) not in norms and any(key.endswith(name) for name in names)
    ]
    if others:
        raise InvalidInput(
            f'recipe "lora": a batch norm is named as {others[0]!r} ends, and peft cannot tell the two apart. '
            "Give the network's parts names, or leave lora out."
        )
    return names


def merged(adapted: nn.Module) -> nn.Module:
    """The plain network with the adapters added into its weights: W + alpha / r B A. The peft model is used up."""
    plain: nn.Module = adapted.merge_and_unload()  # type: ignore[operator]
    return plain


def forget_adapter(folder: Path) -> None:
    """Removes an adapter that an earlier run left there; a folder that holds none stays."""
    if (folder / _CONFIG).exists():
        shutil.rmtree(folder)


def save_adapter(adapted: nn.Module, folder: Path) -> None:
    """As peft writes it: adapter_config.json and adapter_model.safetensors, with the batch norms' buffers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted.save_pretrained(str(folder))  # type: ignore[operator]
