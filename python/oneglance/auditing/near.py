"""Near-duplicate rows: all pairs of high cosine, found inside the cells of a k-means, and where cells meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..cluster import kmeans
from ..search import nearest
from ..strategies.pairs import Pairs, fixed_sample
from .links import Groups

_CELL_ROWS = 500  # on average
_ONE_CELL = 4000  # rows below which all pairs are cheaper than cells
_FIT_ROWS = 32  # per cell, for the centres
_MAX_ITER = 5
_VISITS = 5  # further cells of a row at most
PANEL = 16_384
MOST_PRODUCTS = _CELL_ROWS * (1 + _VISITS)
_CHECKED = 1000


@dataclass(frozen=True, eq=False)
class NearRows:
    """Groups of rows that chains of near pairs link, and how sure it is that none is missing.

    groups       int64 (n,): the lowest row of a row's group, itself where it is alone
    n_cells      cells of the k-means
    exact        no pair can be missing: no row had to leave out a cell that the bound allows
    near_checked, near_found   near pairs among 1000 fixed rows' 4 nearest others, and how many of them ended in one
                 group: found / checked is the measured recall
    """

    groups: IntArray
    n_cells: int
    exact: bool
    near_checked: int
    near_found: int


def near_rows(
    rows: RowShards,
    used: BoolArray,
    cosine: float,
    *,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> NearRows:
    """All pairs of used rows of at least this cosine, as groups.

    rows   (n, d); used rows are finite, not zero, and no two are equal bit by bit (else cells may become large)

    Pairs of unit rows are at most D = sqrt(2 - 2 cosine) apart. If the cells a and b part two such rows, the border
    between a and b (the hyperplane where both centres are equally far) lies between them, so one of the two is within
    D / 2 of it. Every row therefore visits the other cells whose border is that near, the nearest 5 at most: then each
    near pair meets in one cell. Where 5 were too few the answer is not `exact`; see the measured recall.
    Inside cells pairs are decided by definition (strategies.pairs). Cost: the k-means of a sample, one search among
    n / 500 centres, and 500 to 3000 products per row. Memory: O(n + cell d).
    """
    there = np.flatnonzero(used).astype(np.int64)
    n = len(rows)
    groups = Groups(n)
    n_cells = 1 if there.size <= _ONE_CELL else max(2, there.size // _CELL_ROWS)
    if n_cells == 1:
        cells, exact = [(there, there[:0])], True
    else:
        note(f"near-duplicates: {n_cells} cells of {there.size:,} rows ...")
        cells, exact = _cells(rows, there, n_cells, cosine, seed)
    radius = float(np.nextafter(1.0 - cosine, 2.0))
    for members, visitors in cells:
        if members.size and members.size + visitors.size > 1:
            _link(rows, members, visitors, radius, groups)
    found = groups.lowest()
    checked, hits = _recall(rows, used, there, radius, found)
    return NearRows(found, n_cells, exact, checked, hits)


def _link(rows: RowShards, members: IntArray, visitors: IntArray, radius: float, groups: Groups) -> None:
    """Links the near pairs of members with members and visitors."""
    everyone = np.concatenate([members, visitors])
    pairs = Pairs(rows, everyone, "cosine", np.float32)
    numbers = np.arange(members.size)
    for part, columns, inside in pairs.within(numbers, radius):
        i, j = np.nonzero(inside)
        one, other = members[numbers[part][i]], everyone[columns.start + j]
        groups.link(one, other)


def _cells(
    rows: RowShards, there: IntArray, n_cells: int, cosine: float, seed: int
) -> tuple[list[tuple[IntArray, IntArray]], bool]:
    """Members and visitors of every cell, ascending; and whether every near pair meets in one."""
    keys = uniforms(seed, Purpose.AUDIT, there, draw=2**30)
    sample = np.sort(there[np.argsort(keys, kind="stable")[: _FIT_ROWS * n_cells]])
    centers = kmeans(rows.take(sample), n_cells, metric="cosine", init="random", max_iter=_MAX_ITER, seed=seed).centers
    k = min(n_cells, _VISITS + 2)
    half = np.sqrt(2.0 - 2.0 * cosine) / 2.0 + 1e-6
    between = np.sqrt(np.maximum(2.0 - 2.0 * centers @ centers.T, 1e-12))
    widest = float(between.max())
    homes, guests, hosts = [], [], []
    exact = True
    for start in range(0, there.size, PANEL):
        panel = there[start : start + PANEL]
        near = nearest(rows.take(panel), centers, k=k, metric="cosine")
        home, others = near.indices[:, 0], near.indices[:, 1:]
        ahead = near.distances[:, 1:] - near.distances[:, :1]
        visit = ahead <= half * between[home[:, None], others]
        if k < n_cells:  # cells beyond the list are farther than its last, so if that one's border is far, all are
            exact &= bool((ahead[:, -1] > half * widest).all())
            visit[:, -1] = False
        homes.append(home)
        row, column = np.nonzero(visit)
        guests.append(panel[row])
        hosts.append(others[row, column])
    home, guest, host = np.concatenate(homes), np.concatenate(guests), np.concatenate(hosts)
    members = _split_by(there, home, n_cells)
    visitors = _split_by(guest, host, n_cells)
    return list(zip(members, visitors, strict=True)), exact


def _split_by(items: IntArray, cell: IntArray, n_cells: int) -> list[IntArray]:
    order = np.argsort(cell, kind="stable")
    return np.split(items[order], np.cumsum(np.bincount(cell, minlength=n_cells))[:-1])


def _recall(rows: RowShards, used: BoolArray, there: IntArray, radius: float, groups: IntArray) -> tuple[int, int]:
    """Near pairs of a fixed sample's 4 nearest others, and those of them within one group."""
    if there.size < 2:
        return 0, 0
    chosen = there[fixed_sample(there, _CHECKED)]
    near = nearest(rows.take(chosen), rows, k=min(5, there.size), metric="cosine", mask=used)
    pair = (near.distances < radius) & (near.indices != chosen[:, None])
    same = groups[near.indices] == groups[chosen][:, None]
    return int(np.count_nonzero(pair)), int(np.count_nonzero(pair & same))


