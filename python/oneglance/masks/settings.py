"""How a mask is trained: settings that are safe for the size of the pool, and what was chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .._check import positive_int, positive_number, seed_int
from ..errors import InvalidInput
from .network import check_bn

_RATES = {"vit": 10.0}
_RATE = 50.0
_PAPER_FREEZE = 5005
_TINY = 20_000


@dataclass(frozen=True)
class Settings:
    """Of one training. `choose_settings` fills in what the caller leaves out.

    epochs, batch_size   readings of the pool; pictures per step
    lr                   of the scores, which start at 1 (SGD, momentum, cosine to 0)
    head_lr, head_decay  of projection and prototypes
    n_prototypes, n_projected, temperature, eps   of SwAV; eps is the temperature of the codes
    queue                embeddings kept per coded view, 0 for none; whole batches; used from step queue_from on
    freeze_steps         steps in which the prototypes stay as drawn
    warm_up              share of the steps in which lr rises from 0 (supervised masks)
    bn                   "adabn": batch norms see the views while training, and their statistics are measured over the
                         plain pictures with the final masks; "train": they keep what they saw while training, as in
                         the paper; "frozen": they stay the base's
    compute              arithmetic of the forward pass: "float32" or "bfloat16" (autocast)
    seed                 of everything random
    """

    epochs: int
    batch_size: int
    lr: float
    head_lr: float
    n_prototypes: int
    n_projected: int
    queue: int
    queue_from: int
    freeze_steps: int
    eps: float
    temperature: float = 0.1
    momentum: float = 0.9
    head_decay: float = 1e-6
    warm_up: float = 0.0
    bn: str = "adabn"
    compute: str = "float32"
    seed: int = 0

    def steps_per_epoch(self, n_pictures: int) -> int:
        """The last, smaller batch of an epoch is left out where there is another one."""
        return max(1, n_pictures // self.batch_size)

    def n_steps(self, n_pictures: int) -> int:
        return self.epochs * self.steps_per_epoch(n_pictures)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rate(self, step: int, n_steps: int) -> float:
        """lr of a step, as a share of the full one: linear warm-up, then half a cosine down to 0."""
        warm = round(self.warm_up * n_steps)
        if step < warm:
            return step / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, n_steps - warm)))


def choose_settings(
    n_pictures: int,
    n_dims: int,
    family: str,
    *,
    n_classes: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings for a pool of n_pictures and features of n_dims; `given` names fields that the caller fixes.

    Automatic: batches of 64, or the whole pool if it is smaller. Prototypes: 8 per class where n_classes is known, else
    2 sqrt(n) (the paper has 500 for 50,000 pictures); never more than a batch and the queue hold, so that equal use is
    possible. Queue: 8 batches, at most half the pool, none for pools below 4 batches; from a fifth of the steps on.
    eps 0.03 below 20,000 pictures, where 0.05 left the loss at ln K, else 0.05. Prototypes stay as drawn for a tenth of
    the steps, two epochs or 5005 steps, whatever is least. lr 50, for transformers 10: the paper's.
    Raises InvalidInput naming an unknown or impossible field.
    """
    given = dict(given or {})
    unknown = sorted(set(given) - {field.name for field in fields(Settings)})
    if unknown:
        raise InvalidInput(f"unknown setting {unknown[0]!r}; there are {[field.name for field in fields(Settings)]}.")
    batch = min(positive_int(given.get("batch_size", 64), "batch_size"), n_pictures)
    epochs = positive_int(given.get("epochs", 20), "epochs")
    per_epoch = max(1, n_pictures // batch)
    queue = given.get("queue")
    if queue is None:
        queue = min(8, n_pictures // (2 * batch)) * batch if n_pictures >= 4 * batch else 0
    if isinstance(queue, bool) or not isinstance(queue, int) or queue < 0:
        raise InvalidInput(f"queue must be an integer >= 0, got {queue!r}.")
    if 0 < queue < batch:
        raise InvalidInput(f"queue must be 0 or hold whole batches of {batch}, got {queue}.")
    queue = queue // batch * batch
    wanted = 8 * n_classes if n_classes else round(2 * math.sqrt(n_pictures))
    chosen = Settings(
        epochs=epochs,
        batch_size=batch,
        lr=_RATES.get(family, _RATE),
        head_lr=0.15 * batch / 64,
        n_prototypes=max(2, min(3000, wanted, batch + queue)),
        n_projected=min(128, n_dims),
        queue=queue,
        queue_from=epochs * per_epoch // 5,
        freeze_steps=min(_PAPER_FREEZE, 2 * per_epoch, epochs * per_epoch // 10),
        eps=0.03 if n_pictures < _TINY else 0.05,
    )
    chosen = replace(chosen, **{**given, "batch_size": batch, "queue": queue})
    _check(chosen)
    return chosen


def _check(settings: Settings) -> None:
    for name in ("n_prototypes", "n_projected"):
        positive_int(getattr(settings, name), name)
    if settings.n_prototypes < 2:
        raise InvalidInput(f"n_prototypes must be >= 2, got {settings.n_prototypes}.")
    for name in ("lr", "head_lr", "eps", "temperature"):
        positive_number(getattr(settings, name), name)
    for name in ("queue_from", "freeze_steps"):
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InvalidInput(f"{name} must be an integer >= 0, got {value!r}.")
    positive_number(settings.head_decay, "head_decay", zero_ok=True)
    for name in ("momentum", "warm_up"):
        if not 0 <= getattr(settings, name) < 1:
            raise InvalidInput(f"{name} must lie in [0, 1), got {getattr(settings, name)!r}.")
    check_bn(settings.bn)
    if settings.compute not in ("float32", "bfloat16"):
        raise InvalidInput(f"compute must be float32 or bfloat16, got {settings.compute!r}.")
    seed_int(settings.seed)
