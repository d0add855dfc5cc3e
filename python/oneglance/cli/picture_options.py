"""Options that the verbs share which train on pictures: `pretrain`, `adapt masks`, `adapt finetune`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .pool_options import Command, adding, some_pool_options
from .progress import STYLES

_SHARED: dict[str, Callable[[Any], Any]] = {
    "flip": click.option("--flip/--no-flip", default=True, help="Mirror images among the views. Default: yes."),
    "checkpoint_minutes": click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(0),
        default=5.0,
        show_default=True,
        help="How often progress is kept.",
    ),
    "device": click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."),
    "compute": click.option(
        "--compute",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="auto: bfloat16 on CUDA, float32 elsewhere.",
    ),
    "workers": click.option("--workers", type=click.IntRange(1), help="Decoding threads; default by cores."),
    "max_bad_fraction": click.option(
        "--max-bad-fraction", default=0.1, show_default=True, help="Share of pictures that may be unusable."
    ),
    "path_column": click.option("--path-column", help="Column of paths in a list file."),
    "id_column": click.option("--id-column", help="Column of unique item ids."),
    "label_column": click.option("--label-column", help="Column of known labels."),
    "group_column": click.option(
        "--group-column", help="Column of groups (scene, patient), which are judged on as wholes."
    ),
}


def picture_options(*names: str) -> Callable[[Command], Command]:
    """Adds the options of these names (that of the parameter), in the order given."""
    return adding([_SHARED[name] for name in names])


def output_options(command: Command) -> Command:
    """Adds --json and --progress."""
    shown = click.option(
        "--progress", "style", type=click.Choice(STYLES), default="auto", show_default=True, help="On stderr."
    )
    return some_pool_options("as_json")(shown(command))
