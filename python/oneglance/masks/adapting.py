"""adapt_masks: a frozen backbone and unlabelled pictures in, a SelfMask with a verdict out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._check import positive_number
from ..errors import InvalidInput
from ..features.backbones import as_backbones
from ..features.listfile import Columns
from ..features.pictures import MAX_PIXELS
from ..features.progress import Callback, as_callback
from .job import Job
from .pool import opened
from .rules import choose_tensors
from .self_mask import SelfMask
from .train import EVERY_S


def adapt_masks(
    backbone: Any,
    images: Any,
    *,
    labels: Any = None,
    supervised: bool = False,
    tensors: str | Sequence[str] = "auto",
    shortcut_norms: bool = False,
    start: SelfMask | None = None,
    crops: Mapping[str, Any] | None = None,
    n_classes: int | None = None,
    device: Any = "auto",
    compute: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every_s: float = EVERY_S,
    keep_checkpoint: bool = False,
    guard: bool = True,
    columns: Columns | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bad_fraction: float = 0.1,
    workers: int | None = None,
    progress: bool | Callback = False,
    **settings: Any,
) -> SelfMask:
    """Learns, without labels, which weights of a frozen network to switch off for a pool of pictures.

    backbone    a torch module, a Backbone, or a string as for embed (no TorchScript). Its weights are never changed
    images      folder, list of paths, pictures as uint8 arrays, preprocessed floats (N, C, H, W) of any number of
                channels and any sides, or a Dataset: see features.source.open_source
    labels      a few, for the verdict only: one per picture (None: unknown), a dict id or row -> class, or "label" for
                the sub-folders. supervised=True trains the masks on 70 % of them instead, and judges on the rest
    tensors     which are masked: "auto", a family, or patterns of names; shortcut_norms: see rules.choose_tensors
    start       a SelfMask of this training session, to continue from its scores (experts of a cascade)
    crops       fields of Crops to change, e.g. {"flip": 0} for digits
    n_classes   roughly expected: sets the number of prototypes
    compute     "auto": bfloat16 autocast on CUDA where it has it, float32 elsewhere
    checkpoint  file to write every checkpoint_every_s seconds and on Ctrl-C; the same call goes on from it, and it is
                removed in the end; keep_checkpoint leaves it to the caller, to be removed when the mask is saved
    guard       False leaves the verdict out
    settings    fields of Settings to fix: epochs, batch_size, lr, bn, n_prototypes, queue, eps, seed, ...

    The result holds masks, batch norm statistics, the verdict, and how training went (.history, .report). Same
    arguments, pictures and threads: same bits on a CPU, however often it was interrupted.
    Cost: per step the forward and backward passes of all crops, and less than a quarter more for the masks; memory the
    pictures as bytes (up to 2 GB, else they are decoded again) and five times the masked weights in float32.
    Source: Self-Masking Networks, arXiv 2409.07577; SwAV, arXiv 2006.09882.
    Raises InvalidInput, BadData, StoreError, MissingDependency; KeyboardInterrupt after writing the checkpoint.
    """
    (base,) = as_backbones([backbone])
    positive_number(checkpoint_every_s, "checkpoint_every_s", zero_ok=True)
    if supervised and labels is None:
        raise InvalidInput("supervised=True needs labels. Pass labels=, or leave supervised out.")
    callback = as_callback(progress)
    job = Job(
        base,
        choose_tensors(base.module, tensors, shortcut_norms=shortcut_norms),
        crops=crops,
        n_classes=n_classes,
        compute=compute,
        every_s=checkpoint_every_s,
        callback=callback,
        settings=settings,
    )
    place = None if checkpoint is None else Path(checkpoint)
    with opened(
        base,
        images,
        device=device,
        columns=columns,
        max_pixels=max_pixels,
        max_bad_fraction=max_bad_fraction,
        workers=workers,
        callback=callback,
    ) as pool:
        known = pool.labels(labels)
        result = job.run(pool, known=known, supervised=supervised, start=start, guard=guard, checkpoint=place)
    if place is not None and not keep_checkpoint:
        place.unlink(missing_ok=True)
    return result
