"""Finetuned: the network and head that labels are best used with, every recipe's score, and the folder they go into."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
from torch import nn

from ..adapt import Heads
from ..errors import MissingDependency
from ..evaluation.intervals import Interval
from ..features.backbones import Backbone
from ..strategies.result import write_table
from .judging import Score

REPORT = "report.json"


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What `finetune` found.

    recipe    the one in use: "probe" where none was better for certain    variant  of it, None where there is no choice
    reason    why these recipes were tried, and why this one is used, one sentence each
    backbone  the network in use: the base itself for "probe"              heads     its linear head, one backbone
    scores    of every recipe with all labels, the probe first             curve     the same with fewer labels
    notes     what the labels do not tell, and what was left out           record    settings, pictures, hashes, seconds
    adapter   LoRA: the peft model before merging
    """

    recipe: str
    variant: str | None
    reason: tuple[str, ...]
    backbone: Backbone
    heads: Heads
    scores: tuple[Score, ...]
    curve: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    adapter: nn.Module | None = None

    def __repr__(self) -> str:
        return f"Finetuned({self.recipe}, {len(self.scores)} recipes compared)"

    def __str__(self) -> str:
        lines = [f"{self.recipe}{'' if self.variant in (None, '-') else f' ({self.variant})'}: {' '.join(self.reason)}"]
        lines += [_line(found) for found in (*self.scores, *self.curve)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def predict(self, images: Any) -> npt.NDArray[Any]:
        """(n,) classes of pictures in memory, as for features.extract."""
        from .folder import predict

        return predict(self.backbone, self.heads, images)

    def to_table(self) -> pa.Table:
        """One row per recipe and count of labels: recipe, variant, n_labels (null: all that a fold leaves), accuracy,
        low, high, gain, gain_low, gain_high, gain_level, verdict, log_loss, failed."""
        rows = [_row(found) for found in (*self.curve, *self.scores)]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def to_parquet(self, path: str | PathLike[str]) -> Path:
        """Writes to_table() as Parquet, whole or not at all. Raises StoreError."""
        return write_table(self.to_table(), path)

    def to_pandas(self) -> Any:
        """to_table() as a pandas DataFrame. Raises MissingDependency without pandas."""
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise MissingDependency("to_pandas needs pandas: pip install pandas. to_table() works without.") from None
        return self.to_table().to_pandas()

    def document(self) -> dict[str, Any]:
        """Everything but networks and arrays, as JSON holds it."""
        return {
            "recipe": self.recipe,
            "variant": self.variant,
            "reason": list(self.reason),
            "notes": list(self.notes),
            "scores": [_row(found) | {"tried": found.tried} for found in self.scores],
            "curve": [_row(found) for found in self.curve],
            **self.record,
        }

    def save(self, folder: str | PathLike[str]) -> dict[str, int]:
        """Writes the network, its head and report.json (last) into the folder, each whole or not at all.

        `oneglance embed --backbone FOLDER` takes it, and `oneglance adapt predict --heads FOLDER` what that writes.
        A network given from Python comes back by load_finetuned(folder, network) only. Returns bytes by file name.
        Raises StoreError, MissingDependency (safetensors).
        """
        from .folder import save_finetuned

        return save_finetuned(self, Path(folder))


_SCHEMA = pa.schema(
    [
        ("recipe", pa.string()),
        ("variant", pa.string()),
        ("n_labels", pa.int64()),
        *((name, pa.float64()) for name in ("accuracy", "low", "high", "gain", "gain_low", "gain_high", "gain_level")),
        ("verdict", pa.string()),
        ("log_loss", pa.float64()),
        ("failed", pa.string()),
    ]
)


def _row(found: Score) -> dict[str, Any]:
    def ends(interval: Interval | None, names: tuple[str, str, str]) -> dict[str, float | None]:
        values = (None,) * 3 if interval is None else (interval.mean, interval.low, interval.high)
        return dict(zip(names, values, strict=True))

    return {
        "recipe": found.recipe,
        "variant": None if found.variant is None else str(found.variant),
        "n_labels": found.count,
        **ends(found.accuracy, ("accuracy", "low", "high")),
        **ends(found.gain, ("gain", "gain_low", "gain_high")),
        "gain_level": None if found.gain is None else found.gain.level,
        "verdict": found.verdict,
        "log_loss": found.log_loss,
        "failed": found.failed,
    }


def _line(found: Score) -> str:
    name = found.recipe if found.count is None else f"{found.recipe}, {found.count} labels"
    if found.accuracy is None:
        return f"  {name}: {found.failed}"
    text = f"  {name}: accuracy {_three(found.accuracy)}"
    if found.gain is not None:
        text += f", against the probe {_three(found.gain, '+')}: {found.verdict}"
    ends = {v: a for v, a in found.tried.items() if v.endswith(("alpha 0", "alpha 1"))}
    if found.recipe.endswith("wise_ft") and len(ends) > 1:
        text += "; " + ", ".join(f"{variant} {accuracy:.3f}" for variant, accuracy in ends.items())
    return text


def _three(interval: Interval, sign: str = "") -> str:
    return f"{interval.mean:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"
