"""Damped Newton for convex losses of residuals, from the side that is smooth; every answer with its duality gap.

All vectors over rows are (t, n): t = 1, or 2 where the penalty eps |f|^p adds a second residual, -f, to every row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._types import Float64Array
from .design import Design
from .losses import Huber, Power, line_minimum
from .normal import NormalSystem

_ROUGHLY = 0.03
"""How exactly the first steps are solved."""
_CLEAN = 1e-4
"""Share of the gap that what a system left may have, in the norm of `_gap`, for a dual point to prove anything: how far
the minimiser is from z, by which it counts, is known near the minimum only."""


@dataclass(frozen=True, eq=False)
class Problem:
    """min_z sum_i loss(s_i, b_i - a_i z) + z' K z / 2 over rows a_i of a design.

    targets, weights (t, n); penalty K (r, r). Where the weight is 0 the target must be finite all the same.
    """

    design: Design
    targets: Float64Array
    weights: Float64Array
    penalty: Float64Array

    def residuals(self, z: Float64Array) -> Float64Array:
        return np.asarray(self.targets - self.design.times(z[:, None])[:, 0])

    def sums(self, y: Float64Array) -> Float64Array:
        """A' y, the rows counted once per layer."""
        return self.design.sums(np.ascontiguousarray(y.sum(axis=0))[:, None])[:, 0]


@dataclass(frozen=True, eq=False)
class Solved:
    """z (r,), the value reached, a bound on how far above the minimum it is, in the same unit, and steps."""

    z: Float64Array
    value: float
    gap: float
    steps: int


def certified(problem: Problem, z: Float64Array, system: NormalSystem) -> Solved:
    """What a least squares solution (p = 2) is worth: its value and gap, `system` factored for the same weights."""
    s, K, loss = problem.weights, problem.penalty, Power(2.0)
    r = problem.residuals(z)
    y = loss.slope(s, r)
    value = loss.value(s, r) + 0.5 * float(z @ K @ z)
    left = problem.sums(y) - K @ z
    return Solved(z, value, _gap(value - _dual(problem, loss, y, z, r, z), system.size(left)), 1)


def newton(problem: Problem, loss: Power | Huber, z: Float64Array, tol: float, most: int) -> Solved:
    """p >= 2 and Huber: Newton on z. Stops at gap <= tol * value.

    The step gives a dual point for nothing: y+ = y - D A dz satisfies A'y+ = K (z + dz), so that
    dual(y+) <= minimum <= value(z). The line search only needs A dz.
    """
    s, K, system = problem.weights, problem.penalty, NormalSystem(problem.design, problem.penalty)
    r = problem.residuals(z)
    accuracy, value, gap = _ROUGHLY, np.inf, np.inf
    for step in range(most + 1):
        y = loss.slope(s, r)
        before, value = value, loss.value(s, r) + 0.5 * float(z @ K @ z)
        gap = _later(gap, before - value)  # the best dual point so far still counts: it foresaw this step
        if gap <= tol * value:
            break
        curve = loss.curvature(s, r, step)
        system.prepare(curve.sum(axis=0))
        dz, moved, left = system.solve(problem.sums(y) - K @ z, accuracy)
        apart = value - _dual(problem, loss, y - curve * moved, z + dz, r, z)
        wanted = max(apart, tol * value)
        if system.size(left) > _CLEAN * wanted and apart < 100.0 * tol * value:
            # the system, not z, stands in the way of the certificate
            more, further, left = system.solve(left, _remaining(system.size(left), wanted))
            dz, moved = dz + more, moved + further
            apart = value - _dual(problem, loss, y - curve * moved, z + dz, r, z)
        if system.size(left) <= _CLEAN * max(apart, tol * value) or step == most:
            gap = min(gap, _gap(apart, system.size(left)))
        if gap <= tol * value or step == most:
            break
        accuracy = _forcing(gap, value, tol)
        t = _line(lambda u: loss.slope(s, u), lambda u: loss.curvature(s, u, 99), r, -moved, K @ z, K, dz)
        t = _no_worse(problem, loss, z, r, dz, moved, t, value)
        if t == 0.0:
            break
        z, r = z + t * dz, r - t * moved
    return Solved(z, value, gap, step)


