"""Vision models of transformers, from a folder or from the cache on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..errors import InvalidInput, MissingDependency
from .backbones import Backbone
from .specs import Spec
from .weights import load_weights, read_state_dict
from .zoo import broken_package, make, weights_file


class Processor:
    """An image processor as picture -> tensor, printed as its own configuration."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        tensor: torch.Tensor = self._processor(images=picture, return_tensors="pt")["pixel_values"][0]
        return tensor

    def __str__(self) -> str:
        return f"transformers {self._processor}"


def load_transformers(spec: Spec) -> Backbone:
    """`transformers:FOLDER`, `transformers:NAME` (from the cache), `...?weights=random&seed=0`, `...?weights=FILE`.

    Models of pictures and text (CLIP and the like) give their picture features.
    """
    try:
        import transformers
    except (ImportError, RuntimeError) as error:
        raise broken_package("transformers", "hf", error) from error
    hub: Any = transformers
    folder = Path(spec.model).expanduser()
    name = str(folder) if folder.is_dir() else spec.model
    file = weights_file(spec)
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)  # also for a pooler that the weights do not have
            if spec.weights is None:
                # Where peft is installed, adapters are looked for as well: on disk, too.
                module, found = hub.AutoModel.from_pretrained(
                    name, local_files_only=True, adapter_kwargs={"local_files_only": True}, output_loading_info=True
                )
                _refuse_missing(list(found["missing_keys"]), spec)
            else:
                module = hub.AutoModel.from_config(hub.AutoConfig.from_pretrained(name, local_files_only=True))
    except InvalidInput:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(_not_found(spec, folder, error)) from None
    module = module.float()  # as kept in half precision, and run in it, whatever compute= says
    if file is not None:
        load_weights(module, read_state_dict(file), file, spec.text, ("classifier.", "head."))
    preprocess: Any = None
    if not spec.image_options:
        try:
            preprocess = Processor(hub.AutoImageProcessor.from_pretrained(name, local_files_only=True))
        except ImportError as error:
            raise MissingDependency(f"backbone {spec.text!r}: {' '.join(str(error).split())[:200]}") from None
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().split("\n")[0][:200]
            raise InvalidInput(
                f"backbone {spec.text!r}: no image processor found ({first}). Put preprocessor_config.json into the "
                'folder, or state the preprocessing: "...?size=224&mean=0.5&std=0.5".'
            ) from None
    call = _picture_features if hasattr(module, "get_image_features") else _pixel_values
    return make(spec, module, preprocess, call=call)


def _refuse_missing(missing: list[str], spec: Spec) -> None:
    lacking = [key for key in missing if spec.pool == "pooler" or "pooler" not in key.split(".")]
    if lacking:
        raise InvalidInput(
            f"backbone {spec.text!r}: its weights lack {lacking[:3]} ({len(lacking)} in all), which would stay random. "
            "Give the weights of that architecture, or ask for ?weights=random."
        )


def _not_found(spec: Spec, folder: Path, error: BaseException) -> str:
    if not folder.is_dir():
        return (
            f"backbone {spec.text!r}: there is no folder {folder}, and {spec.model!r} is not in the cache on disk; "
            "nothing is downloaded. Give the folder with config.json and model.safetensors."
        )
    first = str(error).strip().split("\n")[0][:300]
    return f"backbone {spec.text!r}: the folder cannot be loaded: {first}"


def _pixel_values(module: torch.nn.Module, batch: torch.Tensor) -> object:
    return module(pixel_values=batch)


def _picture_features(module: torch.nn.Module, batch: torch.Tensor) -> object:
    output = module.get_image_features(pixel_values=batch)  # type: ignore[operator]
    pooled = getattr(output, "pooler_output", None)  # transformers 5; a plain tensor before
    return output if pooled is None else pooled


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own progress bar."""
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
