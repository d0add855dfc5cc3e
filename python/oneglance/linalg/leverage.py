"""Leverage scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._check import positive_number
from .._rows import named_rows
from .._types import Float64Array
from ..cuda.arithmetic import single
from ..cuda.arrays import place_of
from ..cuda.leverage import leverage_scores as cuda_scores
from ..cuda.rows import DeviceMatrix, on_host
from ..errors import InvalidInput
from ._rows import Rows, for_each_backbone


@dataclass(frozen=True, slots=True, eq=False)
class LeverageScores:
    """Leverage scores with the evidence of how they were computed.

    scores     (n,) float64 in [0, 1], on the device where X is or was asked for; they sum to the rank (to
               the effective dimension with ridge)
    rank       numerical rank of the rows used
    passes     readings of the rows
    precision  "float32" or "float64" (on CUDA "3xtf32", docs/cuda.md): arithmetic of the products, chosen from the
               condition
    condition  how much rounding grows: 1 for orthogonal columns of any scale
    """

    scores: Any
    rank: int
    passes: int
    precision: str
    condition: float


def leverage_scores(
    X: Any, *, weights: Any = None, ridge: float = 0.0, mask: Any = None, device: str | None = None
) -> Any:
    """Leverage scores tau_i = a_i' (A'A)^+ a_i of the rows of X.

    X        (n, d) float16/32/64: NumPy array or memory map, RowShards, CPU torch tensor; or a list or
             dict of such with the same n (several backbones), which gives a list or dict of results
    weights  (n,) non-negative: scores of the rows sqrt(weights_i) a_i. Default: all 1
    ridge    lambda >= 0 in the units of A'A: tau_i = a_i' (A'A + lambda I)^-1 a_i
    mask     (n,) bool: rows with False are left out, are never read, and get 0
    device   X may be a CUDA array (torch, CuPy): then the work is done and answered there. "cuda", "cuda:1": rows of
             the host are streamed through that device. Default: where X is

    Returns (n,) float64 in [0, 1], summing to rank(A) (pinv semantics: duplicated or dead columns
    change nothing, zero rows get 0, a row that alone spans a direction gets 1). A column counts as
    dependent when its part outside the others is below max(n, d) * 2.2e-16 of its norm.
    Relative error about 1e-6 for float16/32 input, 1e-11 for float64 input.
    Cost 2 n d^2 flops and two readings of X when well conditioned, up to 6 n d^2 else; memory
    beyond X under 300 MB at d = 768. Raises InvalidInput (NaN rows, shapes, negative weights).
    For the rank and the arithmetic used call leverage_report. Source: arXiv 2405.14121, Def. 3.1.
    """
    return for_each_backbone(X, lambda x, name: _report(x, name, weights, ridge, mask, device).scores)


def leverage_report(
    X: Any, *, weights: Any = None, ridge: float = 0.0, mask: Any = None, device: str | None = None
) -> Any:
    """leverage_scores with its evidence: LeverageScores instead of the bare array."""
    return for_each_backbone(X, lambda x, name: _report(x, name, weights, ridge, mask, device))


def _report(X: Any, name: str, weights: Any, ridge: float, mask: Any, device: str | None) -> LeverageScores:
    place = place_of(X, name, device)
    if place is not None:
        ridge_row = positive_number(ridge, "ridge", zero_ok=True) ** 0.5
        with named_rows(name):
            matrix = DeviceMatrix(X, name, *place, mask, ridge_row)
            if weights is not None:
                matrix.scale_rows(_root_weights(on_host(weights, place[0]), matrix.n_rows, name))
            with matrix.passes("leverage_scores") as passes:
                found = cuda_scores(passes, how=single(*place))
        return LeverageScores(matrix.answer(found.scores), found.rank, found.passes, found.arithmetic, found.condition)
    rows = Rows(X, name, mask, positive_number(ridge, "ridge", zero_ok=True) ** 0.5)
    scale = None
    if weights is not None:
        scale = np.concatenate([_root_weights(weights, rows.n_rows, name), np.ones(rows.n_extra)])
    scores, rank, passes, precision, condition = rows.call(_core.leverage_scores, rows.mask, scale)
    return LeverageScores(scores[: rows.n_rows], rank, passes, precision, condition)


def _root_weights(weights: Any, n_rows: int, name: str) -> Float64Array:
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (n_rows,) or not np.isfinite(values).all() or (values < 0).any():
        raise InvalidInput(
            f"weights must be {n_rows} finite numbers >= 0, one per row of {name}, "
            f"got shape {values.shape}" + (f" and minimum {np.nanmin(values):g}." if values.size else ".")
        )
    roots: Float64Array = np.sqrt(values)
    return roots
