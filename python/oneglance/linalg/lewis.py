"""l_p Lewis weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import _core
from .._check import positive_int, positive_number
from .._rows import named_rows
from ..cuda import Library
from ..cuda.arithmetic import single
from ..cuda.arrays import place_of
from ..cuda.lewis import lewis_weights as cuda_weights
from ..cuda.rows import DeviceMatrix
from ..errors import InvalidInput
from ._rows import Rows, for_each_backbone


@dataclass(frozen=True, slots=True, eq=False)
class LewisWeights:
    """l_p Lewis weights with their certificate.

    weights    (n,) float64 in [0, 1], on the device where X is or was asked for; they sum to the rank (below it with
               ridge); zero rows weigh 0
    p          the norm
    rank       numerical rank of the rows used
    passes     readings of the rows, all counted
    residual   bound on max_i |log(a_i' G(w)^-1 a_i / w_i^(2/p))|, from the eigenvalues of one d x d matrix.
               For p < 4 every weight is within a factor exp(+-c residual) of the true one,
               c = (p/2) / (1 - |p/2 - 1|) (Lemma 3.5 of the paper); about p/2 is seen in practice.
               p = 2 with a tol that float32 meets by far: from 10 random probes of that matrix, which bound it with
               probability 1 - 1e-10 and are about 8 sqrt(rank) times as large
    converged  residual <= tol
    tol        the tolerance asked for
    restarts   times the safeguard fell back from the accelerated to the plain step
    precision  "float32" or "float64" (on CUDA also "tf32" and "3xtf32", docs/cuda.md): arithmetic of the last pass,
               chosen from the condition and tol
    condition  how much rounding grows: 1 for orthogonal columns of any scale
    """

    weights: Any
    p: float
    rank: int
    passes: int
    residual: float
    converged: bool
    tol: float
    restarts: int
    precision: str
    condition: float


def lewis_weights(
    X: Any,
    p: float = 2.0,
    *,
    tol: float = 1e-6,
    max_passes: int = 100,
    ridge: float = 0.0,
    mask: Any = None,
    device: str | None = None,
) -> Any:
    """l_p Lewis weights of the rows of X: w_i = (a_i' (A' W^(1-2/p) A)^-1 a_i)^(p/2), any p > 0.

    X           (n, d) float16/32/64: NumPy array or memory map, RowShards, CPU torch tensor; or a list
                or dict of such with the same n (several backbones), which gives a list or dict of results
    p           the norm, p > 0; 2 gives leverage scores
    tol         bound asked of the residual (see LewisWeights). 1e-6 is finer than float32 rows carry;
                for sampling 0.1 is enough. float64 rows support 1e-12
    max_passes  most readings of X; when it stops there, converged is False and nothing is hidden
    ridge       lambda >= 0: weights of the rows of X within [X; lambda^(1/p) I], as ||Ax||_p^p + lambda ||x||_p^p
                asks. Their sum is then the effective dimension
    mask        (n,) bool: rows with False are left out, are never read, and weigh 0
    device      X may be a CUDA array (torch, CuPy): then the work is done and answered there. "cuda", "cuda:1": rows of
                the host are streamed through that device. Default: where X is

    Pinv semantics for dead, duplicated or dependent columns and n < d. One reading of X per iteration:
    about 5-12 for p < 4, 16 at p = 6, 32 at p = 16 (bench/bench_lewis.py prints them); p = 2 with tol 1e-3 on
    well-conditioned float16 or float32 rows: 2 readings of n d^2 each (bench/bench_stream.py). Cost 2 n d^2
    flops per reading; state between readings is d x d; extra memory lanes * d^2, below 300 MB at d = 768.
    The same bytes for any number of threads or shards, on one build and instruction set.
    Raises InvalidInput (NaN rows, shapes, p <= 0, or so far from 2 that no weight is left).
    Source: arXiv 2405.14121, Def. 3.1 and Lemma 3.5; iteration in csrc/include/oneglance/lewis.h.
    """
    p = positive_number(p, "p")
    tol = positive_number(tol, "tol")
    max_passes = positive_int(max_passes, "max_passes")
    ridge = positive_number(ridge, "ridge", zero_ok=True)
    try:
        ridge_row = ridge ** (1.0 / p)
    except OverflowError:
        raise InvalidInput(f"ridge is {ridge:g}, whose power 1 / p leaves float64 for p = {p:g}. Give less.") from None

    def one(x: Any, name: str) -> LewisWeights:
        place = place_of(x, name, device)
        if place is not None:
            return _on_device(x, name, place, p, tol, max_passes, ridge_row, mask)
        rows = Rows(x, name, mask, ridge_row)
        weights, rank, passes, residual, converged, restarts, precision, condition = rows.call(
            _core.lewis_weights, p, tol, max_passes, rows.mask
        )
        _check_range(p, rank, weights)
        return LewisWeights(
            weights[: rows.n_rows], p, rank, passes, residual, converged, tol, restarts, precision, condition
        )

    return for_each_backbone(X, one)


def _on_device(
    X: Any, name: str, place: tuple[Library, int], p: float, tol: float, max_passes: int, ridge_row: float, mask: Any
) -> LewisWeights:
    with named_rows(name):
        matrix = DeviceMatrix(X, name, *place, mask, ridge_row)
        with matrix.passes("lewis_weights") as passes:
            found = cuda_weights(passes, p, tol=tol, max_passes=max_passes, how=single(*place))
    _check_range(p, found.rank, found.weights)
    return LewisWeights(
        matrix.answer(found.weights),
        p,
        found.rank,
        found.passes,
        found.residual,
        found.converged,
        tol,
        found.restarts,
        found.arithmetic,
        found.condition,
    )


def _check_range(p: float, rank: int, weights: Any) -> None:
    """Raises InvalidInput where the powers 2 / p and p / 2 of the iteration have left nothing of the weights."""
    if rank and not weights.any():
        raise InvalidInput(f"p is {p:g}, too far from 2 for weights in float64. Use a p between 0.01 and 100.")
