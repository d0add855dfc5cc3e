"""Oracle of the topic test: float64 NumPy, by definition."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, FloatArray, IntArray


def p_values(
    rows: FloatArray, queries: FloatArray, own_rows: IntArray, tested: IntArray, sample: IntArray
) -> Float64Array:
    """(1 + number of queries with s >= s_i) / (number of queries + 1) for every tested row, one backbone.

    own_rows  rows that are queries themselves (queries then are these); tested, sample: other rows. s of a row is its
    distance to the nearest other query less that to the nearest other row of the sample, and 1 - cosine the distance
    of features less the mean of the tested rows and own_rows.
    """
    center = rows[np.union1d(tested, own_rows)].astype(np.float64).mean(axis=0)
    x, q = _unit(rows - center), _unit(queries - center)
    to_sample = np.where(tested[:, None] == sample, np.inf, 1.0 - x[tested] @ x[sample].T).min(axis=1)
    s = (1.0 - x[tested] @ q.T).min(axis=1) - to_sample
    among = 1.0 - q @ q.T
    np.fill_diagonal(among, np.inf)
    own = among.min(axis=1) - (1.0 - q @ x[sample].T).min(axis=1)
    p: Float64Array = (1 + (own >= s[:, None]).sum(axis=1)) / (len(q) + 1)
    return p


def _unit(x: FloatArray) -> Float64Array:
    unit: Float64Array = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit
