"""One adaptation on opened pictures: from settings to a SelfMask. adapt_masks does one, a cascade several."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._types import IntArray
from ..errors import InvalidInput
from ..features.backbones import Backbone, pick_compute
from ..features.progress import Callback
from ..store.files import digest
from .crops import Crops, crops_for
from .evaluate import measure_statistics
from .goals import Goal, LabelGoal, SwavGoal
from .hashes import weights_hash
from .judging import verdict_of
from .layer import masks_of
from .network import Network
from .pool import Opened
from .rules import FAMILIES, Chosen, family_of
from .self_mask import SelfMask, make_mask
from .settings import Settings, choose_settings
from .shelf import Shelf
from .train import EVERY_S, MaskTrainee, seeded, train

HELD_OUT = 0.3
"""Share of the labels that supervised masks leave to the verdict."""


@dataclass(frozen=True, eq=False)
class Job:
    """What adaptations of one backbone have in common; `run` does one on an opened pool.

    held_out  share of each class's labels that supervised masks leave to the verdict
    """

    base: Backbone
    chosen: Chosen
    crops: Mapping[str, Any] | None = None
    n_classes: int | None = None
    compute: str = "auto"
    every_s: float = EVERY_S
    callback: Callback | None = None
    held_out: float = HELD_OUT
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self,
        pool: Opened,
        *,
        known: tuple[IntArray, npt.NDArray[Any]] | None = None,
        supervised: bool = False,
        start: SelfMask | None = None,
        guard: bool = True,
        checkpoint: Path | None = None,
        what: str = "adapt",
    ) -> SelfMask:
        """A mask for the pool's shelf. known: numbers on the shelf and their classes. The checkpoint stays."""
        if self.compute == "float16":
            raise InvalidInput('compute must be "auto", "float32" or "bfloat16": scores are not trained in float16.')
        arithmetic = pick_compute(self.compute, pool.device, self.base)
        given = {"compute": "bfloat16" if arithmetic == "bfloat16" else "float32", **self.settings}
        if supervised:
            given = {"warm_up": 40 / 150, **given}
        cut = automatic_crops(pool, self.crops, supervised)
        shelf, judged, target = _roles(pool, known, supervised, self.held_out, int(given.get("seed", 0)))
        n_dims = _n_dims(pool)
        family = self.chosen.family if self.chosen.family in FAMILIES else family_of(self.base.module)
        plan = choose_settings(len(shelf), n_dims, family, n_classes=self.n_classes, given=given)
        goal = _goal(plan, n_dims, cut, target, pool)
        scores, head = _continued(start, self.chosen, self.base.module)
        if head is not None:
            goal.go_on_from(head)
        weights = {name: pool.net.tensors[name] for name in self.chosen.names}
        trainee = MaskTrainee(weights, scores)
        statistics = pool.net.copy_statistics()
        history = train(
            pool.net,
            shelf,
            trainee,
            goal,
            plan,
            statistics,
            pool.device,
            checkpoint=checkpoint,
            every_s=self.every_s,
            mark=_mark(plan, cut, self.chosen, shelf, pool, target, trainee, goal),
            callback=self.callback,
            what=what,
        )
        if plan.bn == "adabn":
            statistics = measure_statistics(pool.net, pool.shelf, trainee.at_rest(), pool.device)
        if plan.bn == "frozen":
            statistics = {}
        verdict = verdict_of(pool, trainee, statistics, cut, judged, history, plan, supervised) if guard else None
        return make_mask(
            self.base,
            masks_of(trainee.scores),
            statistics,
            {"base": self.base.spec, "preprocessing": self.base.preprocessing, "mu": 0.0},
            verdict=verdict,
            history=history,
            scores={name: value.detach().cpu() for name, value in trainee.scores.items()},
            head={name: value.detach().cpu() for name, value in goal.tensors().items()},
            report={
                "tensors": str(self.chosen),
                "pictures": len(pool.shelf),
                "bad": dict(pool.shelf.bad),
                "settings": plan.as_dict(),
                "crops": vars(cut).copy(),
                "prototypes_used": history.used,
                "kept_by_epoch": list(history.kept),
            },
        )


def _n_dims(pool: Opened) -> int:
    """By the first picture."""
    picture = pool.shelf.plain(torch.arange(1), pool.device)
    base = pool.net.backbone
    try:
        return int(pool.net.features(picture, {}, {}).shape[1])
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        first = str(error).strip().split("\n")[0]
        others = sorted({str(value.dtype) for value in base.module.parameters()} - {"torch.float32"})
        cure = (
            f'It holds {", ".join(others)}: give module.float(), and compute="bfloat16" for speed.'
            if others
            else "Check the module and its preprocessing."
        )
        raise InvalidInput(
            f'backbone "{base.name}" failed on a batch of shape {tuple(picture.shape)}: {type(error).__name__}: '
            f"{first}. {cure}"
        ) from error


