"""Weights files and the hash of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInput, MissingDependency
from ..store.files import digest

_ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]+")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "model_ema", "teacher", "student")
_PREFIXES = ("module.", "_orig_mod.")


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .pth/.pt/.th (torch.load with weights_only=True) or .safetensors file.

    Wrappers like {"state_dict": ...} and prefixes like "module." are taken off. Raises InvalidInput.
    """
    if not path.is_file():
        raise InvalidInput(f"weights: {path} does not exist. Give the file that holds the model's state dict.")
    if path.suffix.lower() == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError:
            raise MissingDependency(f"reading {path} needs the package safetensors: pip install safetensors") from None
        try:
            loaded: Any = load_file(path)
        except (SafetensorError, OSError) as error:
            raise InvalidInput(f"weights: {path} cannot be read as safetensors: {error}") from None
    else:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises its own, pickle's and zip's errors here
            first = str(error).strip().split("\n")[0]
            raise InvalidInput(
                f"weights: {path} cannot be read with torch.load(weights_only=True): {first} "
                'A TorchScript file is given as "torchscript:FILE".'
            ) from None
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded:
        raise InvalidInput(f"weights: {path} must hold a state dict (name -> tensor), got {type(loaded).__name__}.")
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise InvalidInput(f"weights: {path} holds no tensors, only {list(loaded)[:5]}.")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name[len(prefix) :]: value for name, value in tensors.items()}
    return tensors


def load_weights(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path, name: str, head: tuple[str, ...]
) -> None:
    """Puts tensors into the module; only entries below `head` (the cut-off classifier) may be left over.

    Raises InvalidInput if the module keeps a weight that the file does not hold, or of another shape.
    """
    wanted = module.state_dict()
    over = [key for key in tensors if key not in wanted and not key.startswith(head)]
    lacking = [key for key in wanted if key not in tensors and not key.endswith("num_batches_tracked")]
    other = [key for key in tensors if key in wanted and tensors[key].shape != wanted[key].shape]
    if over or lacking or other:
        parts = [("it lacks", lacking), ("it has the unknown", over), ("of another shape are", other)]
        listed = "; ".join(f"{words} {keys[:3]} ({len(keys)} in all)" for words, keys in parts if keys)
        raise InvalidInput(f'weights: {path} does not fit "{name}": {listed}. Give the weights of that architecture.')
    module.load_state_dict({key: value for key, value in tensors.items() if key in wanted}, strict=False)


def model_hash(module: torch.nn.Module) -> str:
    """Hash of the module's structure (its printed form), of every tensor of its state dict, and of buffers of floats
    that are kept out of it (a mean and a spread that a module takes its pictures by)."""
    parts = [_ADDRESS.sub("", repr(module)).encode()]
    kept = module.state_dict()
    apart = {name: value for name, value in module.named_buffers() if name not in kept and value.is_floating_point()}
    for name, value in sorted({**kept, **apart}.items()):
        if not isinstance(value, torch.Tensor):
            parts.append(f"{name} {value!r}".encode())
            continue
        flat = value.detach().cpu().contiguous().flatten()
        parts.append(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        parts.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest(*parts)
