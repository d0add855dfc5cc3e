"""Columns that span the column space, and a factor of their Gram matrix: csrc/algo/basis.cpp for device arrays.

Readings of the rows and (d, d) products run on the device, in the same order and with the same rules as on the CPU;
the rare decision about rank runs in NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._types import Float64Array
from .arithmetic import EXACT_GRAM_ERROR, FLOAT64, Arithmetic, is_small_work
from .passes import Passes

_EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
_DOUBTFUL_PIVOT = 1e-11
_ROUGH_ERROR = 0.1


@dataclass(slots=True)
class Basis:
    """factor: upper R on the device with R'R ~ the Gram matrix of the columns that the passes have selected."""

    factor: Any
    condition: float
    gram_error: float
    single_gram: bool


def find_basis(passes: Passes, how: Arithmetic, *, rough: bool) -> Basis | None:
    """Selects the columns in `passes`; None when the rank is 0.

    how    arithmetic of the first sum where float32 rows allow it
    rough  any positive definite start will do; else |R^-T G R^-1 - I| must be small
    """
    passes.select(np.arange(passes.n_dims, dtype=np.int32), _power_of_two_scales(passes))
    small = is_small_work(passes.n_rows, passes.n_dims)
    if how.dtype == "float32" and not small and (rough or not passes.has_float64):
        gram = passes.read(how, gram_power=0.0)
        allowed = _ROUGH_ERROR if rough else EXACT_GRAM_ERROR
        found = _factored(passes, gram, how.coarser * _EPS["float32"]) if _usable(passes, gram) else None
        if found is not None and found.gram_error <= allowed:
            found.single_gram = True
            return found
    gram = passes.read(FLOAT64, gram_power=0.0)
    norms2 = np.diagonal(passes.library.to_host(gram))
    nonzero = np.flatnonzero(norms2 > 0)
    if nonzero.size == 0:
        passes.select(passes.columns[:0], passes.column_scale[:0])
        return None
    if nonzero.size < passes.n_dims:
        passes.select(passes.columns[nonzero], passes.column_scale[nonzero])
        gram = passes.to_device(passes.library.to_host(gram)[np.ix_(nonzero, nonzero)])
    found = _factored(passes, gram, _EPS["float64"])
    # Every column's share outside the others is at least 1 / (rank condition^2).
    if found is not None and passes.rank * found.condition**2 * _DOUBTFUL_PIVOT < 1.0:
        return found
    host = passes.library.to_host(gram)
    unit, _ = _unit_diagonal(host)
    if found is not None and pivoted_cholesky(unit, _DOUBTFUL_PIVOT)[1] == passes.rank:
        return found
    return _resolve_rank(passes, host)


def _usable(passes: Passes, gram: Any) -> bool:
    host = passes.library.to_host(gram)
    return bool((np.diagonal(host) > 1e-30).all() and np.isfinite(host).all())


def _factored(passes: Passes, gram: Any, eps: float) -> Basis | None:
    factor = passes.library.cholesky_upper(gram)
    if factor is None:
        return None
    condition = condition_of(passes, factor)
    return Basis(factor, condition, eps * condition**2, False) if math.isfinite(condition) else None


def condition_of(passes: Passes, factor: Any) -> float:
    """sqrt(mean_j sum_k G_kk U_kj^2), U = R^-1: how much rounding grows."""
    inverse = passes.library.upper_inverse(factor)
    norm2 = (factor * factor).sum(0)
    return math.sqrt(float((norm2[:, None] * inverse * inverse).sum()) / factor.shape[0])


def _power_of_two_scales(passes: Passes) -> Float64Array:
    """Powers of two that bring each column near 1, judged by a few thousand rows; ordinary ranges are left alone."""
    scales = np.ones(passes.n_dims)
    if passes.blocks.half:
        return scales
    sample, rows = passes.blocks.sample(2048)
    sizes = np.abs(sample)
    if passes.row_scale is not None:
        sizes *= np.abs(passes.row_scale[rows])[:, None]
    if passes.mask is not None:
        sizes = sizes[passes.mask[rows]]
    largest = np.where(np.isfinite(sizes), sizes, 0.0).max(axis=0, initial=0.0)
    exponents = np.zeros(passes.n_dims, dtype=np.int64)
    exponents[largest > 0] = np.floor(np.log2(largest[largest > 0])).astype(np.int64)
    scaled = np.abs(exponents) > 12
    scales[scaled] = np.ldexp(1.0, -exponents[scaled])
    return scales


def _unit_diagonal(gram: Float64Array) -> tuple[Float64Array, Float64Array]:
    norms: Float64Array = np.sqrt(np.diagonal(gram))
    return gram / norms[:, None] / norms, norms


def pivoted_cholesky(a: Float64Array, tol: float) -> tuple[Float64Array, int, np.ndarray[Any, np.dtype[np.int64]]]:
    """(C, rank, order): a[order][:, order] ~ C'C, C (n, n) upper with `rank` rows filled; stops at pivots <= tol."""
    rest, n = a.copy(), a.shape[0]
    factor, order = np.zeros_like(a), np.arange(n)
    for i in range(n):
        pivot = i + int(np.argmax(np.diagonal(rest)[i:]))
        if not rest[pivot, pivot] > tol:
            return factor, i, order
        for swapped in (rest, rest.T, factor.T):
            swapped[[i, pivot]] = swapped[[pivot, i]]
        order[[i, pivot]] = order[[pivot, i]]
        factor[i, i] = math.sqrt(rest[i, i])
        factor[i, i + 1 :] = rest[i, i + 1 :] / factor[i, i]
        rest[i + 1 :, i + 1 :] -= np.outer(factor[i, i + 1 :], factor[i, i + 1 :])
    return factor, n, order


def _resolve_rank(passes: Passes, gram: Float64Array) -> Basis:
    """Near rank deficiency: shifted Cholesky QR, as in csrc/algo/basis.cpp."""
    n = passes.rank
    unit, norms = _unit_diagonal(gram)
    order = pivoted_cholesky(unit, _DOUBTFUL_PIVOT)[2]
    unit = unit[np.ix_(order, order)]
    passes.select(passes.columns[order], passes.column_scale[order])
    shift = 1e-14 * n
    while True:
        shift *= 10.0
        try:
            first = np.linalg.cholesky(unit + shift * np.eye(n)).T
            break
        except np.linalg.LinAlgError:
            continue
    first = np.ascontiguousarray(first * norms[order])
    inverse = passes.library.upper_inverse(passes.to_device(first))
    second = passes.library.to_host(passes.read(FLOAT64, inverse=inverse, gram_power=0.0))
    share = _EPS["float64"] * max(passes.n_rows, passes.n_dims)
    tol = max(share**2 / (share**2 + shift), 1e-13)
    kept_factor, rank, kept = pivoted_cholesky(second, tol)
    chosen = np.sort(kept[:rank])
    product = np.zeros((rank, n))
    product[:, kept] = kept_factor[:rank]
    combined: Float64Array = np.asarray(np.linalg.qr((product @ first)[:, chosen], mode="r"))
    combined *= np.where(np.diagonal(combined) < 0, -1.0, 1.0)[:, None]
    passes.select(passes.columns[chosen], passes.column_scale[chosen])
    factor = passes.to_device(np.ascontiguousarray(combined))
    condition = condition_of(passes, factor)
    return Basis(factor, condition, _EPS["float64"] * condition, False)