def automatic_crops(pool: Opened, given: Mapping[str, Any] | None = None, supervised: bool = False) -> Crops:
    """crops_for() of the network's own size, with what is given; small views get the big size where the network takes
    no other."""
    changed = dict(given or {})
    fields: dict[str, Any] = dict(vars(crops_for(pool.shelf.size)))
    if supervised:
        fields |= {"n_big": 1, "n_small": 0, "scale_big": (0.5, 1.0), "jitter": 0.5, "blur": 0.0}
    unknown = sorted(set(changed) - set(Crops.__dataclass_fields__))
    if unknown:
        raise InvalidInput(f"crops: no field {unknown[0]!r}; there are {list(Crops.__dataclass_fields__)}.")
    cut = Crops(**{**fields, **changed})
    if not supervised and cut.n_big != 2:
        raise InvalidInput(f"crops: n_big must be 2, as two views get codes, got {cut.n_big}.")
    if cut.n_small and "small" not in changed and not _takes(pool, cut.small):
        cut = replace(cut, small=cut.big)
    return cut


def _takes(pool: Opened, size: tuple[int, int]) -> bool:
    """Whether a copy of the network runs on pictures of that size beside its own: transformers with fixed positions do
    not, nor do those whose windows shrink with a picture and stay small."""
    twin = copy.copy(pool.net.backbone)
    twin.module = copy.deepcopy(twin.module)
    net = Network(twin)

    def run(sides: tuple[int, int]) -> Tensor:
        trial = torch.zeros(2, pool.shelf.n_channels, *sides, device=pool.device)
        return net.features(pool.shelf.levels.to_input(trial), {}, {})

    try:
        with torch.no_grad():
            before = run(pool.shelf.size)
            run(size)
            return torch.equal(run(pool.shelf.size), before)
    except (RuntimeError, ValueError, AssertionError):
        return False


def _roles(
    pool: Opened, known: tuple[IntArray, npt.NDArray[Any]] | None, supervised: bool, held_out: float, seed: int
) -> tuple[Shelf, tuple[IntArray, npt.NDArray[Any]] | None, tuple[Tensor, int] | None]:
    """What is trained on, the labelled pictures of the verdict, and the class numbers of a supervised training."""
    if known is None or not supervised:
        return pool.shelf, known, None
    numbers, classes = known
    names, codes = np.unique(classes, return_inverse=True)
    held = np.zeros(len(numbers), dtype=bool)
    for code in range(len(names)):
        own = np.flatnonzero(codes == code)
        order = torch.randperm(len(own), generator=seeded(seed, "held out", code)).numpy()
        held[own[order[: int(held_out * len(own))]]] = True
    trained = numbers[~held]
    if len(np.unique(codes[~held])) < 2:
        raise InvalidInput("labels must hold two classes at least to train on.")
    target = torch.from_numpy(codes[~held].astype(np.int64))
    judged = (numbers[held], classes[held]) if held.any() else None
    return pool.shelf.part(trained.tolist()), judged, (target, len(names))


def _goal(plan: Settings, n_dims: int, cut: Crops, target: tuple[Tensor, int] | None, pool: Opened) -> Goal:
    random = seeded(plan.seed, "head")
    if target is not None:
        return LabelGoal(n_dims, target[0], target[1], cut, pool.device, random)
    return SwavGoal(n_dims, plan, cut, pool.device, random)


def _continued(
    start: SelfMask | None, chosen: Chosen, module: torch.nn.Module
) -> tuple[dict[str, Tensor] | None, dict[str, Tensor] | None]:
    if start is None:
        return None, None
    start.check_base(module)
    if start.scores is None or set(start.scores) != set(chosen.names):
        raise InvalidInput(
            "start must be a SelfMask with scores of the same tensors, as adapt_masks returns it; a loaded one has not."
        )
    return start.scores, start.head


def _mark(
    plan: Settings,
    cut: Crops,
    chosen: Chosen,
    shelf: Shelf,
    pool: Opened,
    target: tuple[Tensor, int] | None,
    trainee: MaskTrainee,
    goal: Goal,
) -> str:
    """Of all that the training depends on."""
    codes = "" if target is None else repr(target[0].tolist())
    scores = weights_hash({**trainee.scores, **goal.tensors()})
    parts = (repr(plan), repr(cut), repr(chosen.names), pool.shelf.content, repr(shelf.rows.tolist()), codes, scores)
    base = pool.net.backbone
    who = (base.hash(), repr((base.preprocessing, base.pool, base.output)))
    return digest(*(part.encode() for part in (*who, *parts)))
