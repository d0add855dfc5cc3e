"""`oneglance audit`: what is wrong with a pool, before anybody labels it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .._run_head import differences, run_head
from ..auditing.clusters import SAMPLE as CLUSTER_SAMPLE
from ..auditing.findings import SEVERITIES
from ..auditing.opening import Material, is_store, open_material
from ..auditing.plan import plan_audit
from ..auditing.result import FILES, Audit
from ..auditing.run import HAMMING, LEAST_PERMUTATIONS, NEAR, PERMUTATIONS, SAMPLE_ROWS, SEEN
from ..auditing.run import audit as run
from ..errors import BadData, InvalidInput
from ..features.listfile import LIST_SUFFIXES, Columns
from ..features.pictures import MAX_PIXELS
from ..features.source import open_source
from ..features.vectors import VECTOR_SUFFIXES
from ..store.files import json_bytes
from .audit_text import print_audit, print_plan
from .inputs import column_digest, open_pool, read_column, read_labels
from .output import counted, note, print_json
from .pool_options import some_pool_options
from .progress import shown
from .run_folder import check_writable

_PATH = click.Path(path_type=Path, exists=True)


@click.command(short_help="Find what is wrong with a pool before you label it.")
@click.option("--pictures", type=_PATH, help="Pictures of a store or of vectors as INPUT: folder or list file.")
@click.option(
    "--against",
    type=_PATH,
    multiple=True,
    help="A second pool like INPUT (a test set, last month): leakage and shift. Repeat for several vector files.",
)
@click.option("--against-pictures", type=_PATH, help="Pictures of --against, as --pictures.")
@click.option(
    "--against-vector-column",
    "against_columns",
    multiple=True,
    help="As --vector-column, for --against. Example: --against-vector-column X_test",
)
@click.option(
    "--labels",
    help="Classes, to judge backbones by: a column of the store (label, stratum, group), a csv/jsonl/parquet file with "
    "item_id and label, a .npy file, or FILE.npz:ARRAY. Example: --labels label",
)
@click.option(
    "--column",
    "column_files",
    type=_PATH,
    multiple=True,
    help="csv/jsonl/parquet file with item_id and one more column (site, camera, day): do clusters go with it? "
    "Repeatable. Example: --column cameras.csv",
)
@click.option("--path-column", help="Column of paths in a list file of pictures. Example: --path-column file")
@click.option(
    "--near", type=float, default=NEAR, show_default=True, help="Least cosine of near duplicates. Example: --near 0.98"
)
@click.option(
    "--hamming",
    type=click.IntRange(0, 16),
    default=HAMMING,
    show_default=True,
    help="Most different bits, of 64, of pictures that look alike. Example: --hamming 0",
)
@click.option(
    "--clusters",
    type=click.IntRange(2, CLUSTER_SAMPLE),
    help="Clusters for imbalance; as many as there seem to be by default.",
)
@click.option(
    "--permutations",
    type=click.IntRange(LEAST_PERMUTATIONS),
    default=PERMUTATIONS,
    show_default=True,
    help="Of the kernel test.",
)
@click.option(
    "--sample-rows",
    type=click.IntRange(100),
    default=SAMPLE_ROWS,
    show_default=True,
    help="Most rows of either pool in the tests of shift. Example: --sample-rows 5000",
)
@click.option("--workers", type=click.IntRange(0), help="Decoding processes; one per core by default, 0: none.")
@click.option("--max-pixels", type=click.IntRange(1), default=MAX_PIXELS, help="Larger pictures count as unreadable.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other samples.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help="Exit with code 3 on a finding at least this grave. Example: --fail-on error",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("audit"),
    show_default=True,
    help="Folder for audit.json, findings.parquet (ids) and audit.md. Example: --out audit-of-march",
)
@some_pool_options("inputs", "backbones", "vector_columns", "id_column", "verify", "overwrite", "dry_run", "as_json")
def audit(
    inputs: tuple[Path, ...],
    pictures: Path | None,
    against: tuple[Path, ...],
    against_pictures: Path | None,
    against_columns: tuple[str, ...],
    labels: str | None,
    column_files: tuple[Path, ...],
    path_column: str | None,
    max_pixels: int,
    fail_on: str | None,
    out: Path,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    verify: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find what is wrong with a pool of pictures, features, or both. Needs no labels and changes nothing.

    INPUT is a folder or list of pictures, a feature store, or ready vectors: .npy/.npz files (one per backbone) or
    one .parquet with list columns. Every finding says what, where, how bad, and what to do.
    `oneglance select --audit OUT` then leaves out what cannot be used, and repeats.

    \b
    Examples:
      oneglance audit photos/
      oneglance audit photos.store --pictures photos/ --against test.store
      oneglance audit vit.npy --near 0.98 --dry-run
    """
    listed = Columns(path_column, id_column)
    mine, content = _material(inputs, pictures, backbones, vector_columns, listed, verify, max_pixels)
    theirs, other = None, None
    if against:
        theirs, other = _material(against, against_pictures, backbones, against_columns, listed, verify, max_pixels)
    known = None
    if labels is not None:
        if mine.pool is None:
            raise InvalidInput("--labels judge backbones: INPUT holds pictures only. Embed them first.")
        known = read_labels(labels, mine.pool, "--labels")
    columns = {}
    for path in column_files:
        if mine.pool is None:
            raise InvalidInput("--column is held against features: INPUT holds pictures only. Embed them first.")
        if path.stem in columns or path.stem in mine.columns:
            raise InvalidInput(f"--column: there is another column called {path.stem}. Rename the file {path}.")
        if path.suffix.lower() not in LIST_SUFFIXES:
            raise InvalidInput(f"--column: {path} must be a {', '.join(LIST_SUFFIXES)} file.")
        columns[path.stem] = read_column(str(path), mine.pool, "--column", path.stem)
    if dry_run:
        plan = plan_audit(
            mine,
            theirs,
            sample_rows=options["sample_rows"],
            permutations=options["permutations"],
            workers=options["workers"],
        )
        print_plan(plan, as_json)
        return
    request = {
        "command": "audit",
        "input": [str(path) for path in inputs],
        "input_hash": content,
        "pictures": None if pictures is None else str(pictures),
        "against": [str(path) for path in against],
        "against_hash": other,
        "against_pictures": None if against_pictures is None else str(against_pictures),
        "backbones": None if mine.pool is None else list(mine.pool.features),
        "labels": labels,
        "labels_hash": column_digest(known),
        "columns": {name: column_digest(values) for name, values in columns.items()},
        "max_pixels": max_pixels,
        **{name: value for name, value in options.items() if name != "workers"},
    }
    head = run_head(request)
    _check_folder(out, head, overwrite)
    with shown("none" if mine.pictures is None else "auto") as progress:
        found = run(
            mine,
            against=theirs,
            labels=known,
            columns=columns,
            progress=note,
            picture_progress=progress if callable(progress) else None,
            checkpoint=out,
            **options,
        )
    found.save(out, head)
    for name in SEEN:
        (out / name).unlink(missing_ok=True)
    if as_json:
        print_json({"out": str(out), **found.as_dict()})
    else:
        print_audit(found, out)
    _fail(found, fail_on, out)


