"""ActiveFT: a few parameters that take the distribution of the rows, and the rows nearest to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._check import as_mask, as_positions, as_shards, positive_int, positive_number, seed_int
from .._rng import Purpose, uniforms
from .._rows import named_rows
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..cuda import DeviceRows
from ..cuda import activeft as on_cards
from ..cuda.arrays import place_of
from ..cuda.rows import DeviceCopy, on_host
from ..errors import InvalidInput
from ..search import farthest_points, nearest

OBJECTIVES = ("paper", "released")
INITS = ("random", "farthest")
_NEIGHBOURS = 16  # rows looked up per parameter at a time, in case nearer ones are taken


@dataclass(frozen=True, slots=True, eq=False)
class ActiveFT:
    """Rows chosen, with the parameters they stand for; NumPy arrays also where X is on a device.

    indices  int64 (k,), distinct rows: indices[j] is the row nearest to theta[j] that no earlier one took
    cosines  float64 (k,), theta[j] . row indices[j]
    theta    float64 (k, d), of unit norm
    loss     float64 (n_iter,), the objective before each step
    scanned  share of the (row, parameter) products that the last iterations needed; bounds saved the others
    """

    indices: IntArray
    cosines: Float64Array
    theta: Float64Array
    loss: Float64Array
    scanned: float


def activeft(
    X: Any,
    k: int,
    *,
    objective: str = "released",
    temperature: float = 0.07,
    balance: float = 1.0,
    learning_rate: float = 1e-3,
    n_iter: int = 300,
    sample_rows: int | None = None,
    init: Any = "random",
    already: Any = None,
    mask: Any = None,
    seed: int = 0,
    device: str | None = None,
) -> ActiveFT:
    """k rows whose distribution is near that of X and which keep apart.

    X              (n, d) float16/32/64: NumPy array or memory map, RowShards, torch tensor, CuPy array (those of a CUDA
                   device are worked on there); scaled to unit norm
    objective      "paper": the cosine to the nearest parameter, less the log of how near the others come;
                   "released": what the published code minimises (see csrc/include/oneglance/activeft.h)
    temperature    tau > 0 of both terms          balance  weight of the repulsion, > 0
    learning_rate  of Adam (beta 0.9, 0.999), on parameters that start as rows of unit norm
    n_iter         iterations                     sample_rows  rows per iteration, drawn anew each time. Default: all
    init           "random" (rows, all alike), "farthest" (farthest_points under cosine), or k positions
    already        positions of rows chosen before: parameters that stay where they are, and are not answered
    mask           (n,) bool: rows with False are left out         seed  0 .. 2**63 - 1
    device         "cuda", "cuda:1": rows of the host are copied to that device. Default: where X is

    Parameters take their rows in order, each the most similar one that is left, so the k rows are distinct.
    No autograd, no (n, k) or (k, k) matrix: memory O(n + k d). Cost per iteration at most one (n, k) product and
    two (k, k) ones (three for "paper"); bounds skip most of the first when all rows are used. float32 products in
    the repulsion: the same bytes for any number of threads, on one type of processor; on a CUDA device near those of
    the CPU.
    Source: arXiv 2303.14382. Raises InvalidInput.
    """
    rows, k, seed = rows_of(X, device), positive_int(k, "k"), seed_int(seed)
    n_rows = count_of(rows)
    if objective not in OBJECTIVES:
        raise InvalidInput(f"objective must be one of {list(OBJECTIVES)}, got {objective!r}.")
    tau, strength = positive_number(temperature, "temperature"), positive_number(balance, "balance")
    rate, steps = positive_number(learning_rate, "learning_rate"), positive_int(n_iter, "n_iter")
    sample = 0 if sample_rows is None else positive_int(sample_rows, "sample_rows")
    if isinstance(rows, DeviceRows):
        already, mask, init = (on_host(value, rows.library) for value in (already, mask, init))
    fixed = np.empty(0, dtype=np.int64) if already is None else as_positions(already, "already", n_rows)
    used = as_mask(mask, "mask", n_rows)
    free = np.ones(n_rows, dtype=np.bool_) if used is None else used.copy()
    free[fixed] = False
    if k > np.count_nonzero(free):
        raise InvalidInput(f"k is {k}, but only {np.count_nonzero(free)} rows can be chosen. Ask for at most that.")
    if used is not None:
        used = used.copy()
        used[fixed] = True
    start = np.concatenate([fixed, _initial(rows, k, init, fixed, free, seed)])
    theta = _unit(taken(rows, start))
    with named_rows("X"):
        if isinstance(rows, DeviceRows):
            how = on_cards.Objective(objective, tau, strength, rate, steps, int(fixed.size), sample, seed)
            theta, loss = on_cards.activeft(rows, used, theta, how)
            scanned = 1.0
        else:
            theta, loss, scanned = _core.activeft(
                list(rows), theta, objective, steps, tau, strength, rate, int(fixed.size), sample, seed, used
            )
        if not np.isfinite(theta).all():
            raise InvalidInput(
                f"temperature {tau:g}, balance {strength:g} and learning_rate {rate:g} drive the parameters out of "
                "float64. The published values are 0.07, 1 and 0.001."
            )
        theta = theta[fixed.size :]
        indices, distances = match(rows, theta, free)
    return ActiveFT(indices, 1.0 - distances, theta, loss, scanned)


def rows_of(X: Any, device: str | None) -> RowShards | DeviceRows:
    """Rows of the CPU, or of the device that X is on; or a copy of rows of the host on the device asked for."""
    place = place_of(X, "X", device)
    if place is None:
        return as_shards(X, "X")
    library, where = place
    with library.guard(where):
        return DeviceCopy(X, library, where).rows


def count_of(rows: RowShards | DeviceRows) -> int:
    return len(rows) if isinstance(rows, RowShards) else rows.n_rows


def as_argument(rows: RowShards | DeviceRows) -> Any:
    """The rows as an argument of the public functions."""
    return rows if isinstance(rows, RowShards) else rows.array


def taken(rows: RowShards | DeviceRows, positions: IntArray) -> Float64Array:
    """Some rows as float64 on the host."""
    if isinstance(rows, RowShards):
        return np.asarray(rows.take(positions), dtype=np.float64)
    library = rows.library
    with library.guard(rows.device):
        found = rows.array[library.from_host(positions, rows.device)]
        wide: Float64Array = library.to_host(library.astype(found, "float64"))
    return wide


def on_the_host(rows: RowShards | DeviceRows, array: Any) -> Any:
    return rows.library.to_host(array) if isinstance(rows, DeviceRows) else array


def _initial(rows: RowShards | DeviceRows, k: int, init: Any, fixed: IntArray, free: BoolArray, seed: int) -> IntArray:
    if isinstance(init, str):
        if init not in INITS:
            raise InvalidInput(f"init must be one of {list(INITS)} or k positions of rows, got {init!r}.")
        if init == "farthest":
            before = fixed if fixed.size else None
            found = farthest_points(as_argument(rows), k, metric="cosine", mask=free, already=before)
            chosen: IntArray = on_the_host(rows, found.indices)
            return chosen
        there = np.flatnonzero(free).astype(np.int64)
        keys = uniforms(seed, Purpose.ACTIVEFT, there)
        return there[np.argsort(keys, kind="stable")[:k]]
    chosen = as_positions(init, "init", count_of(rows))
    if chosen.size != k or not free[chosen].all():
        raise InvalidInput(f"init must hold {k} rows that may be chosen, got {chosen.size}, or a row left out.")
    return chosen


def _unit(rows: Float64Array) -> Float64Array:
    """Rows of unit norm; rows of zeros or NaN become NaN, and the core names them."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled = rows / np.abs(rows).max(axis=1, keepdims=True)
        unit: Float64Array = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def match(
    rows: RowShards | DeviceRows, theta: Float64Array, free: BoolArray, cosine: bool = True
) -> tuple[IntArray, Float64Array]:
    """Each parameter in turn takes the nearest free row: (rows (k,), their distances (k,)), rows distinct.

    A few nearest rows are looked up at once for all that are left; when they are all taken, again without those.
    """
    left, k = free.copy(), theta.shape[0]
    indices, distances = np.empty(k, dtype=np.int64), np.empty(k)
    done = 0
    while done < k:
        n_free = int(np.count_nonzero(left))
        near, far = _near(rows, theta[done:], min(_NEIGHBOURS, n_free), cosine, left)
        begun = done
        while done < k:
            there = np.flatnonzero(left[near[done - begun]])
            if not there.size:
                break
            indices[done], distances[done] = near[done - begun, there[0]], far[done - begun, there[0]]
            left[indices[done]] = False
            done += 1
    return indices, distances


def _near(
    rows: RowShards | DeviceRows, theta: Float64Array, k: int, cosine: bool, left: BoolArray
) -> tuple[IntArray, Float64Array]:
    if isinstance(rows, RowShards):
        near, far = _core.nearest([theta], list(rows), k, cosine, False, left)
        return near, far
    library, metric = rows.library, "cosine" if cosine else "sqeuclidean"
    with library.guard(rows.device):
        found = nearest(library.from_host(theta, rows.device), rows.array, k=k, metric=metric, mask=left)
        return library.to_host(found.indices), library.to_host(found.distances)
