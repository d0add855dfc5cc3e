"""finetune: pictures, a backbone and few labels in, the network and head that use them best out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..features.listfile import Columns
from ..features.pictures import MAX_PIXELS, BadPictureError
from ..features.progress import Callback, as_callback
from ..features.source import Source
from ..masks.hashes import weights_hash
from ..masks.job import automatic_crops
from ..masks.pool import opened
from ..masks.rules import family_of
from .choosing import choose, the_probe
from .copies import copy_remarks, first_copies, with_copies
from .folder import heads_of
from .folds import group_numbers, make_cells, remarks
from .judging import PROBE
from .labelled import usable
from .plan import plan_finetune
from .result import Finetuned
from .settings import choose_tuning
from .train import Diverged
from .trials import Trials
from .workshop import Workshop


def finetune(
    backbone: Any,
    images: Any,
    labels: Any,
    *,
    recipe: str | Sequence[str] = "auto",
    counts: Sequence[int] = (),
    folds: int = 5,
    repeats: int = 2,
    roll_back: bool = True,
    groups: Sequence[Any] | Mapping[str, Any] | None = None,
    crops: Mapping[str, Any] | None = None,
    device: Any = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    columns: Columns | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bad_fraction: float = 0.1,
    workers: int | None = None,
    progress: bool | Callback = False,
    **settings: Any,
) -> Finetuned:
    """Transfer with few labels: recipes compared with the plain probe on labels they did not see; the best, or the
    probe where none is better for certain.

    backbone    a torch module, a Backbone, or a string as for embed (no TorchScript). It is never changed
    images      the pool, labelled and unlabelled pictures: folder, list, uint8 or preprocessed float arrays, Dataset
    labels      classes: one per picture (None: unknown), a dict id or row -> class, or "label" for the sub-folders
    recipe      "auto": by the number of labels, see recipes.choose_recipes; "all"; one or several of "lp_ft" (head
                first, then everything), "wise_ft" (between the start and that), "lora" (needs peft), "bitfit" (biases),
                "mask" (one bit per weight, from labels); "adabn" and "self_mask" (without labels, then a probe), which
                before "+" start another recipe. The plain probe is always tried
    counts      numbers of labels to try all recipes with as well: nested parts of each fold, classes as even as can be
    folds, repeats  of the cross-validation: stratified; a class with one label is never held out
    groups      one per picture or by id, None for one of its own: pictures of one scene or patient, held out together;
                by default the column of the list that columns names. Copies, equal to the bit, are always
    roll_back   False: the best of the recipes asked for is used even where it is no better than the probe
    crops       fields of Crops to change, e.g. {"flip": 0} for digits
    checkpoint  folder for every training's outputs: the same call goes on from there after a kill; it is left there
    settings    fields of Tuning to fix: steps, lr, layer_decay, l2_sp, distortion, bn, alphas, seed, ...

    Variants (learning rate, number of steps, alpha) are chosen by cross-validation, and each picture is judged by the
    variant that pictures of other folds chose. Gains are paired by cell, with intervals for overlapping training parts
    and corrected for the number of recipes. Same arguments, pictures and threads: same bits on a CPU.
    Cost: folds * repeats + 1 trainings per recipe, of at most 400 steps; self-masking once. Memory: the pictures as
    bytes (up to 2 GB), and the network five times.
    Source: LP-FT arXiv 2202.10054, WiSE-FT 2109.01903, LoRA 2106.09685, BitFit 2106.10199, L2-SP 1802.01483.
    Raises InvalidInput, BadData, StoreError, MissingDependency.
    """
    plan = plan_finetune(
        backbone,
        images,
        labels,
        recipe=recipe,
        counts=counts,
        folds=folds,
        repeats=repeats,
        groups=groups,
        columns=columns,
        **settings,
    )
    base = plan.base
    callback, place = as_callback(progress), None if checkpoint is None else Path(checkpoint)
    began = time.monotonic()
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
        known, numbers, lost = usable(plan.labels, pool.shelf.rows, pool.shelf.bad, pool.ids)
        tuning = choose_tuning(known.rows.size, family_of(base.module), settings)
        cut = automatic_crops(pool, crops, supervised=True)
        shop = Workshop(pool, numbers, known.codes, len(known.names), tuning, cut, callback=callback)
        copies = first_copies(pool.shelf, numbers)
        together = with_copies(group_numbers(known.rows, plan.groups), copies)
        cells = make_cells(known.codes, folds, repeats, tuple(counts), tuning.seed, together)
        trials = Trials(shop, place)
        scores, curve = trials.run(plan.recipes, cells)
        used, verdict = choose(scores, plan.recipes, tuning, roll_back)
        try:
            network, head, adapter = shop.final(used.recipe, used.variant)
        except Diverged as error:
            if not roll_back or used.recipe.name == PROBE:
                raise
            verdict += f" Trained on all labels it failed, so the plain probe is used: {error}"
            used = the_probe(plan.recipes, scores)
            network, head, adapter = shop.final(used.recipe, used.variant)
        shop.features(network, numbers[:1])  # says how its output is pooled
        for module in (network.module, adapter):
            if module is not None and module is not base.module:
                module.to("cpu")
        heads = heads_of(network, head, known, used, ready=_are_floats(plan.source))
        record = {
            "backbone": base.spec,
            "base_hash": weights_hash(dict(base.module.named_parameters())),
            "pictures": len(pool.shelf),
            "bad": {str(row): reason for row, reason in pool.shelf.bad.items()},
            "labels": {str(name): int((known.codes == code).sum()) for code, name in enumerate(known.names)},
            "settings": tuning.as_dict(),
            "crops": vars(cut).copy(),
            "cells": len(cells),
            "trainings": trials.done,
            "starts": {name: start.facts for name, start in shop.starts.items()},
            "seconds": round(time.monotonic() - began, 1),
        }
    return Finetuned(
        used.recipe.name,
        str(used.variant),
        (plan.why, verdict),
        network,
        heads,
        tuple(scores),
        tuple(curve),
        (
            *filter(None, [lost]),
            *copy_remarks(known, copies, pool.ids),
            *remarks(known.codes, known.names, cells, together, tuple(counts)),
        ),
        record,
        adapter,
    )


def _are_floats(source: Source) -> bool:
    """Whether pictures come preprocessed already, as embed tells it."""
    if source.pictures is None:
        return False
    for row in range(len(source.pictures)):
        try:
            return isinstance(source.pictures.load(row)[0], np.ndarray)
        except BadPictureError:
            continue
    return False
