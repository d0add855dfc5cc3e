"""What select() returns, and how it is written down."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from .._types import Float64Array, IntArray
from ..errors import MissingDependency
from ..store.files import write_atomic


@dataclass(frozen=True, eq=False)
class Selection:
    """The items to label, most important first; all arrays have one entry per pick.

    indices          int64, positions in the pool, all distinct
    ids              the store's item ids (str objects), or the positions again for bare arrays
    weights          float64, factor of the item's loss: sum_i weights_i * loss_i estimates the sum of the
                     loss over all candidates
    inclusion_prob   float64 in (0, 1], probability that this item was to be picked (the sampler's docstring
                     says of which event)
    scores           float64, the strategy's measure of importance (lewis: the combined Lewis weight)
    rank             int64, 1 .. budget: certain picks first, then by descending score, ties to the lower row
    reason           str objects, a few words per pick
    nearest_selected None: strategies of this version represent nobody by proxy
    strategy, params, seed   what was asked, defaults filled in
    certificate      dict: evidence about the computation and counts of the items used and left out
    sources, strata  str objects or None: where an item came from, its stratum
    """

    indices: IntArray
    ids: npt.NDArray[Any]
    weights: Float64Array
    inclusion_prob: Float64Array
    scores: Float64Array
    rank: IntArray
    reason: npt.NDArray[np.object_]
    nearest_selected: IntArray | None
    strategy: str
    params: dict[str, Any]
    seed: int
    certificate: dict[str, Any] = field(default_factory=dict)
    sources: npt.NDArray[np.object_] | None = None
    strata: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return int(self.indices.size)

    def __repr__(self) -> str:
        n_certain = int(np.count_nonzero(self.inclusion_prob >= 1.0))
        return (
            f'Selection({len(self)} items, strategy="{self.strategy}", seed={self.seed}, {n_certain} certain'
            f", first: {self.ids[:3].tolist()})"
        )

    def to_table(self) -> pa.Table:
        """A pyarrow Table, one row per pick in rank order: rank, row_id, item_id (str), [source, stratum,]
        score, inclusion_prob, weight, reason."""
        columns: dict[str, Any] = {
            "rank": pa.array(self.rank, pa.int64()),
            "row_id": pa.array(self.indices, pa.int64()),
            "item_id": pa.array([str(item) for item in self.ids], pa.string()),
        }
        if self.sources is not None:
            columns["source"] = pa.array(self.sources.tolist(), pa.string())
        if self.strata is not None:
            columns["stratum"] = pa.array(self.strata.tolist(), pa.string())
        columns["score"] = pa.array(self.scores, pa.float64())
        columns["inclusion_prob"] = pa.array(self.inclusion_prob, pa.float64())
        columns["weight"] = pa.array(self.weights, pa.float64())
        columns["reason"] = pa.array(self.reason.tolist(), pa.string())
        return pa.table(columns)

    def to_parquet(self, path: str | PathLike[str]) -> Path:
        """Writes to_table() as Parquet, whole or not at all. Raises StoreError when it cannot be written."""
        return write_table(self.to_table(), path)

    def to_csv(self, path: str | PathLike[str]) -> Path:
        """Writes to_table() as UTF-8 CSV with a header, whole or not at all. Raises StoreError."""
        target = Path(path)
        text = io.StringIO()
        table = self.to_table()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
        write_atomic(target, [text.getvalue().encode()])
        return target

    def to_pandas(self) -> Any:
        """to_table() as a pandas DataFrame. Raises MissingDependency without pandas."""
        try:
            import pandas  # noqa: F401  (pyarrow would fail with a less helpful message)
        except ImportError:
            raise MissingDependency("to_pandas needs pandas: pip install pandas. to_table() works without.") from None
        return self.to_table().to_pandas()


def write_table(table: pa.Table, path: str | PathLike[str]) -> Path:
    """A table as a Parquet file, whole or not at all; the same table gives the same bytes."""
    target = Path(path)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(target, [buffer.getvalue()])
    return target
