"""pretrain: unlabelled pictures in, a backbone for `embed` out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._check import positive_number
from ..errors import InvalidInput, StoreError
from ..features.backbones import Backbone, pick_compute, pick_device
from ..features.listfile import Columns
from ..features.pictures import MAX_PIXELS
from ..features.preprocess import in_words
from ..features.progress import Callback, Meter, as_callback
from ..features.weights import model_hash
from ..masks.pool import default_threads
from ..masks.shelf import Shelf, fill_shelf
from ..masks.train import seeded
from ..store.files import digest
from ..store.lock import only_writer
from .checkpoint import read_checkpoint
from .course import Course
from .files import check_out, check_writable
from .from_backbone import BackboneEncoder
from .mae import MaeObjective
from .methods import choose_method
from .objective import Method
from .preparing import Prepared, prepare, standardise_by
from .ranks import asked_for, join, rank, same_everywhere, wait_for_all, world
from .result import Pretrained
from .settings import Settings, choose_settings, plan_stages, stage_epochs
from .told import N_SHOWN, sheet_of, tell
from .trainer import Scene, train_stage

CHECKPOINT_FILE = "checkpoint"
EVERY_S = 300.0


def pretrain(
    images: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    method: str = "mae",
    encoder: str = "auto",
    start: Any = None,
    size: Any = None,
    patch: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    warm_up: float | None = None,
    n_classes: int | None = None,
    seed: int = 0,
    crops: Mapping[str, Any] | None = None,
    device: Any = "auto",
    compute: str = "auto",
    checkpoint_every_s: float = EVERY_S,
    fresh: bool = False,
    overwrite: bool = False,
    columns: Columns | None = None,
    max_bad_fraction: float = 0.1,
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
    progress: bool | Callback = False,
    **options: Any,
) -> Pretrained:
    """Trains an encoder on pictures without labels.

    images      folder, list of paths, list file, pictures as uint8 arrays, float arrays (N, C, H, W) of any number of
                channels, or a Dataset: see features.source.open_source
    out         folder for the backbone, and for the checkpoint while training; None keeps it in memory
    method      see methods.METHODS                    options  of the method, by name
    encoder     "vit", "resnet", or with a size: "vit-tiny", "resnet-small", "...-base", "...-large"
    start       a backbone to continue from instead, as embed takes it: string, folder, module or Backbone; a copy is
                trained. Methods that hide patches need a vision transformer
    size        side or (height, width) in pixels; by the pictures where left out      patch  of a ViT
    epochs, batch_size, lr, weight_decay, warm_up   see choose_settings and Recipe; lr is at a batch of 256
    crops       fields of Crops to change, e.g. {"flip": 0} for digits
    compute     "float32", "bfloat16" (losses stay in float32), or "auto": the latter on CUDA cards that have it
    fresh       forget a checkpoint in out             overwrite  replace a backbone in out

    A killed run goes on where it stopped when called again, and ends with the same bits on a CPU with the same threads
    and processes. Under torchrun every process takes its share of a batch, and the first one writes.
    Cost: see plan_pretrain. Memory: pictures as bytes up to 2 GB (else they are decoded again) and the plan's.
    Raises InvalidInput, BadData, StoreError, MissingDependency; KeyboardInterrupt after writing the checkpoint.
    """
    chosen = choose_method(method)
    positive_number(checkpoint_every_s, "checkpoint_every_s", zero_ok=True)
    folder = None if out is None else Path(out)
    if folder is not None:
        check_out(folder, overwrite)
    callback = as_callback(progress)
    where = _place(device)
    ready = prepare(
        images, chosen, encoder=encoder, start=start, size=size, patch=patch, seed=seed, columns=columns,
        max_pixels=max_pixels,
    )  # fmt: skip
    chosen_for = partial(
        choose_settings, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, warm_up=warm_up,
        seed=seed, n_classes=n_classes, options=options, crops=crops,
    )  # fmt: skip
    arithmetic = _arithmetic(compute, where, ready)
    for _ in plan_stages(chosen, chosen_for(ready.n_pictures), ready.encoder, *ready.seen):
        pass  # errors come before the pictures are read, and not when a later stage begins
    with contextlib.ExitStack() as until_written:
        if folder is not None and rank() == 0:
            until_written.enter_context(only_writer(folder))
            check_writable(folder)
        shelf = fill_shelf(
            ready.pictures,
            ready.preprocess,
            max_bad_fraction=max_bad_fraction,
            workers=default_threads() if workers is None else workers,
            callback=callback if rank() == 0 else None,
            sources=ready.source.items.sources,
        )
        settings = chosen_for(len(shelf))
        place = None if folder is None else folder / CHECKPOINT_FILE
        if fresh and place is not None and rank() == 0:
            place.unlink(missing_ok=True)
        wait_for_all()
        with contextlib.closing(shelf):
            made = _train(ready, chosen, settings, shelf, where, arithmetic, place, checkpoint_every_s, callback)
        if folder is None:
            return made
        if rank() == 0:
            made.save(folder)
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        wait_for_all()
    return replace(made, path=folder)


def _train(
    ready: Prepared,
    method: Method,
    settings: Settings,
    shelf: Shelf,
    device: torch.device,
    compute: str,
    checkpoint: Path | None,
    every_s: float,
    callback: Callback | None,
) -> Pretrained:
    encoder = ready.encoder
    if ready.start is None:
        standardise_by(encoder, shelf)
    told = _told(ready, method, settings, shelf, compute)
    if not same_everywhere(int(told[:15], 16)):
        raise InvalidInput(
            "images: not all processes have the same pictures, in the same order, or the same settings. Start them "
            "with one command, on a folder that each of them can read."
        )
    mark = digest(model_hash(encoder).encode(), told.encode())  # of all that the result depends on
    resumed = None if checkpoint is None else read_checkpoint(checkpoint, mark)
    if not same_everywhere(-1 if resumed is None else int(resumed["stage"]) * 2**40 + int(resumed["step"])):
        raise StoreError(f"checkpoint: not all processes see the same file {checkpoint}. Put out on a disk they share.")
    course = Course() if resumed is None else Course(**resumed["course"])
    scene = Scene(shelf, device, settings.seed, compute, checkpoint, every_s, mark)
    first = 0 if resumed is None else int(resumed["stage"])
    per_epoch = max(1, len(shelf) // settings.batch_size)
    n_steps = [count * per_epoch for count in stage_epochs(method, settings.epochs)]
    done = sum(n_steps[:first]) + (0 if resumed is None else int(resumed["step"]))
    meter = Meter(
        "pretrain", done * settings.batch_size, sum(n_steps) * settings.batch_size, callback if rank() == 0 else None
    )
    stages: list[dict[str, Any]] = []
    before = None
    planned = plan_stages(method, settings, encoder, len(shelf), shelf.size, shelf.n_channels)
    for number, plan in enumerate(planned):
        objective = plan.objective
        stages.append(plan.as_dict())
        if number >= first:
            if before is not None and (number > first or resumed is None):
                objective.go_on_from(before)
            own = resumed if number == first else None
            train_stage(
                scene, plan.stage.name, number, objective, plan.recipe, plan.cut, plan.facts, course, meter, own
            )
        if number >= first and isinstance(objective, MaeObjective):
            course.sheet = _sheet(objective, shelf, device, plan.facts.seed)
        before = objective
    written = {"epochs": settings.epochs, "batch_size": settings.batch_size, "seed": settings.seed, "stages": stages}
    provenance = {
        "method": method.name,
        "source": ready.source.info.description,
        "pictures": len(shelf),
        "content": shelf.content,
        "start": None if ready.start is None else ready.start.spec,
        "compute": compute,
        **written,
    }
    return Pretrained(_finished(ready, method), course, written, provenance, dict(shelf.bad))


def _arithmetic(compute: str, device: torch.device, ready: Prepared) -> str:
    """Gradients need bfloat16's range: cards that have float16 only train in float32."""
    if compute == "float16":
        raise InvalidInput("compute: gradients need a wider range than float16 has. Take bfloat16, float32 or auto.")
    best = pick_compute(compute, device, ready.start or Backbone(ready.encoder))
    return "bfloat16" if best == "bfloat16" else "float32"


