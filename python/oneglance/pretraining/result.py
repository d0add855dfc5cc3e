"""What comes out of a pretraining."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ..features.backbones import Backbone
from .course import Course
from .files import save_backbone
from .preparing import plain
from .ranks import world


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What came out.

    backbone   for embed, with its preprocessing          course    curve, times and alarms
    settings   what was chosen, stages included           bad       row of the source -> reason
    provenance where it comes from: method, pool, start   path      the folder, where one was written
    """

    backbone: Backbone
    course: Course
    settings: dict[str, Any]
    provenance: dict[str, Any]
    bad: dict[int, str] = field(default_factory=dict)
    path: Path | None = None

    @property
    def curve(self) -> list[dict[str, float | int | str]]:
        """One entry per epoch: stage, epoch, loss, lr and what the method watches."""
        return self.course.curve

    @property
    def sheet(self) -> Image.Image | None:
        """Of methods that hide patches: for 8 pictures what was seen, what was told, what is there."""
        return None if self.course.sheet is None else Image.fromarray(self.course.sheet.numpy())

    @property
    def alarms(self) -> list[str]:
        """What the monitors said: collapse, prototypes unused."""
        return self.course.alarms

    def record(self) -> dict[str, Any]:
        """How it went, for record.json."""
        return {
            "settings": self.settings,
            "wall_s": round(self.course.wall_s, 3),
            "cpu_s": round(self.course.cpu_s, 3),
            "processes": world(),
            "alarms": list(self.alarms),
            "bad": plain(self.bad),
            "curve": self.curve,
        }

    def save(self, folder: str | os.PathLike[str]) -> dict[str, int]:
        """Writes backbone.json, weights.pt and record.json; name -> bytes. Raises StoreError."""
        return save_backbone(Path(folder), self.backbone, self.provenance, self.record(), self.sheet)

    def __repr__(self) -> str:
        last = self.curve[-1]
        return f"Pretrained({self.provenance['method']}, {len(self.curve)} epochs, loss {last['loss']:.4g})"