def dual_newton(problem: Problem, loss: Power, z: Float64Array, tol: float, most: int) -> Solved:
    """1 < p < 2: Newton on z and on a dual point y together, each with its own line search. Same stop.

    The dual minimises sum_i conjugate(s_i, y_i) - b'y + x'K x / 2 over A'y = K x; its power q > 2 is smooth where the
    primal one is not. Both sides share one linear system. Its weights are the slopes of the chords between the
    residual that y asks for and the one that z gives: finite unless both vanish, and tangents in the end.
    """
    s, K, system = problem.weights, problem.penalty, NormalSystem(problem.design, problem.penalty)
    y, x = _dual_start(problem, loss, z)
    r, chord = problem.residuals(z), y
    accuracy, value, gap = _ROUGHLY, np.inf, np.inf
    for step in range(most + 1):
        before, value = value, loss.value(s, r) + 0.5 * float(z @ K @ z)
        gap = _later(gap, before - value)
        if gap <= tol * value:
            break
        left = problem.sums(y) - K @ x
        if step:
            apart = value - _dual(problem, loss, y, x, r, z)
            if system.size(left) > _CLEAN * max(apart, tol * value):  # what the system left of A'y = K x
                more, further, left = system.solve(left, _remaining(system.size(left), max(apart, tol * value)))
                y, x = y - chord * further, x + more
                apart = value - _dual(problem, loss, y, x, r, z)
            gap = min(gap, _gap(apart, system.size(left)))
        elif np.linalg.norm(left) <= 1e-12 * np.linalg.norm(y):  # least squares that were solved left nothing
            gap = max(value - _dual(problem, loss, y, x, r, z), 0.0)
        if gap <= tol * value or step == most:
            break
        accuracy = _forcing(gap, value, tol)
        most_wanted = 1e10 * max(float(np.abs(r).max()), 1e-300)  # for p near 1 a slope a little off wants infinity
        wanted = np.clip(loss.residual(s, y), -most_wanted, most_wanted)
        chord, off = _chords(loss, s, y, wanted, r), r - wanted
        system.prepare(chord.sum(axis=0))
        dz, moved, _ = system.solve(left + K @ (x - z) + problem.sums(chord * off), accuracy)
        dy, dx = chord * (off - moved), z + dz - x
        t = _line(lambda u: loss.slope(s, u), lambda u: _bend(loss.p, loss.slope(s, u), u), r, -moved, K @ z, K, dz)
        t = _no_worse(problem, loss, z, r, dz, moved, t, value)
        # With the multiplier z, so that what is left of A'y - K x does not count as descent.
        c = _line(
            lambda u, r=r: loss.residual(s, u) - r,  # type: ignore[misc]
            lambda u: _bend(loss.q, loss.residual(s, u), u),
            y,
            dy,
            K @ (x - z),
            K,
            dx,
        )
        if t == c == 0.0:
            break
        z, r = z + t * dz, r - t * moved
        y, x = y + c * dy, x + c * dx
    return Solved(z, value, gap, step)


def _gap(apart: float, loose: float) -> float:
    """Gap G from primal minus dual value where A'y = K x + e, |e|^2 = loose in the norm of the inverse Hessian.

    e'(minimiser - z) <= |e| |minimiser - z|, and the latter squared is at most 2 G near the minimum: the larger
    root of G = apart + sqrt(2 loose G). Loose counts twenty times: the norm is that of a preconditioner, at z.
    """
    loose *= 10.0
    return float(np.sqrt(loose) + np.sqrt(loose + max(apart, 0.0))) ** 2


def _later(gap: float, fallen: float) -> float:
    """What an earlier gap is now that the value has fallen; inf where it fell below the bound, which was none then."""
    return gap - fallen if np.isfinite(gap) and gap >= fallen else np.inf


def _forcing(gap: float, value: float, tol: float) -> float:
    """How exactly a step is worth solving for: to a, it leaves a^2 of the gap, beside what Newton itself leaves (about
    gap^2 / value). Less than the tolerance, or than the latter, need not be left."""
    if not (np.isfinite(gap) and gap > 0 and value > 0):
        return _ROUGHLY
    return float(min(_ROUGHLY, np.sqrt(max(0.05 * tol * value / gap, 0.1 * gap / value))))


