"""What heads say about the items of a pool, item by item, as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .._types import Float64Array, IntArray
from ..store import open_store
from ..store.files import write_atomic
from ..strategies.result import write_table
from .head import as_rows, softmax
from .heads import Heads
from .named import as_named
from .uncertainty import spread_of, uncertainty_of

_PANEL = 8192


@dataclass(frozen=True, eq=False)
class Predictions:
    """One entry per predicted item.

    rows           int64 (m,), positions in the pool      ids  their names (str objects), or None
    prediction     (m,) classes of the largest mean probability, or (m, c) mean targets
    probability    float64 (m,), mean probability of that class; None for a regression
    uncertainty    float64 (m,), see Heads.uncertainty; None for one head of a regression
    by_backbone    backbone -> its own prediction
    probabilities  float64 (m, K) mean probabilities where asked for, columns as classes
    """

    rows: IntArray
    ids: npt.NDArray[np.object_] | None
    prediction: npt.NDArray[Any]
    probability: Float64Array | None
    uncertainty: Float64Array | None
    by_backbone: dict[str, npt.NDArray[Any]]
    probabilities: Float64Array | None
    classes: npt.NDArray[Any] | None

    def to_table(self) -> pa.Table:
        """row_id, item_id (str), prediction, probability, priority (the uncertainty), one column per backbone where
        there are several, p_CLASS. Several targets: prediction_0, prediction_1, ... What is not known has no column.
        """
        names = self.rows.astype(str) if self.ids is None else self.ids
        columns: dict[str, Any] = {"row_id": self.rows, "item_id": [str(name) for name in names.tolist()]}
        columns |= _columns("prediction", self.prediction)
        if self.probability is not None:
            columns["probability"] = self.probability
        if self.uncertainty is not None:
            columns["priority"] = self.uncertainty
        if len(self.by_backbone) > 1:
            for name, values in self.by_backbone.items():
                columns |= _columns(name if name not in columns else f"backbone {name}", values)
        if self.probabilities is not None and self.classes is not None:
            columns |= {f"p_{name}": self.probabilities[:, k] for k, name in enumerate(self.classes.tolist())}
        return pa.table({name: pa.array(values) for name, values in columns.items()})

    def write(self, path: str | PathLike[str]) -> Path:
        """to_table() as CSV where the name ends in .csv, else as Parquet; whole or not at all. Raises StoreError."""
        target, table = Path(path), self.to_table()
        if target.suffix.lower() != ".csv":
            return write_table(table, target)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
        write_atomic(target, [text.getvalue().encode()])
        return target


def predictions_of(
    heads: Heads, source: Any, *, rows: Any = None, kind: str = "entropy", probabilities: bool = False
) -> Predictions:
    """What all heads together, and each, say about the items of a pool.

    source  as Heads.outputs      rows  positions or a mask; default: the valid items      kind  as Heads.uncertainty
    probabilities  keep those of all classes: 8 m K bytes

    One reading of the features of every backbone, 8192 items at a time. Raises as Heads.outputs and uncertainty.
    """
    if isinstance(source, (str, PathLike)):
        source = open_store(source)
    pool = as_named(source, None)[0]
    wanted = np.flatnonzero(pool.valid) if rows is None else as_rows(rows, pool.n_items)
    parts = [
        _panel(heads, source, wanted[start : start + _PANEL], kind, probabilities)
        for start in range(0, max(wanted.size, 1), _PANEL)
    ]

    def joined(key: str) -> Any:
        return None if parts[0][key] is None else np.concatenate([part[key] for part in parts])

    return Predictions(
        wanted.astype(np.int64),
        None if pool.ids is None else pool.ids[wanted],
        joined("prediction"),
        joined("probability"),
        joined("uncertainty"),
        {name: np.concatenate([part["by_backbone"][name] for part in parts]) for name in heads},
        joined("probabilities"),
        heads.classes,
    )


def _panel(heads: Heads, source: Any, rows: IntArray, kind: str, keep: bool) -> dict[str, Any]:
    outputs = heads.outputs(source, rows=rows)
    each = list(outputs.values())
    if heads.classes is None:
        return {
            "prediction": np.mean(each, axis=0),
            "probability": None,
            "uncertainty": spread_of(each) if len(each) > 1 else None,
            "by_backbone": outputs,
            "probabilities": None,
        }
    shares = [softmax(out) for out in each]
    mean = np.mean(shares, axis=0)
    return {
        "prediction": heads.classes[mean.argmax(axis=1)],
        "probability": mean.max(axis=1),
        "uncertainty": uncertainty_of(shares, kind),
        "by_backbone": {name: heads.classes[out.argmax(axis=1)] for name, out in outputs.items()},
        "probabilities": mean if keep else None,
    }


def _columns(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    if values.ndim == 1:
        return {name: values.tolist()}
    if values.shape[1] == 1:
        return {name: values[:, 0]}
    return {f"{name}_{j}": values[:, j] for j in range(values.shape[1])}
