"""`oneglance adapt finetune`: few labels into a network and a head, compared with the plain probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..adapt.files import FACTS, heads_library
from ..errors import InvalidInput
from ..features.listfile import LIST_SUFFIXES, Columns, read_list, strings
from ..features.specs import BACKBONE_FILE
from ..store.lock import only_writer
from .adapt_masks import picture_labels
from .output import note, print_json, print_table, say
from .picture_options import output_options, picture_options
from .progress import shown
from .run_folder import check_writable

if TYPE_CHECKING:
    from ..finetuning import Finetuned

_CELLS, _REPORT = "cells", "report.json"
_SETTINGS = ("steps", "batch_size", "layer_decay", "l2_sp", "distortion", "bn", "rank", "mask_epochs", "seed")


def _numbers(kind: type) -> Any:
    def parse(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        try:
            return None if value is None else tuple(kind(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(f"must be numbers with commas between them, got {value!r}.") from None

    return parse


def _names(ctx: click.Context, param: click.Parameter, value: str) -> Any:
    names = [name.strip() for name in value.split(",")]
    return names[0] if len(names) == 1 else names


@click.command(short_help="Tune a backbone on few labels, against a plain probe.")
@click.argument("source", nargs=-1, required=True)
@click.option(
    "--backbone", "-b", required=True, metavar="SPEC", help="KIND:NAME as for `oneglance embed`; no TorchScript."
)
@click.option(
    "--labels",
    required=True,
    help="The labels: `label` for the sub-folders (or --label-column), or a csv/jsonl/parquet file with item_id and "
    "label. Example: --labels done.csv",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("finetuned"),
    show_default=True,
    help=f"Folder for the network, its head and {_REPORT}; `embed -b` takes it. Example: --out tuned-1",
)
@click.option(
    "--recipe",
    default="auto",
    show_default=True,
    callback=_names,
    help="auto: by the number of labels; all; or some of lp_ft, wise_ft, lora, bitfit, mask, adabn, self_mask, "
    "self_mask+wise_ft. The plain probe is always tried. Example: --recipe wise_ft,lora",
)
@click.option(
    "--counts",
    callback=_numbers(int),
    help="Compare with fewer labels as well, nested parts of the labels. Example: --counts 20,50,100",
)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Of the cross-validation.")
@click.option("--repeats", type=click.IntRange(1), default=2, show_default=True, help="Of the folds, divided anew.")
@click.option(
    "--roll-back/--no-roll-back", default=True,
    help="Use the plain probe where nothing is better for certain. Default: yes.",
)  # fmt: skip
@click.option("--lr", callback=_numbers(float), help="By the network; several are tried. Example: --lr 3e-4,1e-3")
@click.option("--steps", type=click.IntRange(1), help="Of one training; by the number of labels, 40 to 400.")
@click.option("--batch-size", type=click.IntRange(1), help="Labelled pictures per step, 32 by default.")
@click.option("--layer-decay", type=float, help="Learning rate from each layer to the one before; 1: all alike.")
@click.option("--l2-sp", type=float, help="Strength of the pull of weights to their start, 0.01. 0: none.")
@click.option("--distortion", type=float, help="Strength of the pull of features to their start, 0 by default.")
@click.option("--bn", type=click.Choice(["frozen", "train"]), help="Batch norm statistics; frozen by default.")
@click.option("--alphas", callback=_numbers(float), help="Of WiSE-FT. Default: 0,0.25,0.5,0.75,1")
@click.option("--rank", type=click.IntRange(1), help="Of LoRA, 8 by default.")
@click.option("--mask-epochs", type=click.IntRange(1), help="Readings of the pool by self_mask, 20 by default.")
@click.option("--seed", type=click.IntRange(0), help="Of everything random; default 0.")
@picture_options(
    "flip", "device", "workers", "max_bad_fraction", "path_column", "id_column", "label_column", "group_column"
)
@click.option("--overwrite", is_flag=True, help="Replace a result that is in --out already.")
@click.option("--fresh", is_flag=True, help=f"Forget the trainings in --out/{_CELLS} and begin anew.")
@click.option("--dry-run", is_flag=True, help="Print what would be tried, why and how much of it, and stop.")
@output_options
def finetune(
    source: tuple[str, ...],
    backbone: str,
    labels: str,
    out: Path,
    recipe: Any,
    counts: tuple[int, ...] | None,
    folds: int,
    repeats: int,
    roll_back: bool,
    lr: tuple[float, ...] | None,
    alphas: tuple[float, ...] | None,
    flip: bool,
    device: str,
    workers: int | None,
    max_bad_fraction: float,
    path_column: str | None,
    id_column: str | None,
    label_column: str | None,
    group_column: str | None,
    overwrite: bool,
    fresh: bool,
    dry_run: bool,
    as_json: bool,
    style: str,
    **settings: Any,
) -> None:
    """Tune a backbone on the few labelled pictures of SOURCE, and say whether that beats a plain probe.

    SOURCE is an image folder or a list file, as for embed, with labelled and unlabelled pictures. Recipes are compared
    on labels they did not see; where none is better for certain, the plain probe on the untouched backbone is the
    result. A killed run goes on where it stopped: type the same command again.

    \b
    Examples:
      oneglance adapt finetune photos/ -b timm:resnet50=w.pth --labels done.csv
      oneglance embed photos/ -b finetuned --out store
      oneglance adapt predict store --heads finetuned
    """
    pool: Any = list(source) if len(source) > 1 else source[0]
    groups = None if group_column is None else _groups_of_labels(labels, group_column)
    columns = Columns(path_column, id_column, label_column, group=group_column if groups is None else None)
    given = {name: settings[name] for name in _SETTINGS if settings[name] is not None}
    given |= {name: value for name, value in (("lr", lr), ("alphas", alphas)) if value is not None}
    asked: dict[str, Any] = {
        "recipe": recipe,
        "counts": counts or (),
        "folds": folds,
        "repeats": repeats,
        "columns": columns,
        "groups": groups,
        **given,
    }
    known = picture_labels(labels)
    if dry_run:
        _print_plan(backbone, pool, known, asked, as_json)
        return
    there = [name for name in (_REPORT, BACKBONE_FILE, FACTS) if (out / name).exists()]
    if there and not overwrite:
        raise InvalidInput(f"--out {out} holds {there[0]} already. Give another folder, or --overwrite.")
    check_writable(out, out)
    from ..finetuning import finetune as run

    heads_library()
    with only_writer(out), shown(style) as progress:
        if fresh:
            for path in sorted((out / _CELLS).glob("*")):
                path.unlink()
        made = run(
            backbone,
            pool,
            known,
            roll_back=roll_back,
            crops={} if flip else {"flip": 0.0},
            device=device,
            checkpoint=out / _CELLS,
            max_bad_fraction=max_bad_fraction,
            workers=workers,
            progress=progress,
            **asked,
        )
        sizes = made.save(out)
    if as_json:
        print_json({"out": str(out), "bytes": sizes, **made.document()})
        return
    _show(made)
    say(f"-> {out}: {', '.join(sizes)}")


def _groups_of_labels(labels: str, column: str) -> dict[str, str] | None:
    """Item id -> group, of a labels file that has this column; None where the list of pictures has to."""
    path = Path(labels)
    if path.suffix.lower() not in LIST_SUFFIXES or not path.is_file():
        return None
    table = read_list(path)
    if column not in table or "item_id" not in table:
        return None
    return {
        str(item): group
        for item, group in zip(strings(table["item_id"]), strings(table[column]), strict=True)
        if item and group
    }


def _print_plan(backbone: str, pool: Any, known: Any, asked: dict[str, Any], as_json: bool) -> None:
    from ..finetuning import plan_finetune

    plan = plan_finetune(backbone, pool, known, **asked)
    if as_json:
        print_json({"plan": plan.as_dict()})
        return
    print_table(("plan", ""), plan.lines())


def _show(made: Finetuned) -> None:
    say(f"{made.recipe}: {' '.join(made.reason)}")
    rows = []
    for found in (*made.curve, *made.scores):
        row: list[Any] = [found.recipe, found.count or "all"]
        if found.accuracy is None:
            rows.append([*row, "-", "-", "failed"])
            note(f"{found.recipe}: {found.failed}")
            continue
        gain = (
            "-" if found.gain is None else f"{found.gain.mean:+.3f} ({found.gain.low:+.3f} to {found.gain.high:+.3f})"
        )
        accuracy = f"{found.accuracy.mean:.3f} ({found.accuracy.low:.3f} to {found.accuracy.high:.3f})"
        rows.append([*row, accuracy, gain, found.verdict])
    if rows:
        print_table(("recipe", "labels", "accuracy", "against the probe", "verdict"), rows)
    for text in made.notes:
        note(f"note: {text}")
