"""Outputs of trainings on disk, one file per recipe and division, so that a killed run goes on where it stopped."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from ..errors import StoreError
from ..store.files import make_folder, write_atomic
from .judging import Outputs, Variant

_MISSING = -1.0


def write_outputs(path: Path, outputs: Outputs) -> None:
    """Whole or not at all. Raises StoreError."""
    table = [[_MISSING if value is None else float(value) for value in variant] for variant in outputs.variants]
    stream = io.BytesIO()
    np.savez_compressed(stream, variants=np.array(table), logits=outputs.logits)
    make_folder(path.parent)
    write_atomic(path, [stream.getbuffer()])


def read_outputs(path: Path) -> Outputs:
    """The inverse. Raises StoreError naming a file that cannot be read."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            table, logits = found["variants"].tolist(), found["logits"]
        variants = tuple(Variant(*_entries(row)) for row in table)
        if logits.ndim != 3 or len(logits) != len(variants):
            raise ValueError(f"shape {logits.shape} for {len(variants)} variants")
        return Outputs(variants, logits)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"checkpoint: {path} cannot be read ({type(error).__name__}: {error}). Remove it.") from error


def _entries(row: list[float]) -> tuple[float | None, int | None, float | None]:
    alpha, steps, lr = (None if value == _MISSING else value for value in row)
    return alpha, None if steps is None else int(steps), lr