def equal_rows(rows: RowShards, used: BoolArray) -> IntArray:
    """(n,) int64: the lowest used row with the same bytes; itself where there is none, or where it is not used.

    One reading; equal hashes are confirmed by the rows themselves.
    """
    n, d = rows.shape
    width = rows.dtype.itemsize
    odd = np.floor(uniforms(0, Purpose.AUDIT, np.arange(d), draw=2**31) * 2.0**52).astype(np.uint64)
    odd = (odd * np.uint64(2) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    as_bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[width]
    hashes, first = np.zeros(n, dtype=np.uint64), 0
    for shard in rows:
        for start in range(0, shard.shape[0], 2048):
            bits = np.ascontiguousarray(shard[start : start + 2048]).view(as_bits).astype(np.uint64)
            bits ^= bits >> np.uint64(29)
            bits *= odd
            bits ^= bits >> np.uint64(32)
            bits *= odd
            hashes[first + start : first + start + len(bits)] = bits.sum(axis=1, dtype=np.uint64)
        first += shard.shape[0]
    lowest = np.arange(n, dtype=np.int64)
    there = np.flatnonzero(used)
    _, where, of = np.unique(hashes[there], return_index=True, return_inverse=True)
    again = np.flatnonzero(where[of] != np.arange(there.size))
    for start in range(0, again.size, PANEL):
        part = again[start : start + PANEL]
        one, other = there[where[of[part]]], there[part]
        same = (rows.take(one).view(as_bits) == rows.take(other).view(as_bits)).all(axis=1)
        lowest[other[same]] = one[same]
    return lowest


def nearest_in(
    rows: RowShards, used: BoolArray, others: RowShards, others_used: BoolArray
) -> tuple[IntArray, Float64Array]:
    """For every row of `others` the used row of largest cosine, exactly, and that cosine; -1 and NaN for rows that are
    not used. Cost: 2 n m d flops."""
    found, cosine = np.full(len(others), -1, dtype=np.int64), np.full(len(others), np.nan)
    there = np.flatnonzero(others_used)
    for start in range(0, there.size, PANEL):
        panel = there[start : start + PANEL]
        near = nearest(others.take(panel), rows, metric="cosine", mask=None if used.all() else used)
        found[panel], cosine[panel] = near.indices[:, 0], 1.0 - near.distances[:, 0]
    return found, cosine


def cosines(rows: RowShards, one: IntArray, other: IntArray) -> Float64Array:
    """Cosine of every pair of rows."""
    out = np.empty(one.size)
    for start in range(0, one.size, PANEL):
        a, b = (rows.take(part[start : start + PANEL]).astype(np.float64) for part in (one, other))
        a /= np.abs(a).max(axis=1, keepdims=True)
        b /= np.abs(b).max(axis=1, keepdims=True)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        out[start : start + PANEL] = np.einsum("ij,ij->i", a, b) / lengths
    return out


def near_each_other(rows: RowShards, one: IntArray, other: IntArray, cosine: float) -> BoolArray:
    """(m, k) bool: cosine of rows one[i] and other[j] at least this. Cost: m k d products, in memory (m + k) d."""
    a, b = (rows.take(part).astype(np.float64) for part in (one, other))
    for part in (a, b):
        part /= np.abs(part).max(axis=1, keepdims=True)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return np.asarray(a @ b.T >= cosine)
