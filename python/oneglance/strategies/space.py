"""The rows and the metric in which a strategy measures how far apart items are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .._types import IntArray, RowShards
from ..errors import InvalidInput
from .pool import Pool
from .unusable import unusable_rows


@dataclass(frozen=True, eq=False)
class Space:
    """Rows of one backbone with a metric.

    rows     (m, d); without offsets m = n_items
    offsets  int64 (n_items + 1,): item i owns the rows offsets[i] .. offsets[i + 1] - 1; None: each row is an item
    note     what the user should know about the choice of rows, if anything
    """

    backbone: str
    metric: str
    rows: RowShards
    offsets: IntArray | None = None
    note: str | None = None

    def rows_of(self, items: IntArray) -> IntArray:
        """Rows of these items, ascending."""
        if self.offsets is None:
            return np.sort(items)
        starts, counts = self.offsets[items], self.offsets[items + 1] - self.offsets[items]
        if not counts.sum():
            return np.empty(0, dtype=np.int64)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.sort(np.repeat(starts, counts) + within).astype(np.int64)

    def owner_of(self, rows: IntArray) -> IntArray:
        """The item of each of these rows."""
        if self.offsets is None:
            return rows
        return (np.searchsorted(self.offsets, rows, side="right") - 1).astype(np.int64)

    def part(self, items: IntArray) -> Space:
        """A copy that holds these items only, in this order (ascending positions)."""
        kept = RowShards((self.rows.take(self.rows_of(items)),))
        if self.offsets is None:
            return Space(self.backbone, self.metric, kept)
        counts = self.offsets[items + 1] - self.offsets[items]
        return Space(self.backbone, self.metric, kept, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def feature_space(pool: Pool, metric: str, strategy: str) -> Space:
    """The global features of the pool's only backbone. Raises InvalidInput where there are several, or none."""
    if not pool.features:
        raise InvalidInput(
            f'strategy "{strategy}" needs global features, and {pool.where} holds patterns only. '
            'Use strategy="freesel", or give one row of features per item.'
        )
    name = _only(list(pool.features), strategy)
    return Space(name, metric, pool.features[name])


def pattern_space(pool: Pool, metric: str, strategy: str) -> Space:
    """The patterns of the pool's only backbone; its global features, with a note, where it has no patterns."""
    name = _only(list({**pool.features, **pool.patterns}), strategy)
    if name in pool.patterns:
        patterns = pool.patterns[name]
        if len(patterns.rows) == 0:
            raise InvalidInput(f'backbone "{name}" has no pattern of any item. Lower the threshold of its patterns.')
        return Space(name, metric, patterns.rows, patterns.offsets)
    note = (
        f'backbone "{name}" has no patterns, its global features stand in for them: one pattern per item. '
        "For patterns embed with patterns=True / --patterns."
    )
    return Space(name, metric, pool.features[name], None, note)


def _only(names: list[str], strategy: str) -> str:
    if len(names) == 1:
        return names[0]
    raise InvalidInput(
        f'strategy "{strategy}" measures distances under one backbone, the pool has {names}. '
        f'Choose one with backbones=["{names[0]}"] / --backbones {names[0]}.'
    )


@contextmanager
def usable(space: Space, pool: Pool) -> Iterator[None]:
    """Rows that the block cannot use become UnusableRows about valid items, so that one further try is enough."""
    try:
        yield
    except InvalidInput as error:
        owners = None if space.offsets is None else space.owner_of(np.arange(len(space.rows)))
        zeros = space.metric == "cosine"
        found = unusable_rows({space.backbone: space.rows}, pool.valid, owners=owners, zeros=zeros)
        raise found or error from None
