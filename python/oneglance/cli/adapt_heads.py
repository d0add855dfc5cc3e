"""`oneglance adapt heads`: a head on every backbone from the labels of a few picks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from .._types import Float64Array, IntArray
from ..adapt import Heads, fit_heads
from ..adapt.files import ARRAYS, FACTS, heads_library
from ..adapt.head import ACTIVATIONS, HEADS, SCALES, TASKS
from ..adapt.labelled import as_labelled
from ..errors import InvalidInput
from ..store.files import file_digest, human_bytes, json_bytes, plain, write_atomic
from ..strategies import Pool
from .inputs import PoolInput, column_digest, open_pool, read_labels
from .output import collected_warnings, note, print_json, print_table
from .pool_options import comma_list, some_pool_options
from .pool_text import warn_of_bad_rows
from .run_folder import RUN_FILE, check_folder, run_head


@dataclass(frozen=True, eq=False)
class Picked:
    """Positions and importance weights of the picks of an earlier run."""

    indices: IntArray
    weights: Float64Array


@click.command(short_help="Fit a head on every backbone.")
@click.option(
    "--labels",
    required=True,
    help="The labels: a column of the store (label, stratum, group, source), a csv/jsonl/parquet file with item_id and "
    "label (selected.csv with a column label added will do), or a .npy file. Example: --labels done.csv",
)
@click.option(
    "--selection",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the run of `oneglance select` that chose them: its weights go into the loss. Without, all labelled "
    "items count the same. Example: --selection first-batch",
)
@click.option("--equal-weights", is_flag=True, help="Leave the weights of --selection out of the loss.")
@click.option("--task", type=click.Choice(TASKS), default=TASKS[0], show_default=True, help="What the labels are.")
@click.option(
    "--head",
    type=click.Choice(HEADS),
    default=HEADS[0],
    show_default=True,
    help="linear: logistic, or l_p regression. nearest_mean, knn: for very few labels.",
)
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    help="Rows first: to unit length (classification's default), every feature to spread 1, or as they are.",
)
@click.option("--classes", callback=comma_list, help="All classes, where some have no label. Example: --classes a,b,c")
@click.option(
    "--lambdas",
    callback=comma_list,
    help="Penalties of the logistic head to choose from, 45 by default. Example: --lambdas 1e-3,1e-4",
)
@click.option(
    "--folds", type=click.IntRange(1), default=5, show_default=True, help="Folds that choose among --lambdas."
)
@click.option("--calibrate/--no-calibrate", default=True, help="Fit a temperature on held-out rows. Default: yes.")
@click.option("--k", type=click.IntRange(1), help="knn: neighbours; by leave-one-out without. Example: --k 5")
@click.option("--huber", type=float, help="regression: Huber's loss, linear beyond this residual. Example: --huber 1.5")
@click.option(
    "--ridge",
    type=float,
    default=0.0,
    show_default=True,
    help="regression: penalty of squared coefficients beside the weighted mean loss. Example: --ridge 1e-3",
)
@click.option(
    "--eps",
    type=float,
    default=0.0,
    show_default=True,
    help="regression: penalty of |prediction|^p, as the theory of single-index models asks. Example: --eps 0.01",
)
@click.option("--activation", type=click.Choice(ACTIVATIONS), help="regression: a single-index model; not convex.")
@click.option("--intercept/--no-intercept", default=True, help="regression: a free constant. Default: yes.")
@click.option("--tol", type=float, help="Accuracy of the fit, 1e-6 (classification) or 1e-8. Example: --tol 1e-4")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other folds.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("heads"),
    show_default=True,
    help=f"Folder for {ARRAYS}, {FACTS} and {RUN_FILE}. Example: --out heads-1",
)
@some_pool_options(
    "inputs", "p", "backbones", "vector_columns", "id_column", "verify", "overwrite", "dry_run", "as_json"
)
def heads(
    inputs: tuple[Path, ...],
    labels: str,
    selection: Path | None,
    equal_weights: bool,
    task: str,
    lambdas: tuple[str, ...] | None,
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
    """Fit a head on every backbone from the same labels, with the weights of the selection in the loss.

    INPUT is a feature store written by `oneglance embed`, or ready vectors: .npy/.npz files (one per
    backbone) or one .parquet with list columns. Items without a label take no part.

    \b
    Examples:
      oneglance adapt heads store --labels done.csv --selection first-batch
      oneglance adapt heads store --labels sizes.csv --task regression --p 1.5
    """
    source = open_pool(inputs, backbones, vector_columns, id_column, verify=verify)
    warn_of_bad_rows(source)
    pool = source.pool
    numbers = task == "regression"
    values = _values(read_labels(labels, pool, "--labels"), pool, numbers)
    picked = None if selection is None else read_selection(selection, source)
    weights = "equal" if equal_weights else None
    used = _of_picks(values, picked, pool)
    known = as_labelled(pool, used, picked, weights, numbers=numbers)
    if dry_run:
        _print_plan(pool, known.labels, known.n_unlabelled, numbers, as_json)
        return
    if options["classes"] is not None:
        options["classes"] = _of_kind(options["classes"], values.dtype.kind)
    asked = {"task": task, "lambdas": _lambdas(lambdas), **options}
    request = {
        "command": "adapt heads",
        "input": [str(path) for path in inputs],
        "input_hash": source.content_hash,
        "backbones": list(pool.features),
        "labels": labels,
        "labels_hash": column_digest(values),
        "selection": None if selection is None else file_digest(selection / "selected.parquet"),
        "equal_weights": equal_weights,
        **asked,
        "p": "inf" if np.isinf(asked["p"]) else asked["p"],
    }
    head = run_head(request)
    check_folder(out, head, overwrite, files=(ARRAYS, FACTS))
    heads_library()
    # The store itself, where there is one: heads keep the hash of how its features were computed.
    origin = inputs[0] if len(inputs) == 1 and inputs[0].is_dir() else pool
    with collected_warnings() as warned:
        found = fit_heads(origin, used, picked, weights=weights, backbones=backbones, **asked)
    (out / RUN_FILE).unlink(missing_ok=True)  # it always describes the files beside it
    found.save(out)
    files = {name: {"blake2b": file_digest(out / name)} for name in (ARRAYS, FACTS)}
    document = {**head, "n_labelled": int(known.rows.size), "heads": _evidence(found), "files": files}
    write_atomic(out / RUN_FILE, [json_bytes(document)])
    for text in warned:
        note(f"warning: {text}")
    if found.classes is not None and len(found.classes) == 1:
        note(f"all labels are {found.classes[0]!r}: heads that know one class predict it everywhere")
    if as_json:
        print_json({"out": str(out), "warnings": warned, **document})
        return
    _show(found)
    click.echo(f"heads of {', '.join(found)} from {known.rows.size:,} labels -> {out}")


def read_selection(folder: Path, source: PoolInput) -> Picked:
    """Picks of a run of `select`, by position where it chose from this very pool, else by item id.

    Raises InvalidInput: no such run, or one of another pool.
    """
    path = folder / "selected.parquet"
    try:
        request = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["request"]
        table = pq.read_table(path, columns=["row_id", "item_id", "weight"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"--selection {folder} is no run of `oneglance select`: {error}. Name its folder.") from None
    pool, weights = source.pool, table["weight"].to_numpy()
    if request.get("input_hash") == source.content_hash:
        return Picked(table["row_id"].to_numpy(), weights)
    if pool.ids is None:
        raise InvalidInput(
            f"--selection {folder} was made from another pool than {pool.where}, and rows without ids cannot be found "
            "again. Give the input it was made from, or name ids with --id-column."
        )
    return Picked(pool.ordered_positions(np.array([*table["item_id"].to_pylist(), None])[:-1], "--selection"), weights)


def _values(found: Any, pool: Pool, numbers: bool) -> npt.NDArray[Any]:
    """One label per item (or pick), None or NaN for none; texts of numbers as numbers where these are wanted."""
    values = np.asarray(pool.columns[found] if isinstance(found, str) else found)
    if values.dtype.kind not in "OUS":
        return values
    plain = [None if value is None or not str(value).strip() else value for value in values.tolist()]
    if not numbers:
        return np.array([*plain, None], dtype=object)[:-1]
    try:
        return np.array([np.nan if value is None else float(value) for value in plain])
    except ValueError as error:
        raise InvalidInput(f"--labels must be numbers for --task regression: {error}.") from None


def _of_kind(classes: tuple[str, ...], kind: str) -> tuple[Any, ...]:
    """--classes as what the labels are: those of an array of numbers are numbers."""
    try:
        return tuple(int(name) if kind in "iu" else float(name) if kind == "f" else name for name in classes)
    except ValueError as error:
        raise InvalidInput(f"--classes must be numbers, as --labels are: {error}.") from None


def _of_picks(values: npt.NDArray[Any], picked: Picked | None, pool: Pool) -> Any:
    """Labels of all items as those of the picks, by position; says how many others there are, which are not used."""
    if picked is None or len(values) != pool.n_items:
        return values
    others = np.ones(pool.n_items, dtype=np.bool_)
    others[picked.indices] = False
    unused = sum(value is not None and value == value for value in values[others].tolist()) if values.ndim == 1 else 0
    if unused:
        note(f"--labels: {unused:,} labelled items are no picks of --selection and are left out")
    return {int(row): values[row] for row in picked.indices}


def _lambdas(texts: tuple[str, ...] | None) -> list[float] | None:
    try:
        return None if texts is None else [float(text) for text in texts]
    except ValueError as error:
        raise click.UsageError(f"--lambdas must be numbers like 1e-3,1e-4: {error}.") from None


def _print_plan(pool: Pool, labels: npt.NDArray[Any], n_unlabelled: int, numbers: bool, as_json: bool) -> None:
    counts = {} if numbers else {str(name): labels.tolist().count(name) for name in sorted(set(labels.tolist()))}
    widths = {name: rows.shape[1] for name, rows in pool.features.items()}
    ram = 12 * len(labels) * max(widths.values()) if not numbers else 8 * (len(labels) + 4 * max(widths.values()) ** 2)
    plan = {"n_labelled": len(labels), "n_unlabelled": n_unlabelled, "classes": counts, "backbones": widths}
    if as_json:
        print_json({"plan": {**plan, "ram_bytes": ram}})
        return
    rows: list[tuple[str, str]] = [
        ("labelled", f"{len(labels):,}, and {n_unlabelled:,} picks without a label"),
        *((f"backbone {name}", f"{width} features") for name, width in widths.items()),
        *((f"class {name}", f"{count:,}") for name, count in list(counts.items())[:20]),
        ("memory", f"about {human_bytes(ram)} beyond the features"),
    ]
    print_table(("plan", ""), rows)
    if len(counts) > 20:
        note(f"and {len(counts) - 20} classes more")


def _evidence(found: Heads) -> dict[str, Any]:
    return {name: plain({"temperature": head.temperature, **head.info}) for name, head in found.items()}


def _show(found: Heads) -> None:
    if found.task == "regression":
        rows: list[list[Any]] = []
        for name, head in found.items():
            evidence = head.info.get("gap", head.info.get("slope", []))
            parts = zip(head.info["value"], evidence, head.info["steps"], head.info["converged"], strict=True)
            rows += [[name, j, *part] for j, part in enumerate(parts)]
        print_table(("backbone", "target", "loss", "gap", "steps", "converged"), rows)
        return
    print_table(
        ("backbone", "labels", "classes", "penalty", "held-out log loss", "temperature", "k"),
        [
            [
                name,
                head.info["n_labelled"],
                head.n_outputs,
                head.info.get("lambda"),
                head.info.get("held_out_log_loss"),
                float(head.temperature),
                head.info.get("k"),
            ]
            for name, head in found.items()
        ],
    )