def _remaining(loose: float, wanted: float) -> float:
    """The accuracy that brings what a system left, `loose`, well below its share of `wanted`."""
    return float(min(_ROUGHLY, 0.5 * np.sqrt(_CLEAN * wanted / loose)))


def _dual_start(problem: Problem, loss: Power, z: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The least squares solution z gives the feasible y = c s r, A'y = K x; c is the best one."""
    s, r = problem.weights, problem.residuals(z)
    y = s * r / max(float(np.abs(r).max()), 1e-300)  # at most s: the power q is in the thousands for p near 1
    # The penalty of z is that of another loss; K x = A'y has to hold for this one.
    x = _least(problem.penalty, problem.sums(y))
    linear = float((problem.targets * y).sum())
    power, square = loss.q * loss.conjugate(s, y), float(x @ problem.penalty @ x)
    # d/dc: power c^(q-1) + square c - linear = 0, a rising function of c
    low, high = 0.0, (max(linear, 0.0) / max(power, 1e-300)) ** (1.0 / (loss.q - 1.0))
    for _ in range(100):
        c = 0.5 * (low + high)
        low, high = (c, high) if power * c ** (loss.q - 1.0) + square * c < linear else (low, c)
    return low * y, low * x


def _chords(loss: Power, s: Float64Array, y: Float64Array, wanted: Float64Array, fit: Float64Array) -> Float64Array:
    """(slope(fit) - y) / (fit - wanted) per row, the tangent where the two meet; cut where both are tiny."""
    size = np.maximum(np.abs(fit), np.abs(wanted))
    size = np.maximum(size, 1e-14 * float(size.max(initial=0.0)) + 1e-300)
    apart = fit - wanted
    far = np.abs(apart) > 1e-3 * size
    tangent = (loss.p - 1.0) * s * size ** (loss.p - 2.0)
    return np.divide(loss.slope(s, fit) - y, apart, out=tangent, where=far)


def _bend(power: float, slope: Float64Array, at: Float64Array) -> Float64Array:
    """Second derivative of |u|^power from its first."""
    return np.divide((power - 1.0) * slope, at, out=np.zeros_like(at), where=at != 0)


def _line(
    slope: Callable[[Float64Array], Float64Array],
    bend: Callable[[Float64Array], Float64Array],
    start: Float64Array,
    step: Float64Array,
    pull: Float64Array,
    K: Float64Array,
    dz: Float64Array,
) -> float:
    """Step t along a line of a loss of vectors plus t pull'dz + t^2 dz'K dz / 2; 0 where it does not descend."""
    slope_k, bend_k = float(pull @ dz), float(dz @ K @ dz)

    def along(t: float) -> tuple[float, float]:
        at = start + t * step
        return float((slope(at) * step).sum()) + slope_k + t * bend_k, float((bend(at) * step * step).sum()) + bend_k

    first = along(0.0)[0]
    return line_minimum(along, first) if first < 0 else 0.0


def _no_worse(
    problem: Problem,
    loss: Power | Huber,
    z: Float64Array,
    r: Float64Array,
    dz: Float64Array,
    moved: Float64Array,
    t: float,
    value: float,
) -> float:
    """t, or a shorter step, or 0: slopes cancel near the end, so the values have the last word."""
    for _ in range(12):
        to = z + t * dz
        if loss.value(problem.weights, r - t * moved) + 0.5 * float(to @ problem.penalty @ to) <= value * (1.0 + 1e-13):
            return t
        t *= 0.25
    return 0.0


def _dual(
    problem: Problem, loss: Power | Huber, y: Float64Array, x: Float64Array, r: Float64Array, z: Float64Array
) -> float:
    """The dual value of y with A'y = K x + e: a lower bound on the minimum up to e'(minimiser - z). r = b - A z."""
    c = loss.into_domain(problem.weights, y)
    turned = problem.penalty @ x
    linear = float((r * y).sum()) + float(z @ turned)
    return c * linear - loss.conjugate(problem.weights, c * y) - 0.5 * c * c * float(x @ turned)


def _least(matrix: Float64Array, right: Float64Array) -> Float64Array:
    """Least-norm solution for a symmetric positive semidefinite matrix, zeros for a zero matrix."""
    if not matrix.any():
        return np.zeros_like(right)
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=1e-12)[0])
