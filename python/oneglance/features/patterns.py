"""Patterns of pictures in memory, without a store."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import positive_int
from .._types import Patterns
from ..errors import InvalidInput
from .backbones import as_backbones, pick_compute, pick_device, running
from .loading import Task, load_batch
from .pattern_filter import cluster_patches
from .pattern_reader import PatternReader
from .pattern_spec import PatternSpec, as_pattern_spec
from .pictures import MemoryPictures


def extract_patterns(
    backbone: Any,
    images: Any,
    spec: Any = True,
    *,
    batch_size: int = 64,
    device: Any = "cpu",
    compute: str = "float32",
) -> Patterns:
    """Local features of pictures in memory, as embed(patterns=) keeps them.

    backbone  an nn.Module (with ImageNet preprocessing), a Backbone, or a backbone string
    images    as for extract(): PIL images, uint8 arrays, or float arrays / tensors (C, H, W) taken as preprocessed
    spec      PatternSpec; also True, a number of patterns per picture, or a dict of its fields
    Returns Patterns in the order of the images, float32: rows (m, d), offsets (n + 1,), at least one per image.
    Cost: one forward pass and the k-means of every picture's patches; memory O(batch patches + m d).

    Raises InvalidInput: no images, a picture that cannot be used, patches that are not finite, or a network whose
    patches or attention cannot be had (the message says what to do).
    """
    positive_int(batch_size, "batch_size")
    wanted = as_pattern_spec(spec) or PatternSpec()
    (chosen,) = as_backbones([backbone])
    where = pick_device(device)
    arithmetic = pick_compute(compute, where, chosen)
    pictures = MemoryPictures(images if hasattr(images, "__len__") and hasattr(images, "__getitem__") else list(images))
    if len(pictures) == 0:
        raise InvalidInput("images is empty; at least one picture is needed.")
    chosen.n_dims = None
    reader = PatternReader(chosen, wanted)
    found: list[npt.NDArray[np.float32]] = []
    with running([chosen], where):
        for first in range(0, len(pictures), batch_size):
            task = Task(0, first, min(first + batch_size, len(pictures)), (chosen.name,))
            batch = load_batch(pictures, {chosen.name: chosen.preprocess}, task)
            for row, reason in [*batch.bad.items(), *batch.failed[chosen.name].items()]:
                raise InvalidInput(f"images[{row}] cannot be used: {reason}.")
            own: dict[int, npt.NDArray[np.float32]] = {}
            for rows, tensor in batch.tensors[chosen.name]:
                if reader.n_dims == 0:
                    reader.prepare(tensor[:1].to(where), arithmetic)
                _, patches = reader.read(tensor.to(where), arithmetic)
                own.update(zip(rows, cluster_patches(patches, rows, wanted), strict=True))
            found += [own[row] for row in range(task.first, task.stop)]
    empty = [row for row, rows in enumerate(found) if len(rows) == 0]
    if empty:
        raise InvalidInput(
            f'backbone "{chosen.name}": patches of images {empty[:5]} ({len(empty)} in all) are not finite. '
            "Check the module's weights and preprocessing."
        )
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in found])]).astype(np.int64)
    return Patterns(np.concatenate(found), offsets)  # type: ignore[arg-type]
