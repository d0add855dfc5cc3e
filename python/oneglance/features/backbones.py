"""Frozen networks as feature extractors."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ..errors import InvalidInput
from ..store import BackboneInfo
from ..store.files import digest
from .pattern_spec import PatternHooks
from .pooling import POOLS, has_channels_last, pick_output, pool_output, prefix_tokens
from .preprocess import IMAGENET, in_words
from .specs import default_name, parse_spec
from .weights import model_hash

COMPUTES = ("auto", "float32", "bfloat16", "float16")


class Backbone:
    """A torch module, the preprocessing of its pictures, and the way its output becomes features.

    module      torch.nn.Module; used in eval mode under inference_mode, and handed back as it was
    preprocess  RGB PIL picture -> tensor (C, H, W); default: the usual one of ImageNet networks
                (shorter side to 256, centre 224, mean and std of ImageNet). Pictures given as float arrays skip it.
    name        folder name in the store; default: the module's class
    pool        "auto", "mean", "cls" or "pooler": see pooling.pool_output
    output      key of the output to take, where the module returns a dict
    call        how to call the module, (module, batch) -> output; default module(batch). Of a module from Python it
                counts for the store's hash of the model
    autocast    False keeps float32 arithmetic even where the device has better (TorchScript)
    hooks       PatternHooks: where the patches are, for patterns= of a module that is built in a way of its own
    rebuild     string from which the same architecture can be made again; None for a module from Python

    Raises InvalidInput.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        preprocess: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        pool: str = "auto",
        output: str | None = None,
        spec: str | None = None,
        preprocessing: str | None = None,
        call: Callable[[torch.nn.Module, torch.Tensor], Any] | None = None,
        autocast: bool = True,
        hooks: PatternHooks | None = None,
        rebuild: str | None = None,
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise InvalidInput(f"module must be a torch.nn.Module, got {type(module).__name__}.")
        if preprocess is not None and not callable(preprocess):
            raise InvalidInput(f"preprocess must be callable (picture -> tensor), got {type(preprocess).__name__}.")
        if pool not in POOLS:
            raise InvalidInput(f"pool must be one of {POOLS}, got {pool!r}.")
        self.module = module
        self.preprocess: Callable[..., Any] = preprocess or IMAGENET
        if hooks is not None and not isinstance(hooks, PatternHooks):
            raise InvalidInput(f"hooks must be a PatternHooks or None, got {type(hooks).__name__}.")
        self.name = name if name is not None else default_name(type(module).__name__)
        self.spec = spec or f"module {type(module).__module__}.{type(module).__qualname__}"
        self.preprocessing = preprocessing or in_words(self.preprocess)
        self.pool, self.output = pool, output
        self.autocast = autocast
        self.hooks = hooks
        self.rebuild = rebuild
        self.pooling = ""
        self.n_dims: int | None = None
        self.call = call
        self._n_prefix = prefix_tokens(module)

    def __repr__(self) -> str:
        return f"Backbone({self.name!r}, {self.spec})"

    def features(self, batch: torch.Tensor, compute: str = "float32") -> torch.Tensor:
        """One forward pass: batch (N, C, H, W) on the module's device -> float32 features (N, d) on the CPU.

        The module must be in eval mode already (see running()). Raises InvalidInput if the module fails, or
        returns something else than one vector per picture, or vectors of changing width.
        """
        return self.pooled(self.forward(batch, compute), batch)

    def answer(self, batch: torch.Tensor) -> Any:
        """What the module returns, in whatever mode and with whatever gradients it is run."""
        return self.module(batch) if self.call is None else self.call(self.module, batch)

    def forward(self, batch: torch.Tensor, compute: str = "float32") -> Any:
        """What the module returns for a batch. Raises InvalidInput if it fails."""
        kind = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(compute)
        try:
            with (
                torch.inference_mode(),
                torch.autocast(batch.device.type, dtype=kind) if kind is not None else contextlib.nullcontext(),
            ):
                return self.answer(batch)
        except torch.OutOfMemoryError:
            raise InvalidInput(
                f'backbone "{self.name}": the device has no memory for a batch of {len(batch)} pictures. '
                "Run again with a smaller batch_size= / --batch-size; finished shards are kept."
            ) from None
        except Exception as error:
            if "DataLoader worker" in str(error):  # raised by torch's signal handler wherever this process is
                raise
            first = str(error).strip().split("\n")[0].rstrip(".")
            raise InvalidInput(
                f'backbone "{self.name}" failed on a batch of shape {tuple(batch.shape)} {batch.dtype}: '
                f"{type(error).__name__}: {first}. Check the module and its preprocessing."
            ) from error

    def pooled(self, result: Any, batch: torch.Tensor) -> torch.Tensor:
        """The features in what forward() returned for this batch."""
        with torch.inference_mode():
            tensor, where = pick_output(result, self.name, self.output, self.pool)
            pooled, self.pooling = pool_output(
                tensor, self.name, where, self.pool, self._n_prefix, has_channels_last(self.module)
            )
            features = pooled.detach().float().cpu()
        if features.shape[0] != batch.shape[0]:
            raise InvalidInput(
                f'backbone "{self.name}" must return one row per picture: {batch.shape[0]} went in, '
                f"{features.shape[0]} came out."
            )
        if self.n_dims is None:
            self.n_dims = int(features.shape[1])
        if features.shape[1] != self.n_dims or self.n_dims == 0:
            raise InvalidInput(
                f'backbone "{self.name}" returned {features.shape[1]} features for a batch of shape '
                f"{tuple(batch.shape)}, {self.n_dims} before. Pool its output, or give all pictures one size."
            )
        return features

    def hash(self) -> str:
        """Of the module, and of the way to call it; a string says that for the networks that are built from one."""
        own = model_hash(self.module)
        if self.call is None or self.rebuild is not None:
            return own
        return digest(own.encode(), in_words(self.call).encode())

    def info(self, compute: str, dtype: str, preprocessing: str) -> BackboneInfo:
        """For the manifest; after a first batch."""
        if self.n_dims is None:
            raise InvalidInput(f'backbone "{self.name}" has not seen a batch yet.')
        return BackboneInfo(
            name=self.name,
            spec=self.spec,
            model_hash=self.hash(),
            preprocessing=preprocessing,
            pooling=self.pooling,
            compute=compute,
            n_dims=self.n_dims,
            dtype=dtype,
        )


