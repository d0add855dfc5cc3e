"""BiLAF's second stage as the published code computes it: for comparison with published picks, nothing else."""

from __future__ import annotations

import numpy as np

from .._types import BoolArray, Float64Array, IntArray, RowShards

_LEAST_DENOISED = 10  # smaller classes keep all their members


def released_picks(
    rows: RowShards,
    labels: IntArray,
    opponent: IntArray,
    inter: Float64Array,
    cores: IntArray,
    n_given: int,
    k: int,
    *,
    n_neighbors: int,
    growth: float,
    removal: float,
    penalty: float,
) -> tuple[IntArray, Float64Array, BoolArray, int]:
    """(rows (k,), distinct, class after class; their scores; rows that stay (n,); picks that had been repeats).

    labels    int64 (n,) class of every row, -1 for none      opponent  int64 (n,) nearest core of another class
    inter     float64 (n,) Euclidean distance to it, +inf where there is none      cores  row of each class's core,
    of which the first n_given count, but are not answered

    As the published code, and unlike the paper: distances between the rows as they are, not of unit norm; the first
    round takes the max(1, int(growth * size)) rows nearest to the core, and rows that fill no whole round are lost;
    a density averages the distances to the wrong rows (see join); of a class int((1 - removal) * joined) rows stay,
    all of them below 10; one opponent per row, found without penalty, is the only one penalised; budgets are rounded
    by split.
    Unlike the published code: a class without budget gives no row (there: division by zero), a core belongs to its
    own class also beside an equal core, and a row picked again is replaced: after all classes, by the row not yet
    picked with the smallest unpenalised score, of those that stay before those left out, ties to the lower row.
    Plain NumPy: time and memory O(size^2) per class.
    """
    there = np.flatnonzero(labels >= 0)
    stay, intra = np.zeros(len(rows), dtype=np.bool_), np.full(len(rows), np.nan)
    kept: list[IntArray] = []
    for one, core in enumerate(cores):
        members = there[labels[there] == one]
        d = _distances(np.asarray(rows.take(members), dtype=np.float64))
        joined = np.arange(members.size)
        if members.size >= _LEAST_DENOISED:
            joined = join(d, int(np.searchsorted(members, core)), n_neighbors, growth)
            joined = joined[: max(1, int((1 - removal) * joined.size))]
        intra[members] = d[:, joined].mean(axis=1)
        kept.append(members[joined])
        stay[kept[-1]] = True
    scores = _boundary(inter, inter, intra)
    picks: list[int] = []
    values: list[float] = []
    for one, share in enumerate(split(k + n_given, np.array([len(mine) for mine in kept]))):
        for row, value in _of_class(rows, kept[one], cores[one], int(share), opponent, inter, intra, penalty):
            picks.append(row)
            values.append(value)
    first = np.sort(np.unique(picks, return_index=True)[1])
    repeats = len(picks) - first.size
    first = first[~np.isin(np.array(picks)[first], cores[:n_given])][:k]
    chosen = np.array(picks, dtype=np.int64)[first]
    left = np.setdiff1d(there, np.concatenate([chosen, cores[:n_given]]))
    fill = left[np.lexsort((left, scores[left], ~stay[left]))][: k - chosen.size]
    return (
        np.concatenate([chosen, fill]).astype(np.int64),
        np.concatenate([np.array(values)[first], scores[fill]]),
        stay,
        repeats,
    )


def join(d: Float64Array, core: int, n_neighbors: int, growth: float) -> IntArray:
    """Members in the order in which they join, from their distances d (size, size).

    The n_neighbors nearest included members are places in the list of included ones; the published code takes these
    places for members, and so averages distances to others.
    """
    n = len(d)
    step = max(1, int(growth * n))
    inside = np.lexsort((np.arange(n), np.arange(n) != core, d[core]))[:step]
    for _ in range(n // step - 1):
        rest = np.setdiff1d(np.arange(n), inside)
        places = np.argsort(d[np.ix_(rest, inside)], axis=1, kind="stable")[:, :n_neighbors]
        density = np.take_along_axis(d[rest], places, axis=1).mean(axis=1)
        inside = np.concatenate([inside, rest[np.argsort(density, kind="stable")[:step]]])
    return inside.astype(np.int64)


def split(budget: int, sizes: IntArray) -> IntArray:
    """floor(budget * share) each, what is left one by one to the class with the least so far, ties to the larger
    share, then the lower class. Can exceed a class's size, and be 0."""
    share = sizes / sizes.sum()
    given: IntArray = np.floor(budget * share).astype(np.int64)
    for _ in range(budget - int(given.sum())):
        given[np.lexsort((np.arange(sizes.size), -share, given))[0]] += 1
    return given


def _distances(x: Float64Array) -> Float64Array:
    result: Float64Array = np.stack([np.sqrt(((x - row) ** 2).sum(axis=1)) for row in x])
    return result


def _boundary(penalised: Float64Array, distance: Float64Array, intra: Float64Array) -> Float64Array:
    """(penalised - intra) / max(distance, intra); +inf where there is no other class, 0 for 0 / 0."""
    scale = np.maximum(distance, intra)
    finite = np.isfinite(scale) & (scale > 0)
    result: Float64Array = np.where(
        finite, (np.where(finite, penalised, 0) - intra) / np.where(finite, scale, 1), np.where(scale == 0, 0.0, np.inf)
    )
    return result


def _of_class(
    rows: RowShards,
    members: IntArray,
    core: int,
    budget: int,
    opponent: IntArray,
    inter: Float64Array,
    intra: Float64Array,
    penalty: float,
) -> list[tuple[int, float]]:
    """Picks of one class with their scores, repeats among them."""
    if budget == 0:
        return []
    members = np.sort(members)
    d = _distances(np.asarray(rows.take(members), dtype=np.float64))
    drop = members.size // budget
    times = np.zeros(int(opponent.max(initial=0)) + 1)
    left, last = np.arange(members.size), int(np.searchsorted(members, core))
    found = [(int(core), float("nan"))]
    while len(found) < budget:
        nearest = np.lexsort((left, np.where(left == last, -1.0, d[last, left])))
        left = np.sort(left[nearest[drop:]])
        mine = members[left]
        value = _boundary(inter[mine] * penalty ** times[opponent[mine]], inter[mine], intra[mine])
        best = int(value.argmin())
        last = int(left[best])
        found.append((int(members[last]), float(value[best])))
        times[opponent[members[last]]] += 1
    return found
