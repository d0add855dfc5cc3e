"""Everything about an embed run that is known before its first row is computed. Torch only for pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependency
from ..store import BackboneInfo
from .pattern_spec import PatternSpec
from .pictures import DECODING, Pictures
from .vectors import Vectors

if TYPE_CHECKING:
    import torch

    from .backbones import Backbone
    from .pattern_reader import PatternReader


@dataclass(frozen=True)
class Job:
    """infos: what the manifest will say about the backbones."""

    infos: list[BackboneInfo]


@dataclass(frozen=True)
class PictureJob(Job):
    """computes: backbone name -> arithmetic of its forward pass; readers: -> how its patterns are read, if wanted."""

    pictures: Pictures
    backbones: list[Backbone]
    device: torch.device
    computes: dict[str, str] = field(default_factory=dict)
    readers: dict[str, PatternReader] = field(default_factory=dict)


def vector_job(vectors: Vectors, dtype: str) -> Job:
    return Job(vectors.backbone_infos(dtype))


@contextmanager
def picture_job(
    pictures: Pictures, backbones: Any, device: Any, compute: str, dtype: str, patterns: PatternSpec | None = None
) -> Iterator[PictureJob]:
    """Loads the backbones, puts them on the device and runs one picture through each."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency('embedding pictures needs torch: pip install "oneglance[torch]"') from error
    from .backbones import as_backbones, pick_compute, pick_device, running
    from .extraction import probe
    from .pattern_reader import PatternReader

    loaded = as_backbones(backbones)
    where = pick_device(device)
    computes = {backbone.name: pick_compute(compute, where, backbone) for backbone in loaded}
    readers = {backbone.name: PatternReader(backbone, patterns) for backbone in loaded if patterns is not None}
    with running(loaded, where):
        ready = probe(pictures, loaded, computes, where, readers)
        infos = []
        for backbone in loaded:
            words = "none: float arrays" if ready else f"{DECODING}; {backbone.preprocessing}"
            info = backbone.info(computes[backbone.name], dtype, words)
            infos.append(replace(info, patterns=readers[backbone.name].info(dtype)) if readers else info)
        yield PictureJob(infos, pictures, loaded, where, computes, readers)
