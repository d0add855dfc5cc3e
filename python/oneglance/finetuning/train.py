"""Training of a Tunable on labelled pictures: one augmented view per picture and step, AdamW, rates by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._types import IntArray
from ..errors import InvalidInput
from ..features.backbones import Backbone
from ..masks.crops import Crops, make_views
from ..masks.network import norms_of
from ..masks.shelf import Shelf
from ..masks.train import seeded
from .layers import layer_factors, layer_numbers
from .penalties import distortion, l2_sp
from .settings import FACTORS, Tuning
from .tunable import Tunable

_CHECK_STEPS = 20


class Diverged(InvalidInput):
    """A training whose loss or outputs are no numbers."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is trained on. numbers (m,) on the shelf, codes (m,) columns of the head; base: the start, for its features.

    what  the training in words, for errors
    """

    shelf: Shelf
    numbers: IntArray
    codes: IntArray
    crops: Crops
    base: Backbone
    what: str


def trainable(module: nn.Module, kind: str) -> dict[str, Tensor]:
    """The parameters that a training changes, by name: all ("ft"), biases ("bitfit"), adapters and the modules saved
    with them ("lora"). Raises InvalidInput where there are none."""
    own: dict[str, Tensor] = {name: value for name, value in module.named_parameters() if value.is_floating_point()}
    if kind == "bitfit":
        own = {name: value for name, value in own.items() if name.endswith("bias")}
    if kind == "lora":
        own = {name: value for name, value in own.items() if "lora_" in name or ".modules_to_save." in name}
    if not own:
        raise InvalidInput(f"recipe {kind!r}: the network has no {'biases' if kind == 'bitfit' else 'parameters'}.")
    return own


def tune(
    net: Tunable, lesson: Lesson, kind: str, lr: float, plan: Tuning, *, after: Callable[[int], bool]
) -> list[float]:
    """Trains the network and its head in place; returns the loss of every step.

    kind   "ft", "lora" or "bitfit"       lr  full fine-tuning's; the others' is FACTORS times it
    after  called with the number of steps done at each of plan.stop_steps(); True ends the training there
    Same arguments and threads: same bits on a CPU. Raises Diverged.
    """
    own = trainable(net.module, kind)
    names = [name for name, _ in net.module.named_parameters()]
    share = dict(zip(names, layer_factors(layer_numbers(names), plan.layer_decay), strict=True))
    full_rate = lr * FACTORS[kind]
    head = [net.coef.requires_grad_(True), net.intercept.requires_grad_(True)]
    groups = [{"params": [value.requires_grad_(True)], "lr": full_rate * share[name]} for name, value in own.items()]
    optimiser = torch.optim.AdamW([*groups, {"params": head, "lr": lr * plan.head_ratio}], weight_decay=0.0)
    full = [group["lr"] for group in optimiser.param_groups]
    # Adapters start at nothing: their pull is their own small rank. What the start has is pulled back to it.
    start = {name: value.detach().clone() for name, value in own.items() if "lora_" not in name}
    codes, stops = torch.from_numpy(lesson.codes).to(net.device), set(plan.stop_steps())
    per_epoch = max(1, len(lesson.numbers) // plan.batch_size)
    losses: list[float] = []
    pending: list[Tensor] = []
    with _norms(net.module, plan.bn == "train"), torch.enable_grad():
        for step in range(plan.steps):
            epoch, within = divmod(step, per_epoch)
            if within == 0:
                order = torch.randperm(len(lesson.numbers), generator=seeded(plan.seed, f"{kind} order", epoch))
            rows = order[within * plan.batch_size : (within + 1) * plan.batch_size]
            for group, rate in zip(optimiser.param_groups, full, strict=True):
                group["lr"] = rate * plan.rate(step)
            loss = _loss(net, lesson, rows, codes, own, start, seeded(plan.seed, f"{kind} views", step), plan)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            pending.append(loss.detach())
            if step + 1 in stops or len(pending) >= _CHECK_STEPS:
                losses += _numbers(pending, lesson, step + 1)
                pending.clear()
            if step + 1 in stops and after(step + 1):
                break
    for value in (*own.values(), *head):
        value.requires_grad_(False)
    return losses + _numbers(pending, lesson, plan.steps)


def _loss(
    net: Tunable,
    lesson: Lesson,
    rows: Tensor,
    codes: Tensor,
    own: dict[str, Tensor],
    start: dict[str, Tensor],
    random: torch.Generator,
    plan: Tuning,
) -> Tensor:
    numbers = torch.from_numpy(lesson.numbers)[rows]
    views, _ = make_views(lesson.shelf.unit(numbers, net.device), lesson.crops, random)
    pictures = lesson.shelf.levels.to_input(views)
    features = net.features(pictures)
    loss = functional.cross_entropy(net.logits(features), codes[rows.to(net.device)])
    if plan.l2_sp > 0 and start:
        loss = loss + l2_sp(own, start, plan.l2_sp)
    if plan.distortion > 0:
        with torch.no_grad():
            before = lesson.base.pooled(lesson.base.forward(pictures), pictures).to(net.device)
        loss = loss + plan.distortion * distortion(features, before)
    return loss


def _numbers(losses: list[Tensor], lesson: Lesson, step: int) -> list[float]:
    found = [float(value) for value in torch.stack(losses).cpu().tolist()] if losses else []
    if not all(abs(value) < float("inf") for value in found):
        raise Diverged(
            f"{lesson.what} has diverged before step {step}: the loss is {found[-1]}. Lower lr, raise l2_sp, or look "
            "for pictures and weights with odd values."
        )
    return found


@contextlib.contextmanager
def _norms(module: nn.Module, in_training: bool) -> Iterator[None]:
    """Batch norms in training mode inside, everything else at rest: dropout does not help a few labels' head."""
    before = [(norm, norm.training) for norm in norms_of(module)]
    try:
        for norm, _ in before:
            norm.training = in_training
        yield
    finally:
        for norm, mode in before:
            norm.training = mode
