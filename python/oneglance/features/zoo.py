"""Backbones from strings: torchvision, timm, transformers, TorchScript files, folders of `oneglance pretrain`.

Nothing is ever downloaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from ..errors import InvalidInput, MissingDependency
from .backbones import Backbone
from .preprocess import IMAGENET, Preprocess, in_words
from .specs import Spec


def load_backbone(spec: Spec) -> Backbone:
    """The backbone of a parsed string, on the CPU.

    Weights come from the file named in the string, from the library's own cache on disk, or are random by the
    string's seed. Raises InvalidInput (no such model, weights not on disk) and MissingDependency.
    """
    loaders: dict[str, Callable[[Spec], Backbone]] = {
        "torchvision": _torchvision,
        "timm": _timm,
        "transformers": _transformers,
        "torchscript": load_torchscript,
        "pretrained": _pretrained,
    }
    return loaders[spec.kind](spec)


def _torchvision(spec: Spec) -> Backbone:
    from .zoo_torchvision import load_torchvision

    return load_torchvision(spec)


def _timm(spec: Spec) -> Backbone:
    from .zoo_timm import load_timm

    return load_timm(spec)


def _transformers(spec: Spec) -> Backbone:
    from .zoo_transformers import load_transformers

    return load_transformers(spec)


def _pretrained(spec: Spec) -> Backbone:
    from .zoo_pretrained import load_pretrained

    return load_pretrained(spec)


def broken_package(package: str, extra: str, error: BaseException) -> MissingDependency:
    """A package that is not there, or does not import (e.g. built for another torch)."""
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return MissingDependency(f'backbone "{package}:..." needs {package}: pip install "oneglance[{extra}]"')
    first = str(error).strip().split("\n")[0]
    culprit = "torchvision" if "torchvision" in first else package
    through = "" if culprit == package else f", which {package} needs,"
    return MissingDependency(
        f"{culprit}{through} is installed but cannot be imported ({type(error).__name__}: {first}). Its version must "
        f"fit torch {torch.__version__}; reinstall the two together."
    )


def weights_file(spec: Spec) -> Path | None:
    """The file named in the string; None for none, or for "random"."""
    return None if spec.weights in (None, "random") else Path(str(spec.weights)).expanduser()


def full_text(spec: Spec) -> str:
    """The string for the manifest; a random start names its seed."""
    return f"{spec.text} (random weights, seed {spec.seed})" if spec.weights == "random" else spec.text


def make(
    spec: Spec,
    module: torch.nn.Module,
    preprocess: Callable[..., object],
    words: str | None = None,
    call: Callable[[torch.nn.Module, torch.Tensor], object] | None = None,
    *,
    autocast: bool = True,
) -> Backbone:
    """A Backbone with what the string asks for on top."""
    own = spec.preprocess()
    return Backbone(
        module,
        own or preprocess,
        name=spec.name,
        pool=spec.pool,
        output=spec.output,
        spec=full_text(spec),
        preprocessing=str(own) if own else words or in_words(preprocess),
        call=call,
        autocast=autocast,
        rebuild=spec.text,
    )


def load_torchscript(spec: Spec) -> Backbone:
    """`torchscript:FILE?size=128&channels=bgr&scale=255&mean=104,117,123&std=1`; the file says nothing about
    its preprocessing, so what the string leaves out is the usual one of ImageNet networks."""
    path = Path(spec.model).expanduser()
    if not path.is_file():
        raise InvalidInput(f"backbone {spec.text!r}: the file {path} does not exist.")
    if spec.weights is not None:
        raise InvalidInput(f"backbone {spec.text!r}: a TorchScript file holds its weights; drop weights=.")
    try:
        with warnings.catch_warnings():
            # torch 2.13 deprecates TorchScript in favour of torch.export; the files that people have stay.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit.*")
            module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        raise InvalidInput(
            f"backbone {spec.text!r}: {path} cannot be read as TorchScript ({first}). A state dict is given as "
            '"torchvision:NAME=FILE" or "timm:NAME=FILE".'
        ) from None
    preprocess = spec.preprocess(IMAGENET) or Preprocess(size=224, resize=256)
    return make(spec, module, preprocess, str(preprocess), autocast=False)
