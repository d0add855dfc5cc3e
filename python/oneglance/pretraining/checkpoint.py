"""A training as it stands, in one file that is whole or absent."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidInput, OneglanceError, StoreError
from ..store.files import make_folder, write_atomic
from .course import Course
from .objective import Objective

_VERSION = 1


def save_checkpoint(
    path: Path,
    mark: str,
    stage: int,
    step: int,
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    course: Course,
) -> None:
    """`step` is the next one. Raises StoreError (disk full, ...); an older checkpoint stays then."""
    content = {
        "version": _VERSION,
        "mark": mark,
        "stage": stage,
        "step": step,
        "objective": objective.state_dict(),
        "optimiser": optimiser.state_dict(),
        "course": asdict(course),
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    make_folder(path.parent)
    write_atomic(path, [stream.getbuffer()])


def read_checkpoint(path: Path, mark: str) -> dict[str, Any] | None:
    """None if there is none. Raises InvalidInput for one of another training, StoreError for one that is damaged."""
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["version"] != _VERSION or content["mark"] != mark:
            raise InvalidInput(
                f"checkpoint: {path} was written for other pictures, another encoder or other settings (the number of "
                "processes is one). Repeat the call with the former ones, name another place, or begin anew with "
                "fresh=True / --fresh."
            )
    except OneglanceError:
        raise
    except Exception as error:  # torch.load raises its own, pickle's and zip's errors
        first = str(error).strip().split("\n")[0]
        raise StoreError(
            f"checkpoint: {path} cannot be read ({type(error).__name__}: {first}). Begin anew, fresh=True / --fresh."
        ) from error
    return content
