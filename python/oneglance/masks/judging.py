"""What a verdict is based on: features of base, AdaBN and mask, computed where the pictures are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._types import IntArray
from .crops import Crops
from .evaluate import features_of, measure_statistics, view_features
from .guard import N_LOOKED_AT, Looked, Verdict, judge
from .layer import keep_rate, masks_of
from .pool import Opened
from .self_mask import as_stored
from .settings import Settings
from .train import History, MaskTrainee, seeded


def verdict_of(
    pool: Opened,
    trainee: MaskTrainee,
    statistics: Mapping[str, Tensor],
    cut: Crops,
    judged: tuple[IntArray, npt.NDArray[Any]] | None,
    history: History,
    plan: Settings,
    supervised: bool,
) -> Verdict:
    """The verdict on a finished training; judged: numbers on the shelf and classes of the pictures to judge by."""
    masks = masks_of(trainee.scores)
    rounded = {
        name: torch.as_tensor(as_stored(value)).to(value) if value.is_floating_point() else value
        for name, value in statistics.items()
    }
    states: dict[str, tuple[Mapping[str, Tensor], Mapping[str, Tensor]]] = {"base": ({}, {})}
    if pool.net.has_batch_norm:
        states["adabn"] = ({}, measure_statistics(pool.net, pool.shelf, {}, pool.device))
    states["mask"] = (trainee.at_rest(), rounded)
    return judge_states(
        pool,
        states,
        replace(cut, n_big=2, n_small=0),
        judged,
        plan.seed,
        keep_rate=keep_rate(masks.values()),
        emptied=sum(not bool(mask.any()) for mask in masks.values()),
        loss=history.last_loss,
        ln_k=history.ln_k,
        supervised=supervised,
    )


def judge_states(
    pool: Opened,
    states: Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Tensor]]],
    cut: Crops,
    judged: tuple[IntArray, npt.NDArray[Any]] | None,
    seed: int,
    **facts: Any,
) -> Verdict:
    """guard.judge on features computed here; states: network -> (replaced tensors, statistics). Looks at 2000 pictures
    and 2000 labelled ones at most."""
    n_looked = min(N_LOOKED_AT, len(pool.shelf))
    some = pool.shelf.part(np.linspace(0, len(pool.shelf) - 1, n_looked).round().astype(np.int64).tolist())
    if judged is not None and len(judged[0]) > N_LOOKED_AT:
        order = torch.randperm(len(judged[0]), generator=seeded(seed, "judged")).numpy()
        judged = judged[0][order[:N_LOOKED_AT]], judged[1][order[:N_LOOKED_AT]]
    looked, labelled = {}, {}
    for name, (replaced, statistics) in states.items():
        plain = features_of(pool.net, some, replaced, statistics, pool.device)
        views = view_features(pool.net, some, replaced, statistics, cut, pool.device, seed)
        looked[name] = Looked(plain, views)
        if judged is not None:
            part = pool.shelf.part(judged[0].tolist())
            labelled[name] = features_of(pool.net, part, replaced, statistics, pool.device)
    return judge(
        looked,
        classes=None if judged is None else judged[1],
        labelled_features=labelled or None,
        seed=seed,
        **facts,
    )
