"""BiLAF: core samples, and samples near the boundaries between their classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import as_mask, as_positions, is_cosine, positive_int, positive_number, seed_int
from .._rows import named_rows
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..cuda import DeviceRows, library_of
from ..cuda.bilaf import Classes
from ..cuda.rows import on_host
from ..errors import InvalidInput
from ..search import farthest_points
from .activeft import activeft, as_argument, count_of, match, on_the_host, rows_of
from .bilaf_inside import Inside, inside_of
from .bilaf_released import released_picks
from .kmeans import kmeans

CORES = ("activeft", "kmeans", "farthest")
_CORE_ITER = 10
COMPATS = ("paper", "released")
_NEAR_CORES = 8  # opponents looked at before all of them are


@dataclass(frozen=True, slots=True, eq=False)
class BiLAF:
    """Picks with the classes they come from; NumPy arrays also where X is on a device.

    indices   int64 (k,), distinct rows: cores first, then boundary samples, class after class in turns
    scores    float64 (k,), boundary score when picked, in [-1, 1], small near a boundary; NaN for cores
    classes   int64 (k,), the class of each pick
    opponent  int64 (k,), the class whose core is nearest to it; -1 for cores
    cores     int64 (n_cores,), the rows of the cores, those of `already` first
    labels    int64 (n,), class of every row; -1 for rows that mask leaves out
    removed   int64, rows that the denoising left out, ascending
    repeats   picks that the published code would have made twice, replaced here; 0 unless compat is "released"
    """

    indices: IntArray
    scores: Float64Array
    classes: IntArray
    opponent: IntArray
    cores: IntArray
    labels: IntArray
    removed: IntArray
    repeats: int = 0


def bilaf(
    X: Any,
    k: int,
    *,
    cores: Any = "activeft",
    n_cores: int | None = None,
    n_neighbors: int = 10,
    growth: float = 0.1,
    removal: float = 0.1,
    penalty: float = 1.1,
    metric: str = "cosine",
    already: Any = None,
    mask: Any = None,
    seed: int = 0,
    compat: str = "paper",
    device: str | None = None,
) -> BiLAF:
    """k rows: cores that stand for pseudo-classes, and samples near the boundaries between these.

    X            (n, d) float16/32/64: NumPy array or memory map, RowShards, torch tensor, CuPy array (those of a CUDA
                 device are worked on there)
    cores        how the cores are found: "activeft" (its released objective, with which the paper's results were
                 made), "kmeans" (the row nearest to each centre after 10 iterations at most) or "farthest"; or
                 their positions
    n_cores      how many, besides those of already. Default: 0.5 % of the rows, at least 2, at most half of k
    n_neighbors  included members that a density is measured from
    growth       share of a class that joins per round of the denoising, in (0, 1]
    removal      share of a class that is left out, the last to join, in [0, 1)
    penalty      delta >= 1, by which an opponent that was picked against looks farther
    metric       "cosine": Euclidean distances of the rows scaled to unit norm (the paper); "sqeuclidean": of the
                 rows as they are
    already      positions of rows chosen before: cores of their classes that are not answered
    mask         (n,) bool: rows with False are left out
    seed         of the cores, 0 .. 2**63 - 1
    compat       "paper", or "released": what the published code computes after its cores, with its errors. For
                 comparison with published picks only: worse by its own measure, slow, and O(N^2) memory per class of
                 N rows. It measures rows as they are, whatever the metric, denoises by distances to the wrong rows,
                 penalises one opponent, favours small classes, and leaves rows out for good; where it would stop at a
                 class without budget or pick a row twice, other rows take the places (see repeats, and
                 cluster/bilaf_released.py for each difference)
    device       "cuda", "cuda:1": rows of the host are copied to that device. Default: where X is

    The budget is shared among the classes by their sizes after denoising: largest remainder, at least the core and
    at most all (nothing is removed where the budget would not be met). No row is picked twice. Float64 decides
    everything, ties go to the lower row: for given cores the answer does not depend on threads, shards or
    instruction set.
    Cost: the cores; one product with the cores; per class of N rows about N^2 d multiply-adds. Memory O(n + N d).
    Source: arXiv 2403.10069. Raises InvalidInput.
    """
    if compat == "released" and device is None and library_of(X, "X") is None:
        device = "cpu"  # whatever computes the rest
    rows, k, cosine, seed = rows_of(X, device), positive_int(k, "k"), is_cosine(metric), seed_int(seed)
    if compat not in COMPATS:
        raise InvalidInput(f"compat must be one of {list(COMPATS)}, got {compat!r}.")
    n_neighbors, penalty = positive_int(n_neighbors, "n_neighbors"), positive_number(penalty, "penalty")
    growth = positive_number(growth, "growth", zero_ok=True)
    removal = positive_number(removal, "removal", zero_ok=True)
    if not 0 < growth <= 1:
        raise InvalidInput(f"growth must lie in (0, 1], got {growth!r}.")
    if removal >= 1:
        raise InvalidInput(f"removal must lie in [0, 1), got {removal!r}.")
    if penalty < 1:
        raise InvalidInput(f"penalty must be at least 1, got {penalty:g}.")
    n_rows = count_of(rows)
    if isinstance(rows, DeviceRows):
        if compat == "released":
            raise InvalidInput('compat is "released", which the CPU alone computes. Pass X as an array of the CPU.')
        cores, already, mask = (on_host(value, rows.library) for value in (cores, already, mask))
    given = np.empty(0, dtype=np.int64) if already is None else as_positions(already, "already", n_rows)
    masked = as_mask(mask, "mask", n_rows)
    used = np.ones(n_rows, dtype=np.bool_) if masked is None else masked.copy()
    used[given] = False
    if k > np.count_nonzero(used):
        raise InvalidInput(f"k is {k}, but only {np.count_nonzero(used)} rows can be chosen. Ask for at most that.")
    with named_rows("X"):
        found = _cores(rows, k, cores, n_cores, metric, given, used, seed)
        used[given] = True
        centers = np.concatenate([given, found])
        if compat == "released" and isinstance(rows, RowShards):
            return _released(
                rows,
                k,
                centers,
                given.size,
                used,
                {"n_neighbors": n_neighbors, "growth": growth, "removal": removal, "penalty": penalty},
            )
        inside = inside_of(rows, cosine, used)
        labels, near, distance = _near_cores(inside, centers, used)
        kept, mean = _denoise(inside, labels, centers, used, n_neighbors, growth, removal)
        if k + given.size > np.count_nonzero(kept):  # the budget must be met: nothing is left out
            kept, mean = _denoise(inside, labels, centers, used, n_neighbors, growth, 0.0)
        members, offsets = _members(labels, kept, centers.size)
        budget = largest_remainder(k + given.size, np.diff(offsets), np.ones(centers.size, dtype=np.int64))
        classes = Classes(members, offsets, centers)
        picked, scores, opponent = inside.picks(
            classes, near[members], distance[members], mean[members], budget, penalty
        )
    turn = np.arange(picked.size) - np.repeat(np.cumsum(budget) - budget, budget)
    mine = np.repeat(np.arange(centers.size), budget)
    order = np.lexsort((mine, turn))
    order = order[(turn[order] > 0) | (mine[order] >= given.size)]
    removed = np.flatnonzero(used & ~kept).astype(np.int64)
    return BiLAF(picked[order], scores[order], mine[order], opponent[order], centers, labels, removed)


def _released(
    rows: RowShards, k: int, centers: IntArray, n_given: int, used: BoolArray, options: dict[str, Any]
) -> BiLAF:
    labels, near, distance = _near_cores(inside_of(rows, False, used), centers, used)
    if near.shape[1]:
        opponent, inter = near[:, 0], distance[:, 0]
    else:
        opponent, inter = np.full(len(rows), -1, dtype=np.int64), np.full(len(rows), np.inf)
    picked, scores, stay, repeats = released_picks(rows, labels, opponent, inter, centers, n_given, k, **options)
    against = np.where(np.isin(picked, centers), -1, opponent[picked])
    removed = np.flatnonzero(used & ~stay).astype(np.int64)
    return BiLAF(picked, scores, labels[picked], against, centers, labels, removed, repeats)


def _cores(
    rows: RowShards | DeviceRows,
    k: int,
    cores: Any,
    n_cores: int | None,
    metric: str,
    given: IntArray,
    free: BoolArray,
    seed: int,
) -> IntArray:
    """Rows of the new cores, distinct."""
    if not isinstance(cores, str):
        found = as_positions(cores, "cores", count_of(rows))
        if not free[found].all():
            raise InvalidInput("cores holds a row that mask or already leaves out.")
        if not 1 <= found.size <= k:
            raise InvalidInput(f"cores must hold 1 to k = {k} rows, got {found.size}.")
        return found
    if cores not in CORES:
        raise InvalidInput(f"cores must be one of {list(CORES)} or positions of rows, got {cores!r}.")
    if n_cores is None:
        n_cores = max(1, min(k // 2, max(2, round(0.005 * np.count_nonzero(free)))))
    n_cores = positive_int(n_cores, "n_cores")
    if n_cores > k:
        raise InvalidInput(f"n_cores is {n_cores}, but k is {k}: each core is a pick. Ask for fewer cores.")
    before, X = given if given.size else None, as_argument(rows)
    if cores == "farthest":
        cover = farthest_points(X, n_cores, metric=metric, mask=free, already=before)
        return np.asarray(on_the_host(rows, cover.indices))
    if cores == "activeft":
        return activeft(X, n_cores, objective="released", mask=free, already=before, seed=seed).indices
    centers = kmeans(X, n_cores, metric=metric, max_iter=_CORE_ITER, mask=free, seed=seed).centers
    return match(rows, on_the_host(rows, centers), free, metric == "cosine")[0]


def _near_cores(inside: Inside, centers: IntArray, used: BoolArray) -> tuple[IntArray, IntArray, Float64Array]:
    """(class of every row, its nearest cores of other classes (n, q), their Euclidean distances).

    A core is of its own class, also beside an equal core. One product with the cores.
    """
    q = min(_NEAR_CORES, centers.size - 1)
    near, distance = inside.near(centers, q + 1, used)
    labels = near[:, 0].copy()
    labels[~used] = -1
    labels[centers] = np.arange(centers.size)
    own = (near == labels[:, None]) & used[:, None]
    own[~own.any(axis=1), q] = True  # equal cores can push the own one off the list: then the last goes
    shape = (inside.n_rows, q)
    return labels, near[~own].reshape(shape), np.sqrt(distance[~own].reshape(shape) * (2.0 if inside.cosine else 1.0))


def _members(labels: IntArray, kept: BoolArray, n_classes: int) -> tuple[IntArray, IntArray]:
    """Rows class after class, ascending within, and the offsets of the classes."""
    there = np.flatnonzero(kept & (labels >= 0))
    order = there[np.argsort(labels[there], kind="stable")].astype(np.int64)
    counts = np.bincount(labels[order], minlength=n_classes)
    return order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _denoise(
    inside: Inside,
    labels: IntArray,
    centers: IntArray,
    used: BoolArray,
    n_neighbors: int,
    growth: float,
    removal: float,
) -> tuple[BoolArray, Float64Array]:
    """(rows that stay: of each class all but the last floor(removal * size) to join; their mean distance to those of
    their class that stay)."""
    members, offsets = _members(labels, used, centers.size)
    classes = Classes(members, offsets, centers)
    order, distances = inside.denoise(classes, n_neighbors, growth, removal)
    sizes = np.diff(offsets)
    place = np.arange(order.size) - np.repeat(offsets[:-1], sizes)
    kept, mean = used.copy(), np.full(used.size, np.nan)
    kept[order[place >= np.repeat(sizes - np.floor(removal * sizes).astype(np.int64), sizes)]] = False
    mean[members] = distances
    return kept, mean


def largest_remainder(total: int, sizes: IntArray, least: IntArray) -> IntArray:
    """Integers that sum to `total`, in proportion to sizes within least .. sizes; ties to the lower class.

    Shares are clipped to their bounds and scaled until they sum up; then rounded down, and the largest remainders
    get one more.
    """
    low, high = 0.0, float(total) + 1.0
    for _ in range(200):  # the scale at which the clipped shares sum to total
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle * sizes, least, sizes).sum() < total else (low, middle)
    share = np.clip(high * sizes, least, sizes)
    given: IntArray = np.floor(share + 1e-9).astype(np.int64)
    order = np.lexsort((np.arange(sizes.size), -(share - given)))
    for i in [i for i in order if given[i] < sizes[i]][: total - given.sum()]:
        given[i] += 1
    return given
