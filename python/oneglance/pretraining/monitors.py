"""Is it learning? What is looked at after every epoch, the rules of the alarms, and what cures what they say.

A reading is one epoch's numbers, not all of them in every epoch. Objectives give loss_over_ln_k and prototypes_used
where they have them; `look` gives

spread          of the encoder's features: root mean square over dimensions of the standard deviation of unit rows,
                times sqrt(d): 1 for directions all over the sphere, 0 for rows that are all alike
rank_me         exp of the entropy of their singular values, 1 .. d (arXiv 2210.02885)
directions      participation ratio of their covariance, 1 .. d

A loss well below ln K does not promise good features, and these numbers do not rank methods: they say what is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from .._types import FloatArray
from ..auditing.spectrum import spectrum
from ..features.backbones import resting
from ..masks.shelf import Shelf

N_LOOKED_AT = 1000
ALIKE = 0.001
"""A spread below says that rows are all alike; transformers have 0.05 as drawn and 0.02 after MAE."""

ONE_DIRECTION = 1.02
"""Fewer directions than this are one; a transformer as drawn has 1.4 on grey digits."""

RANK_SHARE = 0.25
"""RankMe may fall to this share of the highest of the stage."""

LN_K_SHARE, LN_K_FROM = 0.98, 0.3
"""A loss above this share of ln K, in two epochs running behind this share of the stage, tells nothing apart."""

USED, SINGLE = 0.1, 1.5
"""Prototypes in even use: a share of them, and a number."""

RISE = 0.1
"""A loss may rise by this share of ln K above the least of the stage."""

_BATCH = 64

Reading: TypeAlias = Mapping[str, Any]


def look(features: FloatArray) -> dict[str, float]:
    """spread, rank_me and directions of features (n, d) of different pictures; rows that are zero or not finite are
    left out, and without two others all three are 0. Two pictures differ in one direction whatever they are: it is not
    given. Cost: three Gram matrices of the smaller side."""
    usable = np.isfinite(features).all(axis=1) & features.any(axis=1)
    if usable.sum() < 2:
        return {"spread": 0.0, "rank_me": 0.0, "directions": 0.0}
    found = spectrum(np.asarray(features[usable], dtype=np.float64))
    seen = {"spread": found.spread, "rank_me": found.rank_me}
    return seen if usable.sum() == 2 else {**seen, "directions": found.participation}


@torch.no_grad()
def features_of(encoder: nn.Module, shelf: Shelf, device: torch.device, most: int = N_LOOKED_AT) -> FloatArray:
    """(min(n, most), d) features of plain pictures evenly over the pool, in evaluation mode; modes come back after."""
    numbers = torch.linspace(0, len(shelf) - 1, min(len(shelf), most)).round().long()
    with resting(encoder):
        rows: list[Tensor] = [encoder(shelf.plain(part, device)).float().cpu() for part in torch.split(numbers, _BATCH)]
    return np.asarray(torch.cat(rows).numpy())


def used_share(shares: Tensor) -> Tensor:
    """exp of the entropy of the prototypes' shares (K,), over K: 1 in even use, 1 / K if all fall to one."""
    p = shares / shares.sum().clamp(min=1e-30)
    return torch.exp(-(p * p.clamp(min=1e-30).log()).sum()) / len(p)


def alarms(readings: Sequence[Reading], n_epochs: int) -> list[str]:
    """What is wrong since the last of the readings, in words, with a cure; empty for a healthy run.

    readings  of one stage, oldest first; of a key that is missing the last one counts. n_epochs  of the whole stage
    """
    said = []
    for rule in RULES:
        now = rule(readings, n_epochs)
        if now and not rule(readings[:-1], n_epochs):
            said.append(now)
    return said


def all_alike(readings: Sequence[Reading], n_epochs: int) -> str:
    value = _last(readings, "spread")
    if value is None or value >= ALIKE:
        return ""
    return (
        f"features have collapsed: all pictures get the same (spread {value:.2g}, below {ALIKE}). Lower lr, take "
        "larger batches and softer crops, or start from a pretrained backbone or with method mae."
    )


def one_direction(readings: Sequence[Reading], n_epochs: int) -> str:
    value = _last(readings, "directions")
    if value is None or value >= ONE_DIRECTION or all_alike(readings, n_epochs):
        return ""
    return (
        f"features vary in one direction only ({value:.2f} directions, below {ONE_DIRECTION}). Look for crops or "
        "colours that make one thing decide (brightness, a border); lower lr, raise temperature, take more prototypes."
    )


def rank_falls(readings: Sequence[Reading], n_epochs: int) -> str:
    values = [reading["rank_me"] for reading in readings if "rank_me" in reading]
    if not values or values[-1] >= RANK_SHARE * max(values) or one_direction(readings, n_epochs):
        return ""
    if all_alike(readings, n_epochs):
        return ""
    return (
        f"features use fewer and fewer directions: RankMe {values[-1]:.1f}, after {max(values):.1f}. Stop earlier, "
        "lower lr, or take more prototypes or a larger batch."
    )


def nothing_apart(readings: Sequence[Reading], n_epochs: int) -> str:
    values = [reading.get("loss_over_ln_k", 0.0) for reading in readings]
    first = max(1, round(LN_K_FROM * n_epochs))
    if len(values) <= first or min(values[-2:]) <= LN_K_SHARE:
        return ""
    return (
        f"the loss stays at that of guessing ({values[-1]:.3f} of ln K, above {LN_K_SHARE}): nothing is told apart. "
        "For SwAV lower eps (0.03), keep prototypes frozen longer, take about 10 prototypes per class and no more than "
        "a batch and the queue; for all, softer crops, a lower temperature, larger batches, more epochs."
    )


def few_prototypes(readings: Sequence[Reading], n_epochs: int) -> str:
    value = _last(readings, "prototypes_used")
    if value is None:
        return ""
    count = _last(readings, "n_prototypes")
    if value >= USED and (count is None or value * count >= SINGLE):
        return ""
    return (
        f"nearly all pictures fall to few prototypes ({value:.1%} in even use). Take fewer prototypes, keep them "
        "frozen longer, lengthen the queue so that a batch and the queue hold each several times, or lower lr."
    )


def loss_rises(readings: Sequence[Reading], n_epochs: int) -> str:
    values = [reading["loss_over_ln_k"] for reading in readings if "loss_over_ln_k" in reading]
    if not values or values[-1] <= min(values) + RISE:
        return ""
    return (
        f"the loss rises: {values[-1]:.3f} of ln K, after {min(values):.3f}. If the queue has just begun, shorten it "
        "or let it begin later; else lower lr or warm up longer."
    )


RULES: tuple[Callable[[Sequence[Reading], int], str], ...] = (
    all_alike,
    one_direction,
    rank_falls,
    nothing_apart,
    few_prototypes,
    loss_rises,
)


def _last(readings: Sequence[Reading], name: str) -> float | None:
    return next((float(reading[name]) for reading in reversed(readings) if name in reading), None)
