"""l_p Lewis weights of rows in device memory: the iteration of csrc/include/oneglance/lewis.h, and its certificate.

One reading of the rows per iteration; (d, d) algebra in float64 by the array's library. The host waits a few times per
reading, never within one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .anderson import AndersonMixing
from .arithmetic import FLOAT64, TF32, Arithmetic, helps, is_small_work, residual_of_rounding, score_error, suffices
from .basis import Basis, find_basis
from .passes import Passes

_DEPTH = 6
_BLOW_UP = 4.0


@dataclass(slots=True)
class LewisReport:
    """weights: (n,) float64 on the device, tau^(p/2) scaled to sum to the rank. Else as oneglance.LewisWeights."""

    weights: Any
    rank: int = 0
    passes: int = 0
    restarts: int = 0
    residual: float = 0.0
    converged: bool = False
    arithmetic: str = "float64"
    condition: float = 1.0


@dataclass(slots=True)
class _Evidence:
    frobenius: float = math.inf
    residual: float = math.inf
    finite: bool = False


@dataclass(slots=True)
class _Ladder:
    """Which arithmetic the next pass uses: the fastest that still helps; the last that is needed decides."""

    steps: list[Arithmetic]
    tol: float
    rounding: list[float]
    deciding: list[bool]
    at: int = field(default=0)

    @property
    def how(self) -> Arithmetic:
        return self.steps[self.at]

    @property
    def last(self) -> bool:
        return self.at == len(self.steps) - 1

    @property
    def decides(self) -> bool:
        """Whether a pass as it is done now may decide convergence."""
        return self.last or self.deciding[self.at]

    def up(self) -> None:
        self.at += 1

    def lost_in_rounding(self, residual: float, slow: bool, stalled: int) -> bool:
        """After a pass: chooses the next, and says whether what was seen is mostly rounding."""
        if self.last:
            return False
        rounding, on_the_way = self.rounding[self.at], not self.deciding[self.at]
        unforeseen = (residual < 30.0 * self.tol and slow) or stalled >= 3
        lost = unforeseen or (on_the_way and residual < 2.0 * rounding)
        # Change over before rounding spoils the differences that mixing lives on.
        if lost or (on_the_way and residual <= max(10.0 * self.tol, 4.0 * rounding)):
            self.up()
        return lost


def _ladder(passes: Passes, basis: Basis, p: float, tol: float, how: Arithmetic, asked: bool) -> _Ladder:
    n, rank = passes.n_rows, passes.rank

    def noise(each: Arithmetic) -> float:
        return residual_of_rounding(each, basis.condition, n, rank)

    if asked:
        return _Ladder([how], tol, [noise(how)], [True])
    steps: list[Arithmetic] = []
    deciding: list[bool] = []
    if not is_small_work(n, passes.n_dims):
        for each in (TF32, how) if how.tf32 else (how,):
            fine = suffices(each, basis.condition) or score_error(each, basis.condition) <= 0.1 * tol
            enough = fine and not passes.has_float64 and noise(each) <= tol
            # At p = 2 the start is all but the answer: there is no way to go that a coarser arithmetic could shorten.
            if enough or (p != 2.0 and helps(each, basis.condition, n, rank)):
                steps.append(each)
                deciding.append(enough)
    steps.append(FLOAT64)
    return _Ladder(steps, tol, [noise(each) for each in steps], [*deciding, True])


class _Iteration:
    def __init__(
        self, passes: Passes, basis: Basis, p: float, tol: float, ladder: _Ladder, report: LewisReport
    ) -> None:
        self.passes, self.library, self.rank = passes, passes.library, passes.rank
        self.p, self.tol, self.ladder, self.report = p, tol, ladder, report
        self.start_factor = basis.factor
        self.start_inverse = self.library.upper_inverse(basis.factor)
        self.identity = passes.to_device(np.eye(self.rank))
        self.tau_scale = 1.0  # what `weights` (tau as read) has yet to be divided by
        self.factor: Any = None
        self.inverse: Any = None
        self.error: Any = None

    def to_form(self, form: Any) -> bool:
        """Moves to the form G~, in the coordinates of the start; False when it is not positive definite."""
        factor = self.library.cholesky_upper((form + form.T) * 0.5)
        if factor is None:
            return False
        self.factor = factor
        self.inverse = self.start_inverse @ self.library.upper_inverse(factor)
        how = self.ladder.how
        if how.dtype == "float32":
            # The pass multiplies by the rounded inverse: let the iterate be exactly what that stands for, else
            # rounding (grown by the condition) would hide the residual.
            self.inverse = self.passes.as_operand(self.inverse, how)
            self.factor = self.library.upper_inverse(self.start_factor @ self.inverse)
        return True

    def evaluate(self, last: bool) -> _Evidence:
        """One reading of the rows at the current form: tau, P - I, and the exact rescaling of both."""
        rank = self.rank
        self.error = self.passes.read(
            self.ladder.how, inverse=self.inverse, gram_power=0.5 * self.p - 1.0, tau=self.report.weights
        )
        trace = float((self.error * self.identity).sum())
        found = _Evidence()
        if not (math.isfinite(trace) and trace > 0.0):
            return found
        # G -> cG multiplies tau by 1/c and P by c^(-p/2): the c that makes trace P = rank solves the slowest mode.
        scale = (trace / rank) ** (2.0 / self.p)
        self.error = self.error * (rank / trace) - self.identity
        self.factor = self.factor * math.sqrt(scale)
        self.tau_scale = scale
        square = float((self.error * self.error).sum())
        found.finite = math.isfinite(square)
        if not found.finite:
            return found
        found.frobenius = math.sqrt(square)
        found.residual = max(self._norm_at_least(), found.frobenius / math.sqrt(rank))
        if last or found.residual <= self.tol:
            values = self.library.to_host(self.library.eigenvalues(self.error))
            lowest, highest = float(values[0]), float(values[-1])
            found.residual = max(abs(math.log1p(lowest)), abs(math.log1p(highest))) if lowest > -1.0 else math.inf
        return found

    def _norm_at_least(self) -> float:
        """Lower bound on |P - I|_2 by power steps on its square."""
        squares = (self.error * self.error).sum(0)
        v = self.error[int(squares.argmax())] + 0.0
        for _ in range(12):
            size = (v * v).sum() ** 0.5
            v = self.error @ (v / (size + 1e-300))
        return float((v * v).sum() ** 0.5)

    def form(self) -> Any:
        return self.factor.T @ self.factor

    def residual_form(self) -> Any:
        """Phi(G) - G in the starting coordinates."""
        return self.factor.T @ self.error @ self.factor

    def run(self, max_passes: int) -> None:
        ladder, report = self.ladder, self.report
        mixing = AndersonMixing(_DEPTH)
        step = 1.0 if self.p <= 2.0 else 4.0 / (self.p + 2.0)
        best = math.inf
        best_x: Any = None
        best_f: Any = None
        stalled = 0
        self.to_form(self.identity)
        while True:
            last = self.passes.n_passes + 1 >= max_passes
            how, decides = ladder.how, ladder.decides
            seen = self.evaluate(last)
            report.residual, report.arithmetic = seen.residual, how.name
            report.converged = decides and seen.finite and seen.residual <= self.tol
            if report.converged or last:
                return
            grew = not seen.finite or seen.frobenius > _BLOW_UP * max(best, ladder.rounding[ladder.at])
            if grew and best_x is None:  # even the start overflows float32 (or is not a form at all)
                if ladder.last:
                    return
                ladder.up()
                self.to_form(self.identity)
                continue
            if grew:
                # Back to the best point seen, with a plain and shorter step.
                report.restarts += 1
                mixing.clear()
                step = max(0.5 * step, 0.05)
                x = best_x + step * best_f
            else:
                x, f = self.form(), self.residual_form()
                slow = seen.frobenius > 0.4 * best
                stalled = 0 if seen.frobenius < 0.7 * best else stalled + 1
                if seen.frobenius < best:
                    best, best_x, best_f = seen.frobenius, x, f
                lost = ladder.lost_in_rounding(seen.residual, slow, stalled)
                if lost:  # differences that are mostly rounding are not mixed, now or later
                    mixing.clear()
                mixed = mixing.next(x, f, step)
                if lost:
                    mixing.clear()
                if self.to_form(mixed):
                    continue
                report.restarts += 1
                mixing.clear()
                x = x + step * f
            if not self.to_form(x):  # x + step f with step < 1 is a mean of two positive forms
                return


def lewis_weights(
    passes: Passes, p: float, *, tol: float, max_passes: int, how: Arithmetic, asked: bool = False
) -> LewisReport:
    """Lewis weights of the rows of `passes`.

    how    arithmetic of the passes that need not be float64
    asked  use `how` alone, to the end: its rounding is then part of the answer (see arithmetic.py)
    """
    library = passes.library
    report = LewisReport(library.zeros(passes.n_rows, "float64", passes.device))
    basis = find_basis(passes, how, rough=True)
    report.passes = passes.n_passes
    if basis is None:
        report.converged = True
        return report
    report.rank, report.condition = passes.rank, basis.condition
    iteration = _Iteration(passes, basis, p, tol, _ladder(passes, basis, p, tol, how, asked), report)
    iteration.run(max_passes)
    report.passes = passes.n_passes
    weights = (report.weights / iteration.tau_scale) ** (0.5 * p)
    # Summed again: the trace that scaled tau was summed in the arithmetic of the pass.
    scale = report.rank / float(weights.sum())
    report.weights = weights * scale if math.isfinite(scale) else weights
    return report
