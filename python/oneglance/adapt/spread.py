"""Centre and spread of every feature over a pool: no labels, and the same for every selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._rows import named_rows
from .._types import BoolArray, Float64Array, FloatArray, RowShards


@dataclass(frozen=True, eq=False)
class Spread:
    """centre, spread (d,): mean and standard deviation; a feature that never changes has spread 1."""

    centre: Float64Array
    spread: Float64Array

    @classmethod
    def of(cls, X: FloatArray) -> Spread:
        """Of rows (n, d) in memory."""
        rows = np.asarray(X, dtype=np.float64)
        return cls._without_dead(rows.mean(axis=0), rows.std(axis=0))

    @classmethod
    def _without_dead(cls, centre: Float64Array, spread: Float64Array) -> Spread:
        dead = spread <= 1e-12 * np.maximum(np.abs(centre), np.finfo(np.float64).tiny)
        return cls(centre, np.where(dead, 1.0, spread))

    @classmethod
    def of_pool(cls, shards: RowShards, valid: BoolArray, name: str) -> Spread:
        """Over the valid rows, in float64. Two readings, O(d) memory. Raises InvalidInput for NaN in valid rows."""
        n_rows = int(np.count_nonzero(valid))
        ones = np.ones((len(shards), 1))
        with named_rows(f'features of backbone "{name}"', cure="Embed again, or leave these items out."):
            centre = _core.row_products(list(shards), valid, None, ones, True)[1][:, 0] / n_rows
        square, first = np.zeros(shards.shape[1]), 0
        for shard in shards:
            for start in range(0, shard.shape[0], 4096):
                panel = np.asarray(shard[start : start + 4096], dtype=np.float64)
                panel = panel[valid[first + start : first + start + len(panel)]]
                square += np.square(panel - centre).sum(axis=0)
            first += shard.shape[0]
        return cls._without_dead(centre, np.sqrt(square / n_rows))

    def apply(self, rows: Any) -> Float64Array:
        """(m, d) -> (m, d) with the pool's mean 0 and spread 1."""
        return np.asarray((np.asarray(rows, dtype=np.float64) - self.centre) / self.spread)

    def fold_in(self, coef: Float64Array, intercept: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Coefficients for rows as they are from those for scaled rows."""
        plain = coef / self.spread[:, None]
        return plain, intercept - self.centre @ plain