def _sheet(objective: MaeObjective, shelf: Shelf, device: torch.device, seed: int) -> Tensor:
    numbers = torch.linspace(0, len(shelf) - 1, min(len(shelf), N_SHOWN)).round().long()
    return sheet_of(tell(objective.eval(), shelf.plain(numbers, device), seeded(seed, "told")))


def _finished(ready: Prepared, method: Method) -> Backbone:
    """The trained network on the CPU, in eval mode, as embed uses it."""
    encoder = ready.encoder.cpu().eval().requires_grad_(True)
    if not isinstance(encoder, BackboneEncoder):
        return Backbone(encoder, ready.preprocess, name=method.name)
    base = encoder.backbone
    words = None if ready.preprocess is not base.preprocess else base.preprocessing
    return Backbone(
        encoder.module,
        ready.preprocess,
        name=base.name,
        pool=base.pool,
        output=base.output,
        spec=f"{base.spec}, trained on by {method.name}",
        preprocessing=words,
        call=base.call,
        autocast=base.autocast,
        hooks=base.hooks,
        rebuild=base.rebuild,
    )


def _told(ready: Prepared, method: Method, settings: Settings, shelf: Shelf, compute: str) -> str:
    """A digest of what was asked for, which all processes must have been told alike."""
    start = None if ready.start is None else (ready.start.pool, ready.start.output)
    facts = (method.name, settings, shelf.content, ready.size, in_words(ready.preprocess), start, compute, world())
    return digest(shelf.rows.tobytes(), *(repr(part).encode() for part in facts))


def _place(device: Any) -> torch.device:
    """The device; under torchrun of this process, which joins the others."""
    where = pick_device(device)
    if not asked_for():
        return where
    if where.type == "cuda":
        where = pick_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(where)
    join(where)
    return where
