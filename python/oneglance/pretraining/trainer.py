"""The training loop of one stage: resumable to the bit, interruptible between steps, on one process or several."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..features.progress import Meter
from ..masks.crops import Crops, make_views
from ..masks.shelf import Shelf
from ..masks.train import polite, seeded
from .checkpoint import save_checkpoint
from .course import Course
from .monitors import alarms, features_of, look
from .objective import Batch, Facts, Objective, Recipe
from .ranks import any_rank, mean_of_ranks, rank, wait_for_all, world
from .schedule import full_lr, make_optimiser, rate, set_lr
from .shared_norms import shared_norms

_CHECK_STEPS = 20
_LOOKS, _LOOKED_AT = 20, 500


@dataclass(frozen=True, eq=False)
class Scene:
    """What all stages of one training share.

    checkpoint  file to write every every_s seconds and on Ctrl-C, or None      mark  of all that the result depends on
    compute     "float32" or "bfloat16": arithmetic of the forward pass
    """

    shelf: Shelf
    device: torch.device
    seed: int
    compute: str = "float32"
    checkpoint: Path | None = None
    every_s: float = 300.0
    mark: str = ""


def train_stage(
    scene: Scene,
    name: str,
    number: int,
    objective: Objective,
    recipe: Recipe,
    cut: Crops,
    facts: Facts,
    course: Course,
    meter: Meter,
    resumed: Mapping[str, Any] | None = None,
) -> None:
    """Trains the objective in place, from the checkpoint `resumed` of this stage where there is one.

    A killed run and one that went through end with the same bits on a CPU with the same threads and processes.
    Raises InvalidInput (not finite), StoreError (the checkpoint cannot be written), KeyboardInterrupt after writing it.
    """
    objective.to(scene.device).train()
    optimiser = make_optimiser(objective, recipe)
    first = 0
    if resumed is not None:
        objective.load_state_dict(resumed["objective"])
        optimiser.load_state_dict(resumed["optimiser"])
        first = int(resumed["step"])
    top = full_lr(recipe, facts.batch_size)
    called = _for_ranks(objective)
    pending: list[dict[str, Tensor]] = []
    clock = _Clock(course)
    saved = time.monotonic()

    def keep(step: int) -> None:
        _flush(pending, course, step)
        if scene.checkpoint is not None:
            clock.note()
            if rank() == 0:
                save_checkpoint(scene.checkpoint, scene.mark, number, step, objective, optimiser, course)
            wait_for_all()

    with (
        polite() as asked,
        _pictures(scene, name, facts, first) as pictures,
        shared_norms(objective),
        torch.enable_grad(),
    ):
        for step in range(first, facts.n_steps):
            unit = next(pictures)
            random = seeded(scene.seed, f"{name} views {rank()}", step)
            big, small = make_views(unit, cut, random)
            into = scene.shelf.levels.to_input
            batch = Batch(into(big), None if small is None else into(small), len(unit), random)
            lr = top * rate(recipe, step, facts.n_steps)
            set_lr(optimiser, lr)
            with _arithmetic(scene):
                loss, scalars = called(batch, step)
            optimiser.zero_grad()
            with _quiet_once(step == first):
                loss.backward()  # type: ignore[no-untyped-call]
            objective.between(step)
            optimiser.step()
            objective.after(step)
            pending.append({"loss": loss.detach(), **scalars})
            if len(pending) >= _CHECK_STEPS or scene.device.type == "cpu":
                _flush(pending, course, step + 1)
            if (step + 1) % facts.per_epoch == 0:
                _flush(pending, course, step + 1)
                _end_epoch(scene, name, objective, facts, course, (step + 1) // facts.per_epoch, lr)
            meter.advance(facts.batch_size, 0)
            if world() > 1 and scene.device.type != "cpu" and (step + 1) % _CHECK_STEPS:
                continue  # asking the others would wait for the device
            if any_rank(asked.is_set()):
                keep(step + 1)
                raise KeyboardInterrupt
            if any_rank(scene.checkpoint is not None and time.monotonic() - saved > scene.every_s):
                keep(step + 1)
                saved = time.monotonic()
    keep(facts.n_steps)
    clock.note()


def _end_epoch(
    scene: Scene, name: str, objective: Objective, facts: Facts, course: Course, epoch: int, lr: float
) -> None:
    """Closes the epoch; about 20 times per stage the first process looks at features of up to 500 plain pictures."""
    n_epochs = facts.n_steps // facts.per_epoch
    more: dict[str, float] = {}
    if rank() == 0 and (epoch % max(1, n_epochs // _LOOKS) == 0 or epoch == n_epochs):
        more = look(features_of(objective.encoder, scene.shelf, scene.device, _LOOKED_AT))
    course.end_epoch(name, epoch, lr, more)
    readings = [entry for entry in course.curve if entry["stage"] == name]
    course.alarms += [f"{name}, epoch {epoch}: {text}" for text in alarms(readings, n_epochs)]


class _Clock:
    """Adds the time since the last note() to the course."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def note(self) -> None:
        wall, cpu = time.monotonic(), time.process_time()
        self._course.wall_s += wall - self._wall
        self._course.cpu_s += cpu - self._cpu
        self._wall, self._cpu = wall, cpu


