"""The items table: who the rows are, and which of them can be used. The only reader of other people's Parquet."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InvalidInput, StoreError
from .files import digest

ITEMS_SCHEMA = pa.schema(
    [
        pa.field("row_id", pa.int64(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("valid", pa.bool_(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("stratum", pa.string()),
        pa.field("group", pa.string()),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Items:
    """The rows of a pool before anything is computed; every list has one entry per row, or is None.

    ids      the user's names for the items, all different
    sources  where an item came from (a path, or "file:row")
    """

    ids: Sequence[str]
    sources: Sequence[str]
    labels: Sequence[str | None] | None = None
    strata: Sequence[str | None] | None = None
    groups: Sequence[str | None] | None = None
    where: str = field(default="source", compare=False)

    def __post_init__(self) -> None:
        if len(set(self.ids)) < len(self.ids):
            seen: dict[str, int] = {}
            twice = []
            for row, item_id in enumerate(self.ids):
                if item_id in seen:
                    twice.append(f"{item_id!r} (rows {seen[item_id]} and {row})")
                seen.setdefault(item_id, row)
            more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
            raise InvalidInput(
                f"{self.where}: item ids must all be different, but {', '.join(twice[:5])}{more} come twice. "
                "Remove the repeated rows, or name a column of unique ids with id_column= / --id-column."
            )

        self._refuse_half_characters()

    def _refuse_half_characters(self) -> None:
        # JSON can spell them; items.parquet cannot, and would say so after the last forward pass.
        for name in ("ids", "sources", "labels", "strata", "groups"):
            for row, value in enumerate(getattr(self, name) or ()):
                if value is None or value.isascii():
                    continue
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise InvalidInput(
                        f"{self.where}: {name} hold {value!r} in row {row}, which is no Unicode text (half of a "
                        "surrogate pair). Write it anew."
                    ) from None

    def __len__(self) -> int:
        return len(self.ids)

    def digest(self) -> str:
        """Hash of ids and columns (not of the sources' paths: a moved pool is the same pool)."""
        columns = (self.ids, self.labels, self.strata, self.groups)
        parts = [repr(list(column) if column is not None else None).encode() for column in columns]
        return digest(*parts)

    def table(self, reasons: Mapping[int, str]) -> pa.Table:
        """The items table; a row with an entry in `reasons` is invalid for that reason."""
        n_rows = len(self)
        empty: list[str | None] = [None] * n_rows
        return pa.table(
            {
                "row_id": list(range(n_rows)),
                "item_id": list(self.ids),
                "source": list(self.sources),
                "valid": [row not in reasons for row in range(n_rows)],
                "label": list(self.labels or empty),
                "stratum": list(self.strata or empty),
                "group": list(self.groups or empty),
                "reason": [reasons.get(row) for row in range(n_rows)],
            },
            schema=ITEMS_SCHEMA,
        )


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file in memory (so that it goes to disk by the atomic writer)."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_items(path: Path) -> pa.Table:
    """items.parquet, checked for its columns. Raises StoreError."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: the store is damaged. Run the same embed command again.") from None
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Run the same embed command again.") from error
    missing = [name for name in ITEMS_SCHEMA.names if name not in table.column_names]
    if missing:
        raise StoreError(f"{path} lacks the columns {missing}. Run the same embed command again.")
    return table.select(ITEMS_SCHEMA.names)


def read_parquet(path: Path) -> pa.Table:
    """Somebody's Parquet file. Raises InvalidInput."""
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"source: {path} cannot be read as Parquet: {error}") from error


def list_width(kind: Any) -> bool:
    """True for a column type that holds one vector of numbers per row."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list) and bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
