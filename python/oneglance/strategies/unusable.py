"""Rows that a strategy cannot use, found when it trips over them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .._types import BoolArray, IntArray, RowShards
from ..errors import InvalidInput

_SCAN_ROWS = 8192


class UnusableRows(InvalidInput):
    """Items whose features cannot be used under some backbone; `rows` are their positions."""

    def __init__(self, rows: IntArray, text: str) -> None:
        super().__init__(text)
        self.rows = rows


def unusable_rows(
    features: Mapping[str, RowShards],
    wanted: BoolArray,
    *,
    owners: IntArray | None = None,
    zeros: bool = False,
) -> UnusableRows | None:
    """Wanted items with NaN or infinity under some backbone; None if there are none.

    owners  the item of every row, where items own several (patterns) or none
    zeros   rows of zeros are unusable too (they have no cosine)
    """
    bad: dict[str, IntArray] = {}
    for name, rows in features.items():
        found, first = [np.empty(0, dtype=np.int64)], 0
        for shard in rows:
            for start in range(0, shard.shape[0], _SCAN_ROWS):
                block = np.asarray(shard[start : start + _SCAN_ROWS])
                usable = np.isfinite(block).all(axis=1)
                if zeros:
                    usable &= block.any(axis=1)
                here = first + start + np.flatnonzero(~usable)
                items = here if owners is None else owners[here]
                found.append(items[wanted[items]])
            first += shard.shape[0]
        items = np.unique(np.concatenate(found)).astype(np.int64)
        if items.size:
            bad[name] = items
    if not bad:
        return None
    texts = []
    kind = "row" if owners is None else "item"
    for name, where in bad.items():
        shown = ", ".join(map(str, where[:5])) + (f" and {where.size - 5} more" if where.size > 5 else "")
        texts.append(f'backbone "{name}" in {where.size} {kind if where.size == 1 else kind + "s"}: {shown}')
    what = "NaN, infinity or nothing but zeros" if zeros else "NaN or infinity"
    return UnusableRows(
        np.unique(np.concatenate(list(bad.values()))),
        f"features have {what} under {'; '.join(texts)}. These {kind}s are left out and counted as invalid. "
        "In a feature store this means damage: run embed again with verify=True / --verify.",
    )
