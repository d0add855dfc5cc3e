"""What is wrong with single rows and columns of features, and whether what is missing is missing by chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, Float64Array, IntArray, RowShards

OUTLYING = 5.0
"""Norms farther from the median than so many times 1.4826 median absolute deviations (standard deviations of a
normal law) are outliers."""

HUGE, TINY = 1e150, 1e-150
"""Squares of larger and smaller numbers leave float64: they count as infinite, and as 0."""

_PANEL = 4096
_PATTERNS = 1000


@dataclass(frozen=True, eq=False)
class RowReading:
    """One reading of features (n, d).

    nan, inf      (n,) int64: how many values of a row are NaN, infinite or beyond HUGE
    zero          (n,) bool: finite and all below TINY
    norms         (n,) float64: Euclidean length, NaN for rows that are not finite
    column_nan    (d,) int64: rows in which a column is NaN
    low, high     (d,) float64: least and largest finite value of a column
    at_low, at_high   (d,) int64: rows that have it
    patterns      sets of columns that are NaN together (bytes of a packed mask) -> rows; at most 1000 kept
    """

    nan: IntArray
    inf: IntArray
    zero: BoolArray
    norms: Float64Array
    column_nan: IntArray
    low: Float64Array
    high: Float64Array
    at_low: IntArray
    at_high: IntArray
    patterns: Counter[bytes] = field(repr=False)

    @property
    def usable(self) -> BoolArray:
        """(n,) bool: finite and not all 0."""
        return np.asarray((self.nan == 0) & (self.inf == 0) & ~self.zero)


def read_rows(rows: RowShards, wanted: BoolArray) -> RowReading:
    """Reads the wanted rows once; others count as finite rows without a norm. Memory O(n + d)."""
    n, d = rows.shape
    out = RowReading(
        np.zeros(n, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
        np.zeros(n, dtype=np.bool_),
        np.full(n, np.nan),
        np.zeros(d, dtype=np.int64),
        np.full(d, np.inf),
        np.full(d, -np.inf),
        np.zeros(d, dtype=np.int64),
        np.zeros(d, dtype=np.int64),
        Counter(),
    )
    first = 0
    for shard in rows:
        for start in range(0, shard.shape[0], _PANEL):
            here = np.arange(first + start, first + min(start + _PANEL, shard.shape[0]))
            keep = wanted[here]
            _read_panel(np.asarray(shard[start : start + _PANEL])[keep], here[keep], out)
        first += shard.shape[0]
    return out


def _read_panel(raw: npt.NDArray[np.floating], at: IntArray, out: RowReading) -> None:
    if not at.size:
        return
    finite = np.abs(raw) <= HUGE if raw.dtype == np.float64 else np.isfinite(raw)
    whole = finite.all()
    if not whole:
        lost = np.isnan(raw)
        out.nan[at] = lost.sum(axis=1)
        out.inf[at] = (~finite).sum(axis=1) - out.nan[at]
        np.add(out.column_nan, lost.sum(axis=0), out=out.column_nan)
        here = Counter(mark.tobytes() for mark in np.packbits(lost[out.nan[at] > 0], axis=1))
        for mark, n_rows in here.items():
            if mark in out.patterns or len(out.patterns) < _PATTERNS:
                out.patterns[mark] += n_rows
    for side, count, extreme in ((out.low, out.at_low, np.minimum), (out.high, out.at_high, np.maximum)):
        empty = np.inf if extreme is np.minimum else -np.inf
        values = raw if whole else np.where(finite, raw, empty)
        best = extreme.reduce(values, axis=0).astype(np.float64)
        new = extreme(side, best)
        count[new != side] = 0
        side[:] = new
        count += (values == new.astype(raw.dtype)).sum(axis=0)
    good = finite.all(axis=1)
    largest = np.abs(raw).max(axis=1, initial=0.0, where=finite).astype(np.float64)
    out.zero[at] = good & (largest < TINY)
    scale = np.where(largest > 0, largest, 1.0)
    kept = raw if whole else np.where(finite, raw, 0)
    lengths = scale * np.sqrt(np.square(kept / scale[:, None], dtype=np.float64).sum(axis=1))
    out.norms[at] = np.where(good, lengths, np.nan)


def constant_columns(reading: RowReading) -> IntArray:
    """Columns whose finite values are all one number (to 1e-12 of its size); those without any as well."""
    spread = np.where(reading.low <= reading.high, reading.high - reading.low, 0.0)
    size = np.maximum(np.abs(reading.low), np.abs(reading.high))
    return np.flatnonzero(~(spread > 1e-12 * np.where(np.isfinite(size), size, 0.0)))


def saturated_columns(reading: RowReading, n_rows: int, share: float = 0.01) -> IntArray:
    """Columns, not constant, whose least or largest value is not 0 and is shared by at least this part of the rows, and
    five: values that were cut off. The many zeros of rectified features are none. Of equal rows one may be read."""
    pinned = [
        (count >= max(5.0, share * n_rows)) & (side != 0) & np.isfinite(side)
        for side, count in ((reading.low, reading.at_low), (reading.high, reading.at_high))
    ]
    found = pinned[0] | pinned[1]
    found[constant_columns(reading)] = False
    return np.flatnonzero(found)


def norm_outliers(norms: Float64Array) -> tuple[IntArray, float, float]:
    """Rows whose norm is outlying, the median, and the distance from it beyond which it is.

    Where more than half of the norms are one number (rows at unit length) the deviation is 0: then a rounding of 1e-3
    of the median is allowed.
    """
    known = norms[~np.isnan(norms)]
    if not known.size:
        return np.empty(0, dtype=np.int64), np.nan, np.nan
    middle = float(np.median(known))
    reach = OUTLYING * max(1.4826 * float(np.median(np.abs(known - middle))), 1e-3 / OUTLYING * middle)
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(np.abs(norms - middle) > reach), middle, reach


def common_patterns(reading: RowReading, n_dims: int, most: int = 5) -> list[dict[str, object]]:
    """The most common sets of columns that are NaN together: how many columns, the first ones, how many rows."""
    found = []
    for mark, count in sorted(reading.patterns.items(), key=lambda pair: (-pair[1], pair[0]))[:most]:
        columns = np.flatnonzero(np.unpackbits(np.frombuffer(mark, dtype=np.uint8))[:n_dims])
        found.append({"n_columns": int(columns.size), "first_columns": columns[:5].tolist(), "n_rows": count})
    return found
