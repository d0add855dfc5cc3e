"""`oneglance weights`: certified Lewis weights of every item, and how far backbones agree."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa

from ..cuda.arrays import checked_device, computing_on
from ..errors import InvalidInput
from ..store.files import make_folder
from ..strategies import Pool
from ..strategies.agreement import largest
from ..strategies.lewis import backbone_weights, weights_certificate
from ..strategies.plan import plan_lewis
from ..strategies.result import write_table
from ..strategies.unusable import UnusableRows
from .output import collected_warnings, note, print_json
from .pool_options import pool_options
from .pool_text import opened, print_certificate, show_plan
from .run_folder import check_writable


@click.command(short_help="Certified Lewis weights of every item.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("weights.parquet"),
    show_default=True,
    help="File for row_id, item_id, one column per backbone, and their maximum. Example: --out w.parquet",
)
@pool_options
def weights(
    inputs: tuple[Path, ...],
    p: float,
    tol: float,
    max_passes: int,
    ridge: float,
    labelled: Path | None,
    exclude: Path | None,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    device: str,
    out: Path,
    verify: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Lewis weights of every item under every backbone, with their certificate.

    INPUT is a feature store written by `oneglance embed`, or ready vectors: .npy/.npz files (one per
    backbone) or one .parquet with list columns. Items that are invalid, labelled or excluded get no weight.
    T = sum of the largest weights says how many labels, up to logarithms, serve all backbones at once;
    kappa(10 %) says how much of each backbone's own top tenth is in the common top tenth.

    \b
    Examples:
      oneglance weights store
      oneglance weights vit.npy resnet.npy --p 1 --out w.parquet
    """
    found = opened(
        inputs,
        backbones=backbones,
        vector_columns=vector_columns,
        id_column=id_column,
        verify=verify,
        labelled=labelled,
        exclude=exclude,
    )
    pool, left, n_candidates = found.pool, found.left, found.counts["n_candidates"]
    if n_candidates == 0:
        raise InvalidInput(f"no item is left of the {pool.n_items}: all are invalid, labelled or excluded.")
    if dry_run:
        show_plan(plan_lewis(pool, n_candidates, pool.n_items, p=p, max_passes=max_passes), as_json, {})
        return
    if out.exists() and not overwrite:
        raise InvalidInput(f"--out {out} exists. Choose another name, or add --overwrite.")
    if out.suffix.lower() not in ("", ".parquet", ".pq"):
        raise InvalidInput(f"--out {out}: the file will be Parquet. Call it {out.with_suffix('.parquet')}.")
    check_writable(out, out.parent)
    where = checked_device(device)
    features = dict(pool.features)
    with computing_on(where), collected_warnings() as warned:
        settings = {"p": p, "tol": tol, "max_passes": max_passes, "ridge": ridge}
        try:
            results = backbone_weights(features, left, note, **settings)
        except UnusableRows as bad:
            warnings.warn(str(bad), UserWarning, stacklevel=1)
            left[bad.rows] = False
            n_candidates = int(np.count_nonzero(left))
            results = backbone_weights(features, left, note, **settings)
    by_name = {name: result.weights for name, result in results.items()}
    make_folder(out.parent)
    write_table(_table(pool, by_name, left), out)
    certificate = weights_certificate(features, results, left)
    for text in warned:
        note(f"warning: {text}")
    if as_json:
        print_json({"out": str(out), "p": p, "warnings": warned, "certificate": certificate})
        return
    print_certificate(certificate)
    click.echo(f"weights of {n_candidates:,} items -> {out}")


def _table(pool: Pool, by_name: dict[str, Any], left: Any) -> pa.Table:
    left_out = ~left
    ids = np.arange(pool.n_items) if pool.ids is None else pool.ids
    columns: dict[str, Any] = {
        "row_id": pa.array(np.arange(pool.n_items), pa.int64()),
        "item_id": pa.array([str(item) for item in ids.tolist()], pa.string()),
    }
    for name, values in (*by_name.items(), ("max", largest(list(by_name.values())))):
        columns[name] = pa.array(values, pa.float64(), mask=left_out)
    return pa.table(columns)
