"""From whatever a network returns to features (N, d)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import InvalidInput

POOLS = ("auto", "mean", "cls", "pooler")
_KEYS = ("image_embeds", "last_hidden_state", "x_norm_clstoken", "features", "pooler_output", "out")
_CLS = ("cls_token", "class_token", "class_embedding", "cls_embedding")


def prefix_tokens(module: torch.nn.Module) -> int:
    """Tokens before the patches (class token, registers, distillation), 0 if the network has no class token."""
    count = getattr(module, "num_prefix_tokens", None)
    if isinstance(count, int):
        return count
    names = {name.rpartition(".")[2] for name, _ in module.named_parameters()}
    if not names.intersection(_CLS):
        return 0
    holders = (module, getattr(module, "config", None))  # DINOv2 from torch.hub; transformers
    counts = (getattr(holder, "num_register_tokens", None) for holder in holders)
    registers = next((found for found in counts if isinstance(found, int)), 0)
    return 1 + registers + ("distillation_token" in names)


def has_channels_last(module: torch.nn.Module) -> bool:
    """True where the module says that its maps are (N, h, w, d), as timm's Swin does."""
    return getattr(module, "output_fmt", None) == "NHWC"


def has_class_token(module: torch.nn.Module) -> bool:
    """True if some parameter is a class token by its name; registers alone are none."""
    return any(name.rpartition(".")[2] in _CLS for name, _ in module.named_parameters())


def pick_output(output: Any, name: str, key: str | None = None, pool: str = "auto") -> tuple[torch.Tensor, str]:
    """The tensor to pool out of a tensor, tuple, dict or model output, and where it was found, in words."""
    if isinstance(output, torch.Tensor) and key is None:
        return output, "output"
    if isinstance(output, Mapping):
        wanted = key or ("pooler_output" if pool == "pooler" else None)
        tensors = [entry for entry, value in output.items() if isinstance(value, torch.Tensor)]
        if wanted is None and len(tensors) == 1:
            wanted = tensors[0]
        if wanted is None:
            wanted = next((entry for entry in _KEYS if entry in tensors), None)
        if wanted not in tensors:
            asked = f"no tensor {wanted!r}" if wanted else "several outputs and none of them is the usual one"
            raise InvalidInput(
                f'backbone "{name}" returned {asked}; it has {tensors}. Choose one with output=, '
                'e.g. "...?output=' + (str(tensors[0]) if tensors else "KEY") + '".'
            )
        return output[wanted], f"output[{wanted!r}]"
    if isinstance(output, (tuple, list)) and len(output) and key is None:
        inner, where = pick_output(output[0], name, None, pool)
        return (
            inner,
            f"first of {len(output)} outputs" if where == "output" else f"first of {len(output)}, {where}",
        )
    raise InvalidInput(
        f'backbone "{name}" must return a tensor, or a tuple or dict with one, got {type(output).__name__}'
        + (f" for output={key!r}." if key else ".")
    )


def pool_output(
    tensor: torch.Tensor, name: str, where: str, pool: str = "auto", n_prefix: int = 0, channels_last: bool = False
) -> tuple[torch.Tensor, str]:
    """(N, d) features and how they were pooled, in words.

    (N, d)        kept                         (N, d, h, w)  mean over the map (also (N, d, ...) beyond 4-D);
                                               channels_last: (N, h, w, d)
    (N, T, d)     the class token if the network has one (n_prefix > 0), else the mean over tokens;
                  "mean" leaves the n_prefix tokens out, "cls" takes the first

    Raises InvalidInput for other shapes, and for "cls" without tokens.
    """
    shape = tuple(tensor.shape)
    if tensor.ndim == 3:
        if pool == "cls" or (pool == "auto" and n_prefix > 0):
            return tensor[:, 0], f"{where}: class token"
        if n_prefix and shape[1] > n_prefix:
            return tensor[:, n_prefix:].float().mean(dim=1), f"{where}: mean over tokens without the first {n_prefix}"
        return tensor.float().mean(dim=1), f"{where}: mean over tokens"
    if pool == "cls":
        raise InvalidInput(f'backbone "{name}": pool="cls" needs tokens (N, T, d), got shape {shape}. Use pool="mean".')
    if tensor.ndim == 4 and channels_last:
        tensor = tensor.movedim(3, 1)
    if tensor.ndim >= 4:
        return tensor.float().flatten(2).mean(dim=2), f"{where}: mean over the {tensor.ndim - 2}-D map"
    if tensor.ndim == 2:
        return tensor, f"{where}: as it is"
    raise InvalidInput(
        f'backbone "{name}" must return (N, d), (N, T, d) or (N, d, h, w), got shape {shape}. '
        "Wrap the module so that it returns one vector per picture."
    )
