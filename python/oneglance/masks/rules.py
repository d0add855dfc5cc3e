"""Which tensors of a network are masked: rules per architecture, and patterns of names."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import InvalidInput

FAMILIES = ("resnet", "vit", "convnext", "linear")
"""resnet: weights of all convolutions, the stem's and the shortcuts' too. vit: weights and biases of the linear maps of
attention and perceptrons in the blocks. convnext: weights of convolutions and of linear maps. linear: weights of linear
maps. Never: normalisation, embeddings, the classifier, adapters on top."""

_HEADS = frozenset({"fc", "classifier", "head", "heads", "head_dist", "lm_head", "prototypes", "last_linear"})
_ADAPTERS = re.compile(r"(^|[._])(lora|adapter|prefix|prompt)", re.IGNORECASE)
_SHORTCUT = re.compile(r"downsample|shortcut|short_cut|skip_connection", re.IGNORECASE)
_NORM = re.compile(r"norm|grn|layerscale|layer_scale", re.IGNORECASE)
_BLOCK = re.compile(r"(^|[._])\d+(\.|$)")
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_SHOWN = 12


@dataclass(frozen=True)
class Chosen:
    """The tensors that are masked, and why these.

    names     parameter names in the order of the module
    family    one of FAMILIES, or "patterns"
    n_weights scores in all      n_total  parameters of the module in all
    """

    names: tuple[str, ...]
    family: str
    n_weights: int
    n_total: int

    def __str__(self) -> str:
        share = self.n_weights / max(1, self.n_total)
        shown = ", ".join(self.names[:3]) + (", ..." if len(self.names) > 3 else "")
        return f"{self.family}: {len(self.names)} tensors, {self.n_weights:,} weights ({share:.0%}): {shown}"


def choose_tensors(module: nn.Module, tensors: str | Sequence[str] = "auto", *, shortcut_norms: bool = False) -> Chosen:
    """The tensors to mask.

    tensors  "auto": the family is told from the module's parts; a family's name; or a list of patterns of parameter
             names ("layer1.*", with * ? [] as in a shell), applied in order: "!pattern" takes names out again, and a
             family's name or "auto" stands for its tensors. Normalisation is taken only by its full name
    shortcut_norms  weights and biases of norm layers in ResNet shortcuts as well, as the paper's code does

    Raises InvalidInput: nothing to mask, or a pattern that matches nothing (the tensors are listed).
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise InvalidInput(
            "backbone is a TorchScript module, whose weights cannot be replaced from outside. Give the nn.Module."
        )
    shapes = {name: tuple(value.shape) for name, value in module.named_parameters() if value.is_floating_point()}
    parts = [tensors] if isinstance(tensors, str) else list(tensors)
    if not parts or not all(isinstance(part, str) and part for part in parts):
        raise InvalidInput(f"tensors must be 'auto', one of {FAMILIES} or a list of patterns, got {tensors!r}.")
    family = family_of(module) if parts == ["auto"] else parts[0] if len(parts) == 1 else "patterns"
    taken: set[str] = set()
    norms = _norm_parameters(module)
    for part in parts:
        if part == "auto" or part in FAMILIES:
            taken |= set(_by_family(module, family_of(module) if part == "auto" else part))
            continue
        family = "patterns"
        pattern = part.removeprefix("!")
        found = {name for name in shapes if fnmatch.fnmatchcase(name, pattern)}
        if not found:
            raise InvalidInput(f"tensors: {part!r} matches no parameter. {_listing(shapes)}")
        taken = taken - found if part.startswith("!") else taken | {n for n in found if n not in norms or n == pattern}
    if shortcut_norms:
        taken |= {name for name in norms if _SHORTCUT.search(name) and name in shapes}
    names = tuple(name for name in shapes if name in taken)
    if not names:
        raise InvalidInput(f"tensors={tensors!r} leaves nothing to mask. {_listing(shapes)}")
    sizes = {name: int(value.numel()) for name, value in module.named_parameters()}
    return Chosen(names, family, sum(sizes[name] for name in names), sum(sizes.values()))


def family_of(module: nn.Module) -> str:
    """The family by the module's parts: "vit" where attention's linear maps outweigh convolutions, "convnext" for
    convolutions with layer norms, "resnet" for other convolutions, else "linear"."""
    weights: Counter[str] = Counter()
    attention = layer_norm = batch_norm = False
    for name, part in module.named_modules():
        kind = type(part).__name__.lower()
        attention = attention or isinstance(part, nn.MultiheadAttention) or "attention" in kind
        layer_norm = layer_norm or ("layernorm" in kind or "rmsnorm" in kind)
        batch_norm = batch_norm or ("batchnorm" in kind or "batch_norm" in kind)
        if isinstance(part, _CONVS):
            weights["conv"] += part.weight.numel()
        elif isinstance(part, nn.Linear) and not _is_head(name):
            weights["linear"] += part.weight.numel()
        elif isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
            weights["linear"] += part.in_proj_weight.numel()
    if attention and weights["linear"] > weights["conv"]:
        return "vit"
    if weights["conv"]:
        return "convnext" if layer_norm and not batch_norm else "resnet"
    return "linear"


def _by_family(module: nn.Module, family: str) -> list[str]:
    names = []
    for name, part in module.named_modules():
        if _is_head(name) or _ADAPTERS.search(name):
            continue
        own = [key for key, value in part.named_parameters(recurse=False) if value.is_floating_point()]
        if isinstance(part, _CONVS):
            kept = ["weight"] if family in ("resnet", "convnext") else []
        elif isinstance(part, nn.Linear):
            kept = {"vit": ["weight", "bias"], "convnext": ["weight"], "linear": ["weight"]}.get(family, [])
            if family == "vit" and not _BLOCK.search(name):
                kept = []
        elif isinstance(part, nn.MultiheadAttention) and family == "vit":
            kept = ["in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"]
        else:
            kept = []
        names += [f"{name}.{key}" if name else key for key in own if key in kept]
    there = {name for name, _ in module.named_parameters()}  # a tied tensor has its first name only
    return [name for name in names if name in there]


def _is_head(name: str) -> bool:
    """A classifier: one of the usual names, not inside a numbered block."""
    before, _, last = name.rpartition(".")
    parts = name.split(".")
    return bool(name) and (last in _HEADS or bool(_HEADS & set(parts))) and not _BLOCK.search(before + ".")


def _norm_parameters(module: nn.Module) -> set[str]:
    found = set()
    for name, part in module.named_modules():
        if _NORM.search(type(part).__name__):
            found |= {f"{name}.{key}" if name else key for key, _ in part.named_parameters(recurse=False)}
    return found


def _listing(shapes: dict[str, tuple[int, ...]]) -> str:
    shown = [f"{name} {list(shape)}" for name, shape in list(shapes.items())[:_SHOWN]]
    more = f" and {len(shapes) - _SHOWN} more" if len(shapes) > _SHOWN else ""
    return f"The module has {', '.join(shown)}{more}." if shapes else "The module has no parameters."
