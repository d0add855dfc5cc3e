"""Leverage scores of rows in device memory: csrc/algo/leverage.cpp with the library's products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .arithmetic import EXACT_GRAM_ERROR, FLOAT64, Arithmetic, is_small_work, suffices
from .basis import find_basis
from .passes import Passes


@dataclass(slots=True)
class LeverageReport:
    """scores: (n,) float64 on the device, in [0, 1]. Else as oneglance.LeverageScores."""

    scores: Any
    rank: int = 0
    passes: int = 0
    arithmetic: str = "float64"
    condition: float = 1.0


def leverage_scores(passes: Passes, *, how: Arithmetic, asked: bool = False) -> LeverageReport:
    """Scores of the rows of `passes`.

    how    arithmetic of the products that need not be float64
    asked  use `how` for the last products whatever the condition: their relative error is then score_error(how,
           condition)
    """
    library = passes.library
    report = LeverageReport(library.zeros(passes.n_rows, "float64", passes.device))
    basis = find_basis(passes, how, rough=False)
    report.passes = passes.n_passes
    if basis is None:
        return report
    report.rank, report.condition = passes.rank, basis.condition
    inverse = library.upper_inverse(basis.factor)
    allowed = 1e-12 if passes.has_float64 else EXACT_GRAM_ERROR if basis.single_gram else 1e-8
    if basis.gram_error > allowed:
        # One correction in coordinates where the Gram matrix is near the identity (Cholesky QR 2).
        correction = library.cholesky_upper(passes.read(FLOAT64, inverse=inverse, gram_power=0.0))
        if correction is not None:
            inverse = inverse @ library.upper_inverse(correction)
    small = is_small_work(passes.n_rows, passes.n_dims)
    if not asked and (passes.has_float64 or small or not suffices(how, basis.condition)):
        how = FLOAT64
    passes.read(how, inverse=inverse, tau=report.scores)
    report.arithmetic, report.passes = how.name, passes.n_passes
    report.scores = report.scores.clip(0.0, 1.0)
    return report
