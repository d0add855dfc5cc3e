"""The training loop: resumable to the bit, interruptible between steps, the same loop for masks and for weights."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import InvalidInput, OneglanceError, StoreError
from ..features.progress import Callback, Meter
from ..store.files import make_folder, write_atomic
from .goals import Goal
from .layer import keep_rate, make_scores, masks_of, materialise
from .network import Network
from .settings import Settings
from .shelf import Shelf

EVERY_S = 300.0
_CHECK_STEPS = 20
_VERSION = 1


class Trainee(Protocol):
    """Tensors that are trained, and what the network gets of them."""

    def tensors(self) -> dict[str, Tensor]: ...

    def materialise(self) -> dict[str, Tensor]:
        """The network's replaced tensors of one step; called once per step."""
        ...

    def kept(self) -> float:
        """Share of weights that are on."""
        ...


class MaskTrainee:
    """Scores of masked tensors. `start`: scores to continue from, else all 1."""

    def __init__(self, weights: dict[str, Tensor], start: dict[str, Tensor] | None = None) -> None:
        self.weights = weights
        self.scores = make_scores(weights)
        if start is not None:
            with torch.no_grad():
                for name, value in self.scores.items():
                    value.copy_(start[name])

    def tensors(self) -> dict[str, Tensor]:
        return self.scores

    def materialise(self) -> dict[str, Tensor]:
        return materialise(self.weights, self.scores)

    def at_rest(self) -> dict[str, Tensor]:
        """The same without gradient."""
        with torch.no_grad():
            return self.materialise()

    def kept(self) -> float:
        return keep_rate(masks_of(self.scores).values())


