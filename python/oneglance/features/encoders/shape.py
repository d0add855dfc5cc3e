"""What says how an encoder is built."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """All that says how an encoder is built; what its file keeps.

    kind, size   "vit" or "resnet"; one of SIZES          picture   (height, width) that it is meant for
    n_channels   of the pictures                          patch     side of a ViT's patches, 0 for a ResNet
    """

    kind: str
    size: str
    picture: tuple[int, int]
    n_channels: int = 3
    patch: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "picture": list(self.picture)}