def _material(
    paths: tuple[Path, ...],
    pictures: Path | None,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    listed: Columns,
    verify: bool,
    max_pixels: int,
) -> tuple[Material, str]:
    """What the paths hold, and the hash of its content."""
    if _hold_pictures(paths, vector_columns):
        opened = open_source(
            [str(path) for path in paths] if len(paths) > 1 else paths[0], listed, max_pixels=max_pixels
        )
        if opened.vectors is None:
            return open_material(opened, pictures, backbones, "INPUT"), opened.info.hash
    found = open_pool(paths, backbones, vector_columns, listed.id, verify=verify)
    stored = len(paths) == 1 and paths[0].is_dir()
    if not stored:
        found.pool.valid[list(found.bad_rows)] = True  # of ready vectors the audit itself says what is wrong
    mine = open_material(found.pool, pictures, backbones, "INPUT", max_pixels, listed)
    return (replace(mine, reasons=found.bad_rows) if stored else mine), found.content_hash


def _hold_pictures(paths: tuple[Path, ...], vector_columns: tuple[str, ...]) -> bool:
    """Pictures, or a list file that may be one of pictures."""
    if vector_columns:
        return False
    if len(paths) > 1:
        return not any(path.suffix.lower() in (*VECTOR_SUFFIXES, *LIST_SUFFIXES) or path.is_dir() for path in paths)
    path = paths[0]
    return path.is_file() and path.suffix.lower() in LIST_SUFFIXES if not path.is_dir() else not is_store(path)


def _check_folder(folder: Path, head: dict[str, Any], overwrite: bool) -> None:
    """Raises InvalidInput, before any work, if the folder cannot be used or holds another audit."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"--out {folder} is a file, a folder is needed. Choose another name.")
    check_writable(folder, folder)
    if overwrite or not folder.is_dir() or {path.name for path in folder.iterdir()} <= {*FILES[:2], *SEEN}:
        return  # at most what a run left that was killed: audit.json comes last
    try:
        there = json.loads((folder / FILES[2]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        there = None
    differs = differences(there, json.loads(json_bytes(head)), FILES[2])
    if differs:
        raise InvalidInput(
            f"--out {folder} holds something else (different: {', '.join(differs)}). Choose another folder, or add "
            "--overwrite."
        )


def _fail(found: Audit, fail_on: str | None, out: Path) -> None:
    if fail_on is None:
        return
    grave = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    caught = [one for one in found.findings if one.severity in grave]
    if caught:
        raise BadData(
            f"{counted(len(caught), 'finding')} with --fail-on {fail_on}, the first: {caught[0].what} See {out}."
        )