@contextlib.contextmanager
def resting(*modules: torch.nn.Module) -> Iterator[None]:
    """Modules in eval mode inside; every part of them gets its own mode back."""
    # A frozen TorchScript module has no mode.
    modes = [(part, part.training) for module in modules for part in module.modules() if hasattr(part, "training")]
    try:
        for module in modules:
            if hasattr(module, "training"):
                module.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextlib.contextmanager
def running(backbones: Sequence[Backbone], device: torch.device) -> Iterator[None]:
    """Modules in eval mode on the device; modes and device are given back afterwards."""
    homes = [next((p.device for p in backbone.module.parameters()), None) for backbone in backbones]
    script: Any = torch.jit.optimized_execution(False)  # type: ignore[attr-defined] # else the first two batches run other code than the rest
    try:
        for backbone in backbones:
            backbone.module.to(device)
        still = resting(*(backbone.module for backbone in backbones))
        with still, torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True), script:
            yield
    finally:
        for backbone, home in zip(backbones, homes, strict=True):
            if home is not None:
                backbone.module.to(home)


def as_backbones(value: Any) -> list[Backbone]:
    """Strings, modules, Backbones, a list of these, or a dict name -> one of these. Raises InvalidInput."""
    if isinstance(value, Mapping):
        entries = [_as_backbone(entry, str(name)) for name, entry in value.items()]
    elif isinstance(value, (list, tuple)):
        entries = [_as_backbone(entry, None) for entry in value]
    else:
        entries = [_as_backbone(value, None)]
    if not entries:
        raise InvalidInput("backbones is empty; pictures need at least one backbone.")
    names = [backbone.name for backbone in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(
            f"backbones: the name {twice[0]!r} comes twice. Give one of them another name, with Backbone(name=...) "
            'or "...?name=other".'
        )
    return entries


def _as_backbone(value: Any, name: str | None) -> Backbone:
    if isinstance(value, str):
        from .zoo import load_backbone

        backbone = load_backbone(parse_spec(value))
    elif isinstance(value, Backbone):
        backbone = value if name is None else copy.copy(value)  # the caller's object keeps its name
    elif isinstance(value, torch.nn.Module):
        backbone = Backbone(value)
    else:
        raise InvalidInput(
            "backbones must be strings like 'torchvision:resnet18=random', torch modules or Backbone objects, "
            f"got {type(value).__name__}."
        )
    if name is not None:
        backbone.name = name
    return backbone


def pick_device(device: Any) -> torch.device:
    """ "auto": CUDA if there is one. Raises InvalidInput for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        first = str(error).strip().split("\n")[0]
        raise InvalidInput(f"device {device!r} cannot be used: {first}. Use 'cpu' or 'auto'.") from None
    return chosen


def pick_compute(compute: str, device: torch.device, backbone: Backbone) -> str:
    """ "auto": bfloat16 (float16 on older cards) autocast on CUDA, float32 elsewhere and for TorchScript."""
    if compute not in COMPUTES:
        raise InvalidInput(f"compute must be one of {COMPUTES}, got {compute!r}.")
    if not backbone.autocast:
        return "float32"
    if compute != "auto":
        return compute
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
