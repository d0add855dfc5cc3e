"""`oneglance pretrain`: unlabelled pictures in, a backbone for `oneglance embed` out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..features.listfile import Columns
from ..store.files import human_bytes
from .output import duration, note, print_json, print_table, say
from .picture_options import output_options, picture_options
from .progress import shown

if TYPE_CHECKING:
    from ..pretraining import Pretrained, PretrainPlan

_SETTINGS = ("epochs", "batch_size", "lr", "weight_decay", "warm_up", "n_classes", "seed", "encoder", "size", "patch")


@click.command(short_help="Train a backbone on unlabelled pictures.")
@click.argument("source", nargs=-1, required=True)
@click.option(
    "--method",
    default="mae",
    show_default=True,
    help="mae (hidden patches), swav, simclr, nnclr (views), or mae-ct: mae, then tuned by views.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("backbone"),
    show_default=True,
    help="Folder of the backbone, and of the checkpoint while training. Example: --out vit-photos",
)
@click.option(
    "--encoder",
    default="auto",
    show_default=True,
    help="vit or resnet, sized by the pictures, or with a size: vit-tiny, resnet-small, ...-base, ...-large. auto: vit "
    "where patches are hidden, else resnet.",
)
@click.option(
    "--from", "start", metavar="SPEC", help="Go on from this backbone instead, given as for `oneglance embed`."
)
@click.option(
    "--size", help="Side of the pictures, or HEIGHTxWIDTH; by the pictures, 224 at most. Example: --size 48x64"
)
@click.option("--patch", type=click.IntRange(1), help="Side of a transformer's patches; about 8 fit the shorter side.")
@click.option("--epochs", type=click.IntRange(1), help="Readings of the pictures; 3,000 steps, 20 to 400 epochs.")
@click.option("--batch-size", type=click.IntRange(1), help="Pictures per step, 64 by default.")
@click.option("--lr", type=float, help="At a batch of 256, scaled by the batch; by the method and the encoder.")
@click.option("--weight-decay", type=float, help="By the method.")
@click.option("--warm-up", type=float, help="Share of the steps in which lr rises; by the method.")
@click.option(
    "--n-classes", type=click.IntRange(1), help="Roughly how many there are, if you know. Example: --n-classes 6"
)
@picture_options("flip")
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the method; may be repeated, docs/pretrain.md lists them. Example: --set mask_ratio=0.6",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything random.")
@picture_options("checkpoint_minutes", "device", "compute", "workers", "max_bad_fraction", "path_column", "id_column")
@click.option("--overwrite", is_flag=True, help="Replace a backbone that is in --out already.")
@click.option("--fresh", is_flag=True, help="Forget the checkpoint in --out and begin anew.")
@click.option("--dry-run", is_flag=True, help="Print what would be trained, for how long, and stop.")
@output_options
def pretrain(
    source: tuple[str, ...],
    method: str,
    out: Path,
    start: str | None,
    flip: bool,
    options: tuple[str, ...],
    checkpoint_minutes: float,
    device: str,
    compute: str,
    workers: int | None,
    max_bad_fraction: float,
    path_column: str | None,
    id_column: str | None,
    overwrite: bool,
    fresh: bool,
    dry_run: bool,
    as_json: bool,
    style: str,
    **settings: Any,
) -> None:
    """Train an encoder on the pictures of SOURCE without labels; `oneglance embed -b OUT` uses what comes out.

    SOURCE is an image folder or a list file, as for embed. A plan comes first. A killed run goes on where it stopped:
    type the same command again. On several GPUs of one machine, put `torchrun --nproc-per-node 8 --no-python` in
    front.

    \b
    Examples:
      oneglance pretrain photos/ --method mae-ct --out vit-photos
      oneglance pretrain photos/ --method swav --from timm:resnet50=weights.pth
      oneglance embed photos/ -b vit-photos -o store
    """
    from ..pretraining import plan_pretrain, pretrain
    from ..pretraining.ranks import is_first

    pool: Any = list(source) if len(source) > 1 else source[0]
    given = {name: settings[name] for name in _SETTINGS if settings[name] is not None}
    same: dict[str, Any] = {
        "method": method,
        "start": start,
        "crops": {} if flip else {"flip": 0.0},
        "columns": Columns(path_column, id_column),
        **_options(options),
        **given,
    }
    if dry_run:
        if is_first():
            _show_plan(plan_pretrain(pool, **same), as_json)
        return
    if is_first():
        _announce(plan_pretrain(pool, measured=False, **same))
    with shown(style) as progress:
        made = pretrain(
            pool,
            out,
            device=device,
            compute=compute,
            checkpoint_every_s=60 * checkpoint_minutes,
            fresh=fresh,
            overwrite=overwrite,
            max_bad_fraction=max_bad_fraction,
            workers=workers,
            progress=progress,
            **same,
        )
    if is_first():
        _show(made, out, as_json)


def _options(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"--set must look like NAME=VALUE, got {text!r}.")
        if name in found:
            raise click.UsageError(f"--set {name} is given twice.")
        found[name] = value
    return found


def _announce(plan: PretrainPlan) -> None:
    note(
        f"{plan.method} on {plan.n_pictures:,} pictures at {plan.size[0]} x {plan.size[1]}: {plan.encoder}, "
        f"{plan.n_weights:,} weights, {plan.n_steps:,} steps of {plan.settings.batch_size} pictures"
    )


def _show_plan(plan: PretrainPlan, as_json: bool) -> None:
    if as_json:
        print_json({"plan": plan.as_dict()})
        return
    settings = plan.settings
    rows = [
        ("pictures", f"{plan.n_pictures:,}, {plan.source}"),
        ("seen at", f"{plan.size[0]} x {plan.size[1]} pixels, {plan.n_channels} channels"),
        ("encoder", f"{plan.encoder}, {plan.n_weights:,} weights"),
        ("steps", f"{plan.n_steps:,} of {settings.batch_size} pictures, {settings.epochs} epochs"),
        ("memory", f"about {human_bytes(plan.n_bytes or 0)} beside Python and torch"),
        ("time", f"about {duration(plan.seconds or 0)} on this machine's CPU"),
    ]
    for stage in plan.stages:
        chosen = ", ".join(f"{name} {value}" for name, value in stage.items() if name not in ("name", "steps"))
        rows.append((stage["name"], chosen))
    print_table(("plan", ""), rows)


def _show(made: Pretrained, out: Path, as_json: bool) -> None:
    for text in made.alarms:
        note(f"alarm: {text}")
    if made.bad:
        note(f"{len(made.bad)} pictures cannot be used; the reasons are in {out / 'record.json'}")
    if as_json:
        print_json({"out": str(out), "provenance": made.provenance, **made.record()})
        return
    first: dict[str, Any] = {}
    last: dict[str, Any] = {}
    for entry in made.curve:
        first.setdefault(str(entry["stage"]), entry)
        last[str(entry["stage"])] = entry
    for stage, entry in last.items():
        words = [f"{stage}: {entry['epoch']} epochs, loss {first[stage]['loss']:.4g} -> {entry['loss']:.4g}"]
        if "loss_over_ln_k" in entry:
            words.append(f"{entry['loss_over_ln_k']:.3f} of ln K")
        if "rank_me" in entry:
            words.append(f"RankMe {entry['rank_me']:.1f}, spread {entry['spread']:.2f}")
        say(", ".join(words))
    say(f"{duration(made.course.wall_s)} ({duration(made.course.cpu_s)} of CPU) -> {out}; oneglance embed ... -b {out}")
