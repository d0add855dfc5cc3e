"""`oneglance embed`: a pool of pictures (or ready vectors) in, a feature store out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..store import FeatureStore


@click.command(short_help="Pictures or vectors in, a feature store out.")
@click.argument("source", nargs=-1, required=True)
@click.option("--backbone", "-b", "backbones", multiple=True, metavar="SPEC", help="KIND:NAME; may be repeated.")
@click.option(
    "--mask", "masks", multiple=True, metavar="[NAME=]FILE",
    help="A mask of `adapt masks` to put on the backbone of that name; may be repeated.",
)  # fmt: skip
@click.option(
    "--out", "-o", required=True, metavar="STORE", help="Folder of the feature store; an unfinished one is continued."
)
@click.option("--batch-size", default=32, show_default=True, help="Pictures per forward pass.")
@click.option("--workers", type=int, help="Decoding processes; default by cores and device.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option(
    "--compute", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto", show_default=True,
    help="Arithmetic of the forward pass; auto: bfloat16 on CUDA, float32 elsewhere.",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["auto", "float16", "float32"]), default="auto", show_default=True,
    help="How features are kept; auto: float16 unless a row would lose more than 0.1 % of its norm.",
)  # fmt: skip
@click.option("--patterns", is_flag=True, help="Keep local features of every picture as well (FreeSel).")
@click.option(
    "--n-patterns", type=int, help="At most so many per picture; default 5. Implies --patterns, as do the next."
)
@click.option("--tau", type=float, help="Share of the class token's attention whose patches are kept; default 0.5.")
@click.option("--norm-threshold", type=float, help="Without attention: L2 norm that kept positions exceed; default 0.")
@click.option("--no-attention", is_flag=True, help="Keep all patches of a transformer, whatever it attends to.")
@click.option("--seed", type=int, help="Random numbers of the patterns' k-means; default 0.")
@click.option("--shard-rows", type=int, help="Rows per shard, the unit of resumption.")
@click.option("--max-bad-fraction", default=0.1, show_default=True, help="Share of items that may be unusable.")
@click.option("--max-pixels", type=int, help="Larger pictures count as bad (decompression bombs).")
@click.option("--path-column", help="Column of paths in a list file; default path, filepath, file or image.")
@click.option("--id-column", help="Column of unique item ids.")
@click.option("--label-column", help="Column of known labels.")
@click.option("--stratum-column", help="Column of strata.")
@click.option("--group-column", help="Column of groups (scene, patient, ...).")
@click.option("--vector-column", "vector_columns", multiple=True, help="Array of an .npz or list column; repeatable.")
@click.option("--fresh", is_flag=True, help="Begin anew: a store in STORE is removed first.")
@click.option("--verify", is_flag=True, help="Hash finished shards instead of checking size and header.")
@click.option("--dry-run", is_flag=True, help="Print the plan (items, disk, RAM, time) and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option(
    "--progress", "style", type=click.Choice(["auto", "rich", "plain", "none"]), default="auto", show_default=True,
    help="auto: a bar on a terminal, a line every 10 s elsewhere; always on stderr.",
)  # fmt: skip
def embed(source: tuple[str, ...], as_json: bool, dry_run: bool, style: str, **options: Any) -> None:
    """Run frozen backbones over SOURCE once and keep their features in STORE.

    SOURCE is an image folder (sub-folder = label), a list file (.txt .csv .tsv .jsonl .parquet with a column of
    paths), or ready vectors (.npy .npz, Parquet list columns; several files are several backbones).

    \b
    SPEC is one of
      torchvision:NAME[=FILE|=random]    timm:NAME[=FILE|=random]
      transformers:FOLDER                torchscript:FILE
    and may end in ?option=value&...: name, pool, output, seed, weights, and
    for the pictures size, resize, fit, filter, channels, scale, mean, std.
    Nothing is downloaded.

    A killed run goes on where it stopped: type the same command again.

    \b
    Examples:
      oneglance embed photos/ -b "torchscript:net.pt?size=128" -o photos.store
      oneglance embed photos/ -b transformers:dinov2/ --patterns -o photos.store
      oneglance embed vit.npy cnn.npy -o vectors.store
    """
    from ..features.embedding import embed as run
    from ..features.listfile import Columns
    from ..features.pictures import MAX_PIXELS
    from ..features.plan import plan_embed
    from .progress import shown

    options["patterns"] = _patterns(options)
    pool = list(source) if len(source) > 1 else source[0]
    backbones: Any = list(options.pop("backbones")) or None
    masks = options.pop("masks")
    if masks:
        from .masked import masked

        backbones = masked(backbones or [], masks, pool)
    out = options.pop("out")
    if options["max_pixels"] is None:
        options["max_pixels"] = MAX_PIXELS
    if dry_run:
        columns = Columns(
            options["path_column"], options["id_column"], options["label_column"], options["stratum_column"],
            options["group_column"], options["vector_columns"],
        )  # fmt: skip
        same = ("batch_size", "workers", "device", "compute", "dtype", "patterns", "shard_rows", "max_pixels", "fresh")
        plan = plan_embed(pool, backbones, out, columns=columns, **{key: options[key] for key in same})
        click.echo(json.dumps(plan.as_dict(), indent=2) if as_json else "\n".join(plan.lines()))
        return
    with shown(style) as progress:
        store = run(pool, backbones, out, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(summary(store), indent=2))
        return
    from .output import say

    for line in lines(store):
        say(line)


def _patterns(options: dict[str, Any]) -> dict[str, Any] | None:
    """Takes the options of patterns out; None if none was given."""
    given = {key: options.pop(key) for key in ("n_patterns", "tau", "norm_threshold", "seed")}
    given = {key: value for key, value in given.items() if value is not None}
    if options.pop("no_attention"):
        given["attention"] = False
    return given if options["patterns"] or given else None


def summary(store: FeatureStore) -> dict[str, Any]:
    """The result for machines."""
    kept = {name: store.manifest["backbones"][name] for name in store.backbones}
    return {
        "store": str(store.path),
        "n_items": store.n_items,
        "n_bad": int(store.manifest["n_bad"]),
        "content_hash": store.content_hash(),
        "backbones": {
            name: {
                **{key: entry[key] for key in ("spec", "n_dims", "dtype", "compute", "preprocessing", "pooling")},
                "patterns": _pattern_summary(entry.get("patterns")),
            }
            for name, entry in kept.items()
        },
    }


def _pattern_summary(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    total = sum(shard["n_patterns"] for shard in entry["shards"])
    return {**{key: entry[key] for key in ("how", "n_dims", "dtype")}, "n_patterns": total}


def lines(store: FeatureStore) -> list[str]:
    """The result for people."""
    from ..store.manifest import BAD_ITEMS
    from .output import counted

    n_bad = int(store.manifest["n_bad"])
    text = [f"{counted(store.n_items, 'item')} in {store.path}"]
    for name in store.backbones:
        entry = store.manifest["backbones"][name]
        text.append(f'backbone "{name}": {entry["n_dims"]} features, {entry["dtype"]} ({entry["pooling"]})')
        own = _pattern_summary(entry.get("patterns"))
        if own is not None:
            text.append(f'patterns of "{name}": {own["n_patterns"]}, {own["n_dims"]} features, {own["dtype"]}')
    if n_bad:
        text.append(f"{counted(n_bad, 'item')} cannot be used, marked invalid; reasons in {store.path / BAD_ITEMS}")
    text.append(f"next: oneglance select {store.path} --budget 2%")
    return text
