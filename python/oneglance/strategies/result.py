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
from ..errors import InvalidInput, MissingDependency
from ..store.files import write_atomic


@dataclass(frozen=True, eq=False)
class Selection:
    """The items to label, most important first; all arrays have one entry per pick.

    indices          int64, positions in the pool, all distinct
    ids              the store's item ids (str objects), or the positions again for bare arrays
    weights          float64, factor of the item's loss: sum_i weights_i * loss_i estimates the sum of the
                     loss over all candidates. lewis and random: without bias. Strategies of coverage: the number
                     of candidates nearest to the pick, itself included; a sum over representatives, which nothing
                     makes unbiased, and which leaves out candidates nearest to a labelled item
    inclusion_prob   float64 in (0, 1], probability that this item was to be picked (the sampler's docstring
                     says of which event); NaN for strategies of coverage, where nobody knows it
    scores           float64, the strategy's measure of importance (lewis: the combined Lewis weight; freesel and
                     farthest: `distances`; kmeans and the family: `weights`)
    rank             int64, 1 .. budget. lewis, random: certain picks first, then by descending score, ties to the
                     lower row. Strategies of coverage: the order of choice, strata interleaved
    reason           str objects, a few words per pick
    nearest_selected int64 or None: position of the item chosen before (labelled ones included) that the pick was
                     nearest to, -1 for none; with strategies of coverage or explain=True
    strategy, params, seed   what was asked, defaults filled in
    certificate      dict: evidence about the computation and counts of the items used and left out
    sources, strata  str objects or None: where an item came from, its stratum
    distances        float64 or None: the distance to nearest_selected, NaN for none
    represented_by, represented_distance   None, or one entry per item of the pool: position of the chosen item
                     (pick or labelled) that it is nearest to, and the distance; -1 and NaN for an item that cannot
                     be used. certificate["coverage"] has their largest and mean value, also for smaller budgets
    item_ids         ids of all items of the pool, where represented_by is there and items have ids
    groups           str objects (None: no group) or None: the group of a pick, with groups=
    costs, priority  float64 or None: what a pick costs, its priority as given; with costs=, priority=
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
    distances: Float64Array | None = None
    represented_by: IntArray | None = None
    represented_distance: Float64Array | None = None
    item_ids: npt.NDArray[np.object_] | None = None
    groups: npt.NDArray[np.object_] | None = None
    costs: Float64Array | None = None
    priority: Float64Array | None = None

    def __len__(self) -> int:
        return int(self.indices.size)

    def __repr__(self) -> str:
        certain = f", {self.n_certain} certain" if np.isfinite(self.inclusion_prob).all() else ""
        return (
            f'Selection({len(self)} items, strategy="{self.strategy}", seed={self.seed}{certain}'
            f", first: {self.ids[:3].tolist()})"
        )

    @property
    def n_certain(self) -> int:
        """Picks of inclusion probability 1."""
        return int(np.count_nonzero(self.inclusion_prob >= 1.0))

    def to_table(self) -> pa.Table:
        """A pyarrow Table, one row per pick in rank order: rank, row_id, item_id (str), [source, stratum, group,
        cost, priority,] score, inclusion_prob, weight, [distance, nearest_id (str),] reason. What is not known is
        null."""
        columns: dict[str, Any] = {
            "rank": pa.array(self.rank, pa.int64()),
            "row_id": pa.array(self.indices, pa.int64()),
            "item_id": pa.array([str(item) for item in self.ids], pa.string()),
        }
        if self.sources is not None:
            columns["source"] = pa.array(self.sources.tolist(), pa.string())
        if self.strata is not None:
            columns["stratum"] = pa.array(self.strata.tolist(), pa.string())
        if self.groups is not None:
            columns["group"] = pa.array(self.groups.tolist(), pa.string())
        if self.costs is not None:
            columns["cost"] = _numbers(self.costs)
        if self.priority is not None:
            columns["priority"] = _numbers(self.priority)
        columns["score"] = _numbers(self.scores)
        columns["inclusion_prob"] = _numbers(self.inclusion_prob)
        columns["weight"] = pa.array(self.weights, pa.float64())
        if self.distances is not None and self.nearest_selected is not None:
            columns["distance"] = _numbers(self.distances)
            columns["nearest_id"] = self._names(self.nearest_selected)
        columns["reason"] = pa.array(self.reason.tolist(), pa.string())
        return pa.table(columns)

    def represented_table(self) -> pa.Table:
        """One row per item of the pool: row_id, item_id (str), represented_by (id, str), distance; null for items
        that cannot be used. Raises InvalidInput where nobody asked (explain=)."""
        if self.represented_by is None or self.represented_distance is None:
            raise InvalidInput("this selection was not explained. Select with explain=True.")
        everyone = np.arange(self.represented_by.size, dtype=np.int64)
        return pa.table(
            {
                "row_id": pa.array(everyone, pa.int64()),
                "item_id": self._names(everyone),
                "represented_by": self._names(self.represented_by),
                "distance": _numbers(self.represented_distance),
            }
        )

    def _names(self, positions: IntArray) -> pa.Array:
        """Ids of these items as strings, null for -1."""
        names = positions.astype(str).astype(object) if self.item_ids is None else self.item_ids[positions]
        return pa.array(names.tolist(), pa.string(), mask=positions < 0)

    def to_parquet(self, path: str | PathLike[str]) -> Path:
        """Writes to_table() as Parquet, whole or not at all. Raises StoreError when it cannot be written."""
        return write_table(self.to_table(), path)

    def to_csv(self, path: str | PathLike[str]) -> Path:
        """Writes to_table() as UTF-8 CSV with a header, whole or not at all. Raises StoreError."""
        target = Path(path)
        lines = _Lines()
        table = self.to_table()
        writer = csv.writer(lines, lineterminator="\r\n")
        writer.writerow(table.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
        write_atomic(target, ["".join(lines).encode()])
        return target

    def to_pandas(self) -> Any:
        """to_table() as a pandas DataFrame. Raises MissingDependency without pandas."""
        try:
            import pandas  # noqa: F401  (pyarrow would fail with a less helpful message)
        except ImportError:
            raise MissingDependency("to_pandas needs pandas: pip install pandas. to_table() works without.") from None
        return self.to_table().to_pandas()


class _Lines(list[str]):
    """Lines of a csv writer. Told that lines end with both, it quotes fields with either; they end with one here."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _numbers(values: Float64Array) -> pa.Array:
    """float64, NaN as null."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def write_table(table: pa.Table, path: str | PathLike[str]) -> Path:
    """A table as a Parquet file, whole or not at all; the same table gives the same bytes."""
    target = Path(path)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(target, [buffer.getvalue()])
    return target