@contextlib.contextmanager
def _pictures(scene: Scene, name: str, facts: Facts, first: int) -> Iterator[Iterator[Tensor]]:
    """This rank's pictures (B, C, H, W) of every step from `first` on, the next ones read while one step is computed.

    Every epoch is another order of all pictures; what does not fill a batch is left out of it."""
    each = facts.batch_size // world()
    own = rank() * each
    orders: dict[int, Tensor] = {}

    def numbers(step: int) -> Tensor:
        epoch, within = divmod(step, facts.per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = torch.randperm(facts.n_pictures, generator=seeded(scene.seed, f"{name} order", epoch))
        start = within * facts.batch_size + own
        return orders[epoch][start : start + each]

    def steps() -> Iterator[Tensor]:
        ahead: Future[Tensor] | None = None
        for step in range(first, facts.n_steps):
            now = reader.submit(scene.shelf.unit, numbers(step), scene.device) if ahead is None else ahead
            if step + 1 < facts.n_steps:
                ahead = reader.submit(scene.shelf.unit, numbers(step + 1), scene.device)
            yield now.result()

    with ThreadPoolExecutor(1) as reader:
        yield steps()


def _for_ranks(objective: Objective) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    if world() == 1:
        return objective
    unused = not hasattr(objective.encoder, "n_channels")  # a foreign backbone may have parts that no loss reaches
    with warnings.catch_warnings():  # torch 2.13 has another name for broadcast_buffers, which 2.4 does not know
        warnings.simplefilter("ignore", FutureWarning)
        around = nn.parallel.DistributedDataParallel(objective, broadcast_buffers=False, find_unused_parameters=unused)
    called: Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]] = around
    return called


@contextlib.contextmanager
def _quiet_once(at_first: bool) -> Iterator[None]:
    """Several processes: torch remarks once that gradients of channels-last maps have other strides than weights."""
    if not at_first or world() == 1:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        yield


def _arithmetic(scene: Scene) -> contextlib.AbstractContextManager[Any]:
    if scene.compute == "float32":
        return contextlib.nullcontext()
    return torch.autocast(scene.device.type, dtype=getattr(torch, scene.compute))


def _flush(pending: list[dict[str, Tensor]], course: Course, step: int) -> None:
    """Numbers of the last steps into the course; a loss that is no number ends the run."""
    if not pending:
        return
    table = torch.stack([torch.stack([value.float() for value in entry.values()]) for entry in pending])
    names = list(pending[0])
    pending.clear()
    if world() > 1:
        table = mean_of_ranks(table)
    for row in table.cpu().tolist():
        values = dict(zip(names, row, strict=True))
        if not math.isfinite(values["loss"]):
            raise InvalidInput(
                f"training has diverged before step {step}: the loss is {values['loss']}. Lower lr, raise warm_up, or "
                "look for pictures with odd values (oneglance audit)."
            )
        course.add(values)
