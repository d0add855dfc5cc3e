"""How a network is tuned on few labels: settings that are safe for few pictures, and what was chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .._check import positive_int, positive_number, seed_int
from ..errors import InvalidInput

BN = ("frozen", "train")
FACTORS = {"ft": 1.0, "lora": 10.0, "bitfit": 10.0}
"""Learning rates of trainings as multiples of full fine-tuning's: ten times for adapters and for biases."""

_RATE = (1e-3,)
_OWN: dict[str, dict[str, Any]] = {family: {"lr": (1e-4,), "layer_decay": 0.75} for family in ("vit", "convnext")}
"""Of families with layer norms, as their authors tune them. Other networks have to change from the first layer on where
colours or contrast differ: masks gain most there (arXiv 2409.07577, supplement F)."""
_LISTS = ("lr", "stops", "alphas")
_STEPS = (40, 400)


@dataclass(frozen=True)
class Tuning:
    """Of one call of `finetune`. `choose_tuning` fills in what the caller leaves out.

    steps         of one training, each on batch_size pictures
    batch_size    at most the number of labels
    lr            of the head's side of the network in full fine-tuning (AdamW, linear warm-up, cosine to 0); several
                  are tried by cross-validation. LoRA and BitFit take ten times as much
    head_ratio    the head's learning rate over lr
    layer_decay   of learning rates from each layer to the one before it; 1: all alike
    l2_sp         strength of the pull towards the start: l2_sp / 2 times the squared distance of the weights
    distortion    strength of the pull of features (at unit length) towards those of the start
    bn            batch norms' statistics: "frozen" as they are, or "train": they follow the labelled pictures
    warm_up       share of the steps in which learning rates rise
    stops         shares of the steps after which training may end; cross-validation says at which
    alphas        of WiSE-FT: 0 the start with the probe, 1 the tuned network
    rank, lora_alpha  of LoRA
    mask_epochs   readings of the pool by self-masking
    seed          of everything random
    """

    steps: int
    batch_size: int
    lr: tuple[float, ...] = _RATE
    head_ratio: float = 10.0
    layer_decay: float = 1.0
    l2_sp: float = 1e-2
    distortion: float = 0.0
    bn: str = "frozen"
    warm_up: float = 0.1
    stops: tuple[float, ...] = (0.25, 0.5, 1.0)
    alphas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    rank: int = 8
    lora_alpha: float = 16.0
    mask_epochs: int = 20
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rate(self, step: int) -> float:
        """Learning rate of a step 0 .. steps - 1 as a share of the full one."""
        warm = round(self.warm_up * self.steps)
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))

    def stop_steps(self) -> list[int]:
        """Numbers of steps after which training may end, ascending."""
        return sorted({max(1, round(share * self.steps)) for share in self.stops})


def choose_tuning(n_labels: int, family: str = "resnet", given: Mapping[str, Any] | None = None) -> Tuning:
    """Settings for so many labels and a family of masks.rules.FAMILIES; `given` names fields that the caller fixes.

    Automatic: batches of 32, or all labels if there are fewer; 20 readings of the labels, between 40 and 400 steps; lr
    1e-3 for all layers; in networks with layer norms 1e-4, and less for earlier layers.
    Raises InvalidInput naming an unknown or impossible field.
    """
    given = dict(given or {})
    known = [field.name for field in fields(Tuning)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidInput(f"unknown setting {unknown[0]!r}; there are {known}.")
    batch = min(positive_int(given.get("batch_size", 32), "batch_size"), n_labels)
    steps = min(_STEPS[1], max(_STEPS[0], -(-20 * n_labels // batch)))
    for name in _LISTS:
        if name in given:
            given[name] = _numbers(given[name], name)
    tuning = replace(Tuning(steps, batch), **{**_OWN.get(family, {}), **given, "batch_size": batch})
    _check(tuning)
    return tuning


def _numbers(value: Any, name: str) -> tuple[float, ...]:
    values = (value,) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    try:
        found = tuple(sorted({float(number) for number in values}))
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must be a number or a list of numbers, got {value!r}.") from None
    if not found:
        raise InvalidInput(f"{name} must hold at least one number, got none.")
    return found


def _check(tuning: Tuning) -> None:
    for name in ("steps", "rank", "mask_epochs"):
        positive_int(getattr(tuning, name), name)
    for name in ("head_ratio", "lora_alpha"):
        positive_number(getattr(tuning, name), name)
    for number in tuning.lr:
        positive_number(number, "lr")
    for name in ("l2_sp", "distortion"):
        positive_number(getattr(tuning, name), name, zero_ok=True)
    if not 0 < tuning.layer_decay <= 1:
        raise InvalidInput(f"layer_decay must lie in (0, 1], got {tuning.layer_decay!r}. 1 treats all layers alike.")
    if not 0 <= tuning.warm_up < 1:
        raise InvalidInput(f"warm_up must lie in [0, 1), got {tuning.warm_up!r}.")
    if not all(0 < share <= 1 for share in tuning.stops):
        raise InvalidInput(f"stops must be shares of the steps in (0, 1], got {list(tuning.stops)}.")
    if not all(0 <= alpha <= 1 for alpha in tuning.alphas):
        raise InvalidInput(
            f"alphas must lie in [0, 1], got {list(tuning.alphas)}. 0 is the start, 1 the tuned network."
        )
    if tuning.bn not in BN:
        raise InvalidInput(f"bn must be one of {list(BN)}, got {tuning.bn!r}.")
    seed_int(tuning.seed)