@dataclass
class History:
    """Of one training.

    losses  one per step        kept  keep-rate after every epoch
    use     mean share of every prototype or class in the end, (K,)
    ln_k    the loss of a network that tells nothing apart
    """

    losses: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    use: list[float] = field(default_factory=list)
    ln_k: float = 0.0

    @property
    def used(self) -> float:
        """Share of prototypes or classes in even use: exp of the entropy of `use`, over their number."""
        shares = [share / max(1e-300, sum(self.use)) for share in self.use]
        entropy = -sum(share * math.log(share) for share in shares if share > 0)
        return math.exp(entropy) / max(1, len(shares))

    @property
    def last_loss(self) -> float:
        """Mean of the last tenth of the steps."""
        tail = self.losses[-max(1, len(self.losses) // 10) :]
        return sum(tail) / max(1, len(tail))


def seeded(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """A generator on the CPU, a pure function of its arguments: a resumed run needs no saved random state."""
    mark = hashlib.blake2b(f"{seed} {purpose} {number}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(mark, "little") >> 1)


def train(
    net: Network,
    shelf: Shelf,
    trainee: Trainee,
    goal: Goal,
    settings: Settings,
    statistics: dict[str, Tensor],
    device: torch.device,
    *,
    checkpoint: Path | None = None,
    every_s: float = EVERY_S,
    mark: str = "",
    callback: Callback | None = None,
    what: str = "adapt",
) -> History:
    """Trains in place: the trainee's tensors, the goal's, and `statistics` where settings.bn lets them move.

    checkpoint  file to go on from and to write every_s seconds and on Ctrl-C; removed by the caller when all is done.
                One written for another mark (base, pool, settings) is refused
    A killed run and one that went through end with the same bits on a CPU with the same threads.
    Raises InvalidInput (diverged, other checkpoint), StoreError, KeyboardInterrupt after writing the checkpoint.
    """
    if checkpoint is not None:
        _check_place(checkpoint)
    n_steps, per_epoch = settings.n_steps(len(shelf)), settings.steps_per_epoch(len(shelf))
    head_lr, head_decay = goal.rates(settings)
    optimiser = torch.optim.SGD(
        [
            {"params": list(trainee.tensors().values()), "lr": settings.lr, "weight_decay": 0.0},
            {"params": list(goal.tensors().values()), "lr": head_lr, "weight_decay": head_decay},
        ],
        momentum=settings.momentum,
    )
    full = [group["lr"] for group in optimiser.param_groups]
    history = History(ln_k=math.log(len(goal.use)))
    first = 0
    if checkpoint is not None and checkpoint.is_file():
        first = _load(checkpoint, mark, trainee, goal, statistics, optimiser, history)
    meter = Meter(what, first * settings.batch_size, n_steps * settings.batch_size, callback)
    pending: list[Tensor] = []
    saved = time.monotonic()

    def keep(step: int) -> None:
        if checkpoint is not None:
            _flush(pending, history, step)
            _save(checkpoint, mark, step, trainee, goal, statistics, optimiser, history)

    with net.norms_in_training(settings.bn != "frozen"), polite() as asked, torch.enable_grad():
        for step in range(first, n_steps):
            epoch, within = divmod(step, per_epoch)
            if within == 0 or step == first:
                order = torch.randperm(len(shelf), generator=seeded(settings.seed, "order", epoch))
            numbers = order[within * settings.batch_size : (within + 1) * settings.batch_size]
            share = settings.rate(step, n_steps)
            for group, lr in zip(optimiser.param_groups, full, strict=True):
                group["lr"] = lr * share
            replaced = trainee.materialise()
            loss = goal.loss(
                partial(net.features, replaced=replaced, statistics=statistics, compute=settings.compute),
                shelf,
                numbers,
                seeded(settings.seed, "views", step),
                step,
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            goal.between(step)
            optimiser.step()
            goal.after()
            pending.append(loss.detach())
            if len(pending) >= _CHECK_STEPS or device.type == "cpu":
                _flush(pending, history, step + 1)
            if within == per_epoch - 1:
                history.kept.append(trainee.kept())
            meter.advance(settings.batch_size, 0)
            if asked.is_set():
                keep(step + 1)
                raise KeyboardInterrupt
            if time.monotonic() - saved > every_s:
                keep(step + 1)
                saved = time.monotonic()
    _flush(pending, history, n_steps)
    history.use = goal.use.detach().cpu().tolist()
    keep(n_steps)
    return history


def _flush(pending: list[Tensor], history: History, step: int) -> None:
    """Losses into the history; a loss that is no number ends the run."""
    if not pending:
        return
    found = torch.stack(pending).cpu().tolist()
    pending.clear()
    history.losses += found
    if not all(abs(value) < float("inf") for value in found):
        raise InvalidInput(
            f"training has diverged before step {step}: the loss is {found[-1]}. Lower lr or head_lr, raise eps, or "
            "look for pictures and weights with odd values."
        )


@contextlib.contextmanager
def polite() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event instead of breaking a step; the same one again breaks. Main thread only."""
    asked = threading.Event()
    before: dict[int, Any] = {}
    seen: set[int] = set()  # a launcher of several processes hands Ctrl-C on as SIGTERM

    def note(number: int, frame: Any) -> None:
        if number in seen:
            raise KeyboardInterrupt
        seen.add(number)
        asked.set()

    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            number = int(name)
            if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None):
                before[number] = signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_place(path: Path) -> None:
    """StoreError where a checkpoint could not be written, before minutes of training wait for it."""
    make_folder(path.parent)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise StoreError(f"checkpoint: {path} cannot be written. Name a file in a folder you may write to.")


def _save(
    path: Path,
    mark: str,
    step: int,
    trainee: Trainee,
    goal: Goal,
    statistics: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    history: History,
) -> None:
    content = {
        "version": _VERSION,
        "mark": mark,
        "step": step,
        "trained": {name: value.detach() for name, value in trainee.tensors().items()},
        "goal": goal.state(),
        "statistics": statistics,
        "optimiser": optimiser.state_dict(),
        "losses": history.losses,
        "kept": history.kept,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_atomic(path, [stream.getbuffer()])


def _load(
    path: Path,
    mark: str,
    trainee: Trainee,
    goal: Goal,
    statistics: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    history: History,
) -> int:
    """The step to go on with."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["mark"] != mark or content["version"] != _VERSION:
            raise InvalidInput(
                f"checkpoint: {path} was written for another base, pool or settings. Repeat the call with the former "
                "ones, name another file, or remove it to begin anew."
            )
        with torch.no_grad():
            for name, value in trainee.tensors().items():
                value.copy_(content["trained"][name])
            for name, value in statistics.items():
                value.copy_(content["statistics"][name])
        goal.load(content["goal"])
        optimiser.load_state_dict(content["optimiser"])
        history.losses, history.kept = list(content["losses"]), list(content["kept"])
        return int(content["step"])
    except OneglanceError:
        raise
    except Exception as error:  # torch.load raises its own, pickle's and zip's errors
        first = str(error).strip().split("\n")[0]
        raise StoreError(f"checkpoint: {path} cannot be read ({type(error).__name__}: {first}). Remove it.") from error
