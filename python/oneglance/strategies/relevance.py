"""Which items of a mixed pool belong to what a query set is about: a conformal test, without labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from .._check import positive_number
from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, FloatArray, IntArray, RowShards
from ..errors import InvalidInput
from ..search import knn, nearest
from ..store import FeatureStore
from .pool import Pool, as_pool
from .unusable import unusable_rows

_BLOCK = 8192
_SAMPLE = 2000


@dataclass(frozen=True, eq=False)
class Queries:
    """Rows of the queries under each backbone of the pool; items of the pool among them by position."""

    features: Mapping[str, FloatArray]
    items: IntArray

    @property
    def n(self) -> int:
        return len(next(iter(self.features.values())))


@dataclass(frozen=True, eq=False)
class Relevance:
    """items: positions that are off topic, ascending; p: their p-values; n_queries of the test."""

    items: IntArray
    p: Float64Array
    n_queries: int


def check_relevance(value: Any) -> float:
    """A share in (0, 1)."""
    share = positive_number(value, "relevance")
    if share >= 1:
        raise InvalidInput(f"relevance must be a share between 0 and 1, got {share:g}.")
    return share


def read_queries(pool: Pool, given: Any, share: float) -> Queries:
    """Queries from items of the pool (ids, positions, a mask), or from features: one (n, d) array, a dict or list of
    arrays (one per backbone), a FeatureStore or its path (its valid items).

    Raises InvalidInput: backbones or widths that differ, rows with NaN, fewer queries than 1 / share - 1.
    """
    if not pool.features:
        raise InvalidInput(f"relevant_to compares global features, and {pool.where} holds patterns only.")
    if _holds_features(given):
        queries = _from_features(pool, given)
    else:
        items = pool.positions(given, "relevant_to")
        items = items[pool.valid[items]]
        queries = Queries({name: rows.take(items) for name, rows in pool.features.items()}, items)
    least = max(2, math.ceil(1 / share - 1 - 1e-9))
    if queries.n < least:
        raise InvalidInput(
            f"relevant_to holds {queries.n} usable queries; to tell at relevance={share:g} what is off topic takes at "
            f"least {least} (1 / relevance - 1). Give more queries, or a larger relevance."
        )
    return queries


def off_topic(pool: Pool, queries: Queries, candidates: BoolArray, share: float) -> Relevance:
    """Candidates whose p-value is at most `share`.

    s_i  how much farther the nearest other query of an item is than the nearest other item of a fixed sample of
         2000 candidates: cosine distances of features less their mean; with several backbones the mean of s / (median
         distance of a query to the nearest other one)
    p_i  (1 + number of queries with s >= s_i) / (number of queries + 1)

    If an on-topic item and the queries are exchangeable (drawn alike), P(p_i <= share) <= share: so about that share
    of on-topic items is lost at most, whatever the features are. How many off-topic ones are found is up to the
    features. The distance to the sample makes it fair to topics of any spread: where only the distance to the nearest
    query counts, compact off-topic items pass for members of a diverse topic. Items of the pool that are queries are
    never off topic. Distances are exact (oneglance.nearest).
    Cost: 2 n d (number of queries + 2000) flops; memory O(n + (queries + 2000) d). Raises UnusableRows.
    """
    used = candidates.copy()
    used[queries.items] = True
    bad = unusable_rows(pool.features, pool.valid)
    if bad is not None:
        raise bad
    tested = candidates.copy()
    tested[queries.items] = False
    items = np.flatnonzero(tested).astype(np.int64)
    chance = uniforms(0, Purpose.TOPIC, items)
    sample = np.sort(items[np.argsort(chance, kind="stable")[:_SAMPLE]])
    if not sample.size:
        return Relevance(items, np.empty(0), queries.n)
    s, own = np.zeros(items.size), np.zeros(queries.n)
    for name, rows in pool.features.items():
        center = _mean(rows, used)
        anchors, around = _unit(queries.features[name], center), _unit(rows.take(sample), center)
        among = knn(anchors, 1).distances[:, 0]
        scale = float(np.median(among)) or float(among.mean()) or 1.0
        own += (among - nearest(anchors, around).distances[:, 0]) / scale
        for start in range(0, items.size, _BLOCK):
            here = items[start : start + _BLOCK]
            block = _unit(rows.take(here), center)
            to_query = nearest(block, anchors).distances[:, 0]
            s[start : start + _BLOCK] += (to_query - _to_others(block, here, around, sample)) / scale
    at_least = queries.n - np.searchsorted(np.sort(own), s, side="left")
    p = (1 + at_least) / (queries.n + 1)
    gone = p <= share
    return Relevance(items[gone], p[gone], queries.n)


def _to_others(block: Float64Array, items: IntArray, around: Float64Array, sample: IntArray) -> Float64Array:
    """Distance of every item to the nearest one of the sample that is another; 0 where there is none."""
    if sample.size == 1:
        return np.where(items == sample[0], 0.0, nearest(block, around).distances[:, 0])
    found = nearest(block, around, k=2)
    itself = sample[found.indices[:, 0]] == items
    other: Float64Array = np.where(itself, found.distances[:, 1], found.distances[:, 0])
    return other


def _holds_features(given: Any) -> bool:
    if isinstance(given, (str, PathLike, FeatureStore, Pool, Mapping, RowShards)):
        return True
    if isinstance(given, (list, tuple)):
        return any(np.ndim(item) == 2 for item in given)
    return getattr(given, "ndim", 1) == 2


def _from_features(pool: Pool, given: Any) -> Queries:
    source = as_pool(given)
    found = source.features
    if len(found) == len(pool.features) == 1:
        found = dict(zip(pool.features, found.values(), strict=True))
    missing = [name for name in pool.features if name not in found]
    if missing:
        raise InvalidInput(
            f"relevant_to has no features of backbone {missing[0]!r}; it has {list(found)}. Every backbone of the pool "
            "needs them: embed the queries with the same ones, or name those in common with backbones=."
        )
    there = np.flatnonzero(source.valid).astype(np.int64)
    kept: dict[str, FloatArray] = {}
    for name, rows in pool.features.items():
        if found[name].shape[1] != rows.shape[1]:
            raise InvalidInput(
                f"relevant_to has {found[name].shape[1]} columns of backbone {name!r}, the pool has {rows.shape[1]}. "
                "Both must come from the same backbone."
            )
        kept[name] = found[name].take(there)
        bad = np.flatnonzero(~np.isfinite(kept[name]).all(axis=1))
        if bad.size:
            raise InvalidInput(f"relevant_to has NaN or infinity in row {there[bad[0]]} of backbone {name!r}. Drop it.")
    return Queries(kept, np.empty(0, dtype=np.int64))


def _blocks(rows: RowShards, wanted: BoolArray) -> Iterator[Float64Array]:
    for start in range(0, len(rows), _BLOCK):
        there = np.flatnonzero(wanted[start : start + _BLOCK]) + start
        yield rows.take(there).astype(np.float64)


def _mean(rows: RowShards, wanted: BoolArray) -> Float64Array:
    total: Float64Array = sum((block.sum(axis=0) for block in _blocks(rows, wanted)), np.zeros(rows.shape[1]))
    return total / max(1, int(np.count_nonzero(wanted)))


def _unit(rows: FloatArray, center: Float64Array) -> Float64Array:
    """Less the centre, and scaled so that squared distances are cosine distances; rows at the centre stay there."""
    x = rows.astype(np.float64) - center
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    unit: Float64Array = x / np.where(norm > 0, norm, 1.0) * math.sqrt(0.5)
    return unit
