"""`oneglance adapt masks`: unlabelled pictures in, a mask over a frozen backbone out, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidInput
from ..features.listfile import LIST_SUFFIXES, Columns, column_of, read_list
from ..store.files import human_bytes, json_bytes, write_atomic
from ..store.lock import only_writer
from .output import note, print_json, print_table, say
from .picture_options import output_options, picture_options
from .progress import shown

if TYPE_CHECKING:
    from ..masks import Cascade, SelfMask

_CHECKPOINT, _REPORT, _MASK = "checkpoint", "report.json", "mask.safetensors"
_CASCADE = "router.npz"
_SETTINGS = ("epochs", "batch_size", "lr", "bn", "n_prototypes", "queue", "eps", "seed")


@click.command(short_help="Adapt a frozen backbone to unlabelled pictures.")
@click.argument("source", nargs=-1, required=True)
@click.option(
    "--backbone", "-b", required=True, metavar="SPEC", help="KIND:NAME as for `oneglance embed`; no TorchScript."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("mask"),
    show_default=True,
    help=f"Folder for {_MASK} and {_REPORT}, and for the checkpoint while training. Example: --out mask-1",
)
@click.option(
    "--labels",
    help="A few known classes, to judge by: `label` for the sub-folders (or --label-column), or a csv/jsonl/parquet "
    "file with item_id and label. Example: --labels done.csv",
)
@click.option("--supervised", is_flag=True, help="Train on 70 % of --labels; the rest is left to the verdict.")
@click.option(
    "--tensors",
    multiple=True,
    help="What is masked: auto, resnet, vit, convnext, linear, or patterns of parameter names; ! takes out; may be "
    "repeated. Default: auto. Example: --tensors 'layer1.*' --tensors '!*.bias'",
)
@click.option(
    "--shortcut-norms", is_flag=True, help="Norm layers in ResNet shortcuts as well, as the paper's code does."
)
@click.option("--epochs", type=click.IntRange(1), help="Readings of the pictures, 20 by default. Example: --epochs 100")
@click.option("--batch-size", type=click.IntRange(1), help="Pictures per step, 64 by default.")
@click.option("--lr", type=float, help="Of the scores; 50, for transformers 10.")
@click.option(
    "--bn",
    type=click.Choice(["adabn", "train", "frozen"]),
    help="Batch norms: measured anew in the end (default), as while training, or the base's.",
)
@click.option("--n-prototypes", type=click.IntRange(2), help="By the size of the pool, or 8 per --n-classes.")
@click.option(
    "--n-classes", type=click.IntRange(1), help="Roughly how many there are, if you know. Example: --n-classes 6"
)
@click.option("--queue", type=click.IntRange(0), help="Earlier embeddings that join a batch; by the size of the pool.")
@click.option("--eps", type=float, help="Of the codes; 0.03, from 20,000 pictures on 0.05.")
@click.option("--seed", type=click.IntRange(0), help="Of everything random; default 0.")
@picture_options("flip")
@click.option(
    "--experts",
    type=click.IntRange(2),
    help="A cascade: a mask for all and so many for parts of the pool (needs scikit-learn). Example: --experts 5",
)
@click.option(
    "--statistics",
    type=click.Choice(["stored", "re-estimate"]),
    default="stored",
    show_default=True,
    help="Batch norms' statistics: in the file, or measured on your pictures whenever it is used.",
)
@picture_options(
    "checkpoint_minutes", "device", "compute", "workers", "max_bad_fraction", "path_column", "id_column", "label_column"
)
@click.option("--overwrite", is_flag=True, help="Replace a mask that is in --out already.")
@click.option("--fresh", is_flag=True, help="Forget the checkpoint in --out and begin anew.")
@click.option("--dry-run", is_flag=True, help="Print what would be masked and trained, and stop.")
@output_options
def masks(
    source: tuple[str, ...],
    backbone: str,
    out: Path,
    labels: str | None,
    supervised: bool,
    tensors: tuple[str, ...],
    shortcut_norms: bool,
    n_classes: int | None,
    flip: bool,
    experts: int | None,
    statistics: str,
    checkpoint_minutes: float,
    device: str,
    compute: str,
    workers: int | None,
    max_bad_fraction: float,
    path_column: str | None,
    id_column: str | None,
    label_column: str | None,
    overwrite: bool,
    fresh: bool,
    dry_run: bool,
    as_json: bool,
    style: str,
    **settings: Any,
) -> None:
    """Learn, without labels, which weights of a frozen backbone to switch off for the pictures of SOURCE.

    SOURCE is an image folder or a list file, as for embed. The file that comes out holds one bit per weight and is
    used with the backbone's own weights, which stay as they are. Whether it helps is judged in the end: by views of
    the pictures, or better by a few --labels. In doubt the verdict is no-go, and the base is the one to use.

    A killed run goes on where it stopped: type the same command again.

    \b
    Examples:
      oneglance adapt masks photos/ -b timm:resnet50=weights.pth --labels done.csv
      oneglance adapt masks photos/ -b timm:resnet50=weights.pth --epochs 100
    """
    columns = Columns(path_column, id_column, label_column)
    pool: Any = list(source) if len(source) > 1 else source[0]
    given = {name: settings[name] for name in _SETTINGS if settings[name] is not None}
    if supervised and labels is None:
        raise click.UsageError("--supervised needs --labels.")
    if experts is not None and (supervised or statistics != "stored"):
        raise click.UsageError("--experts goes with neither --supervised nor --statistics re-estimate.")
    masked = tensors or ("auto",)
    if dry_run:
        _print_plan(pool, columns, backbone, masked, shortcut_norms, n_classes, given, as_json)
        return
    kept = out / (_MASK if experts is None else _CASCADE)
    if kept.exists() and not overwrite:
        raise InvalidInput(f"--out {out} holds {kept.name} already. Give another folder, or --overwrite.")
    from ..masks import adapt_cascade, adapt_masks

    place = out / _CHECKPOINT
    same: dict[str, Any] = {
        "labels": picture_labels(labels),
        "tensors": masked,
        "shortcut_norms": shortcut_norms,
        "crops": {} if flip else {"flip": 0.0},
        "device": device,
        "compute": compute,
        "checkpoint_every_s": 60 * checkpoint_minutes,
        "keep_checkpoint": True,
        "max_bad_fraction": max_bad_fraction,
        "workers": workers,
        "columns": columns,
        "n_classes": n_classes,
        **given,
    }
    with only_writer(out), shown(style) as progress:
        if fresh:
            _forget(place)
        if experts is None:
            made = adapt_masks(backbone, pool, supervised=supervised, checkpoint=place, progress=progress, **same)
            document = _keep_mask(made, out, statistics)
        else:
            cascade = adapt_cascade(
                backbone, pool, n_experts=experts, checkpoint=out / f"{_CHECKPOINT}s", progress=progress, **same
            )
            document = _keep_cascade(cascade, out)
        write_atomic(out / _REPORT, [json_bytes(document)])
        _forget(place)  # not before: a full disk would take the training with it
    if as_json:
        print_json(document)
        return
    for line in document["text"]:
        say(line)
    say(f"-> {', '.join(str(out / name) for name in (*document['bytes'], _REPORT))}")


def picture_labels(value: str | None) -> Any:
    """None, "label", or a dict item id -> class from a file."""
    if value is None or value == "label":
        return value
    path = Path(value)
    if path.suffix.lower() not in LIST_SUFFIXES or not path.exists():
        raise InvalidInput(
            f"--labels: {value!r} is neither `label` nor a {', '.join(LIST_SUFFIXES)} file with item_id and label."
        )
    table = read_list(path)
    columns = Columns(id="item_id", label="label")
    ids, classes = (column_of(table, name, role, columns, path) for name, role in (("item_id", "id"), ("label",) * 2))
    known: dict[str, str] = {}
    for item, entry in zip(ids, classes, strict=True):
        label = (entry or "").strip()
        if label and known.setdefault(str(item), label) != label:
            raise InvalidInput(
                f"--labels: {path} gives {item!r} the labels {known[str(item)]!r} and {label!r}. Keep one of the rows."
            )
    return known


def _forget(place: Path) -> None:
    for path in (place, *sorted(place.with_name(f"{place.name}s").glob("*.pt"))):
        path.unlink(missing_ok=True)


def _keep_mask(made: SelfMask, out: Path, statistics: str) -> dict[str, Any]:
    sizes = made.save(out / _MASK, statistics=statistics)
    text = [f"masked {made.report['tensors']}", *str(made.verdict).splitlines(), str(sizes)]
    n_bad = len(made.report["bad"])
    if n_bad:
        note(f"{n_bad} pictures cannot be used; the reasons are in {out / _REPORT}")
    verdict = made.verdict
    return {
        "go": verdict is not None and verdict.go,
        "text": text,
        "bytes": {_MASK: sizes.file_bytes},
        "keep_rates": made.keep_rates,
        "losses": [] if made.history is None else made.history.losses,
        "base_hash": made.base_hash,
        **_plain(made.report),
    }


def _keep_cascade(made: Cascade, out: Path) -> dict[str, Any]:
    n_bytes = made.save(out)
    text = [repr(made), *str(made.dispatcher.verdict).splitlines()]
    for name, found in made.probe.items():
        text.append(f"{name:>13}: accuracy {found.mean:.3f} ({found.low:.3f} to {found.high:.3f})")
    text.append(", ".join(f"{name} {human_bytes(size)}" for name, size in n_bytes.items()))
    return {
        "go": made.dispatcher.verdict is not None and made.dispatcher.verdict.go,
        "text": text,
        "bytes": n_bytes,
        "sizes": list(made.sizes),
        **_plain(made.dispatcher.report),
    }


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    return {**report, "bad": {str(row): reason for row, reason in report["bad"].items()}}


def _print_plan(
    pool: Any,
    columns: Columns,
    backbone: str,
    tensors: tuple[str, ...],
    shortcut_norms: bool,
    n_classes: int | None,
    given: dict[str, Any],
    as_json: bool,
) -> None:
    from ..features.backbones import as_backbones
    from ..features.source import open_source
    from ..masks import choose_settings, choose_tensors

    source = open_source(pool, columns, for_backbones=True)
    (loaded,) = as_backbones([backbone])
    chosen = choose_tensors(loaded.module, tensors, shortcut_norms=shortcut_norms)
    n_pictures = len(source.items)
    plan = choose_settings(n_pictures, 128, chosen.family, n_classes=n_classes, given=given)
    if as_json:
        print_json({"plan": {"pictures": n_pictures, "tensors": list(chosen.names), **plan.as_dict()}})
        return
    print_table(
        ("plan", ""),
        [
            ("pictures", f"{n_pictures:,}, {source.info.description}"),
            ("masked", str(chosen)),
            ("steps", f"{plan.n_steps(n_pictures):,} of {plan.batch_size} pictures, {plan.epochs} epochs"),
            ("prototypes", f"{plan.n_prototypes}, queue {plan.queue}, eps {plan.eps:g}"),
            ("mask file", f"at most {human_bytes(chosen.n_weights / 8)} and the statistics of batch norms"),
        ],
    )
