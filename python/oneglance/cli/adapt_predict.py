"""`oneglance adapt predict`: what heads say about the items of a pool, and of which they are least sure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..adapt import load_heads
from ..adapt.predictions import Predictions, predictions_of
from ..adapt.uncertainty import KINDS
from ..errors import InvalidInput
from ..store.files import human_bytes, make_folder
from .inputs import open_pool
from .output import counted, note, print_json, print_table
from .pool_options import some_pool_options
from .pool_text import warn_of_bad_rows
from .run_folder import check_writable

_SUFFIXES = (".parquet", ".pq", ".csv")


@click.command(short_help="Predict, and list what to label next.")
@click.option(
    "--heads",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("heads"),
    show_default=True,
    help="Folder written by `oneglance adapt heads`. Example: --heads heads-1",
)
@click.option(
    "--uncertainty",
    type=click.Choice(KINDS),
    default=KINDS[0],
    show_default=True,
    help="What the column priority holds: entropy or margin of the mean probabilities, or the disagreement of the "
    "backbones. Regression: always the spread between backbones.",
)
@click.option("--probabilities", is_flag=True, help="Add a column per class with its mean probability.")
@click.option(
    "--top",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="How many of the least certain items to print. Example: --top 50",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("predictions.parquet"),
    show_default=True,
    help="File for row_id, item_id, prediction, probability, priority and a column per backbone; .csv by its name. "
    "Example: --out predictions.csv",
)
@some_pool_options("inputs", "backbones", "vector_columns", "id_column", "verify", "overwrite", "dry_run", "as_json")
def predict(
    inputs: tuple[Path, ...],
    folder: Path,
    uncertainty: str,
    probabilities: bool,
    top: int,
    out: Path,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    verify: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Predict every usable item: the mean over backbones, and what each backbone says.

    INPUT is a feature store or ready vectors as for `adapt heads`, the same pool or another one with the same
    backbones. The column priority says how uncertain the heads are; `oneglance select --priority` takes the file.

    \b
    Examples:
      oneglance adapt predict store --heads heads
      oneglance select store --budget 100 --priority predictions.parquet
    """
    source = open_pool(inputs, None, vector_columns, id_column, verify=verify)
    warn_of_bad_rows(source)
    pool, every = source.pool, load_heads(folder)
    found = every if backbones is None else every.only(backbones)
    n_items = int(np.count_nonzero(pool.valid))
    if n_items == 0:
        raise InvalidInput(f"no item of the {pool.n_items} can be predicted: all are invalid.")
    if dry_run:
        _print_plan(n_items, list(found), len(found.classes) if found.classes is not None else 0, as_json)
        return
    if out.exists() and not overwrite:
        raise InvalidInput(f"--out {out} exists. Choose another name, or add --overwrite.")
    if out.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"--out {out}: the name must end in {', '.join(_SUFFIXES)}.")
    check_writable(out, out.parent)
    # The store itself, where there is one: heads compare the hash of how its features were computed.
    origin: Any = inputs[0] if len(inputs) == 1 and inputs[0].is_dir() else pool
    answer = predictions_of(
        found, origin, rows=np.flatnonzero(pool.valid), kind=uncertainty, probabilities=probabilities
    )
    make_folder(out.parent)
    answer.write(out)
    if answer.uncertainty is None:
        note("one backbone of a regression does not say how sure it is: there is no column priority")
    shown = _least_certain(answer, top)
    if as_json:
        document = {"out": str(out), "n_items": n_items, "n_left_out": pool.n_items - n_items, "backbones": list(found)}
        print_json({**document, "classes": _counts(answer), "least_certain": shown})
        return
    if found.classes is not None:
        print_table(("class", "items"), list(_counts(answer).items())[:20], "predicted")
    if shown:
        names = list(shown[0])
        print_table(names, [[row[name] for name in names] for row in shown], "least certain")
    click.echo(f"predictions of {counted(n_items, 'item')} by {', '.join(found)} -> {out}")


def _print_plan(n_items: int, backbones: list[str], n_classes: int, as_json: bool) -> None:
    ram = n_items * (64 + 16 * len(backbones)) + 3 * 8 * 8192 * max(n_classes, 1) * len(backbones)
    if as_json:
        print_json({"plan": {"n_items": n_items, "backbones": backbones, "n_classes": n_classes, "ram_bytes": ram}})
        return
    rows = [
        ("items", f"{n_items:,}"),
        ("heads", ", ".join(backbones)),
        ("classes", f"{n_classes:,}" if n_classes else "none, a regression"),
        ("memory", f"about {human_bytes(ram)} beyond the features"),
    ]
    print_table(("plan", ""), rows)


def _counts(answer: Predictions) -> dict[str, int]:
    """Items per predicted class, the largest first; nothing for a regression."""
    if answer.classes is None:
        return {}
    names, counts = np.unique(answer.prediction.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(names[i]): int(counts[i]) for i in order}


def _least_certain(answer: Predictions, top: int) -> list[dict[str, Any]]:
    if answer.uncertainty is None:
        return []
    order = np.argsort(-answer.uncertainty, kind="stable")[:top]
    table = answer.to_table().take(order)
    wanted = [name for name in table.column_names if name == "prediction" or not name.startswith(("p_", "prediction"))]
    return list(table.select(wanted).to_pylist())
