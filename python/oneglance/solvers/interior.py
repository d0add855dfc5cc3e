"""p = 1 and p = inf: linear programs in disguise, by a primal-dual interior point method with predictor and corrector.

The barrier smooths the kinks and is taken away along the central path; every iterate carries a dual point, so
the gap is a proof, as from a simplex solver, at 10-25 weighted Grams. Source: Mehrotra 1992, Portnoy and Koenker
1997 for p = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._types import Float64Array
from .newton import Problem, Solved
from .normal import NormalSystem

_BACK = 0.9995
"""Share of the way to the boundary that a step may go."""
_ACCURACY = 1e-9


@dataclass(eq=False)
class _Path:
    """What was met on the way: the best point, the best lower bound (0 to begin with), and how far z may still go.

    inside  y -> the largest factor <= 1 that brings y into the dual's domain
    """

    problem: Problem
    system: NormalSystem
    inside: Callable[[Float64Array], float]
    tol: float
    best: Solved
    bound: float = 0.0
    reach: float = 0.0

    def ends(
        self,
        z: Float64Array,
        r: Float64Array,
        value: float,
        y: Float64Array,
        infeasible: Float64Array,
        weights: Float64Array | None,
        step: int,
        most: int,
    ) -> bool:
        """Takes in a point with A'y = K z + infeasible; weights: those of the last system. True when the gap is closed.

        A y that is off bounds nothing: on the way to A'y = K x it may say more than the minimum.
        """
        apart = value - float((r * y).sum()) - 0.5 * float(z @ self.problem.penalty @ z)
        if weights is not None and (apart <= 1e3 * self.tol * value or step == most):
            more, fitted, left = self.system.solve(infeasible, _ACCURACY)
            y, x = y - weights * fitted, z + more
            self.bound = max(self.bound, self._dual(z, r, y, x, left))
        if value <= self.best.value:
            self.best = Solved(z, value, max(value - self.bound, 0.0), step)
        return max(self.best.value - self.bound, 0.0) <= self.tol * self.best.value

    def _dual(self, z: Float64Array, r: Float64Array, y: Float64Array, x: Float64Array, left: Float64Array) -> float:
        """Lower bound from A'y = K x + left, where left is rounding: up to left' (minimiser - z)."""
        c, turned = self.inside(y), self.problem.penalty @ x
        off = self.reach * float(np.linalg.norm(left))
        return c * (float((r * y).sum()) + float(z @ turned) - off) - 0.5 * c * c * float(x @ turned)

    def lengths(self, dz: Float64Array, primal: float, dual: float) -> tuple[float, float]:
        """Steps that stay inside, from the lengths to the boundary; one for both where z stands on both sides."""
        self.reach = float(np.linalg.norm(dz))
        primal, dual = min(_BACK * primal, 1.0), min(_BACK * dual, 1.0)
        shorter = min(primal, dual)
        return (shorter, shorter) if self.problem.penalty.any() else (primal, dual)

    def answer(self, step: int) -> Solved:
        return Solved(self.best.z, self.best.value, max(self.best.value - self.bound, 0.0), step)


def least_absolute(problem: Problem, z: Float64Array, tol: float, most: int) -> Solved:
    """min_z sum_i s_i |b_i - a_i z| + z'Kz / 2. Dual: max b'y - x'Kx / 2 over A'y = Kx, |y_i| <= s_i."""
    s, system = problem.weights, NormalSystem(problem.design, problem.penalty)
    on = s > 0
    n_pairs = 2.0 * float(np.count_nonzero(on))
    r = problem.residuals(z)
    wide = float((s * np.abs(r)).sum() / s.sum())
    # u - v = r with u, v > 0; y inside its box
    u, v = np.maximum(r, 0.0) + 0.1 * wide, np.maximum(-r, 0.0) + 0.1 * wide
    y = np.zeros_like(s)
    weights: Float64Array | None = None

    def inside(y: Float64Array) -> float:
        size = np.abs(y)
        return float(np.divide(s, size, out=np.ones_like(size), where=size > s).min())

    path = _Path(problem, system, inside, tol, Solved(z, np.inf, np.inf, 0))
    for step in range(most + 1):
        below, above = np.where(on, s - y, 1.0), np.where(on, s + y, 1.0)  # partners of u and v
        u, v = np.where(on, u, 1.0), np.where(on, v, 1.0)
        r = problem.residuals(z)
        value = float((s * np.abs(r)).sum()) + 0.5 * float(z @ problem.penalty @ z)
        infeasible = problem.sums(y) - problem.penalty @ z
        if path.ends(z, r, value, y, infeasible, weights, step, most) or step == most:
            break
        weights = np.where(on, 1.0 / (u / below + v / above), 0.0)
        system.prepare(weights.sum(axis=0))
        off = r - (u - v)

        def direction(u_to: Float64Array, v_to: Float64Array) -> tuple[Float64Array, ...]:
            # u below = u_to, v above = v_to, u - v = b - A z, A'y = K z, linearised
            h = off - (u_to / below - u) + (v_to / above - v)  # noqa: B023  called in this turn only
            dz, moved, _ = system.solve(infeasible + problem.sums(weights * h), _ACCURACY)  # noqa: B023
            dy = weights * (h - moved)  # noqa: B023
            du = u_to / below - u + u / below * dy  # noqa: B023
            dv = v_to / above - v - v / above * dy  # noqa: B023
            return dz, dy, np.where(on, du, 0.0), np.where(on, dv, 0.0)

        mu = float((u * below + v * above)[on].sum()) / n_pairs
        if mu * n_pairs <= 1e-3 * tol * value:  # what is left of the gap is rounding
            break
        zero = np.zeros_like(s)
        _, dy, du, dv = direction(zero, zero)
        primal = min(_longest(u, du), _longest(v, dv), 1.0)
        dual = min(_longest(below, -dy), _longest(above, dy), 1.0)
        ahead = ((u + primal * du) * (below - dual * dy) + (v + primal * dv) * (above + dual * dy))[on].sum() / n_pairs
        goal = mu * (float(ahead) / mu) ** 3
        dz, dy, du, dv = direction(np.where(on, goal + du * dy, 0.0), np.where(on, goal - dv * dy, 0.0))
        primal, dual = path.lengths(
            dz, min(_longest(u, du), _longest(v, dv)), min(_longest(below, -dy), _longest(above, dy))
        )
        z, u, v, y = z + primal * dz, u + primal * du, v + primal * dv, y + dual * dy
    return path.answer(step)


def least_maximum(problem: Problem, z: Float64Array, tol: float, most: int) -> Solved:
    """min_z max_i |b_i - a_i z| + z'Kz / 2 where s_i > 0. Dual: max b'y - x'Kx / 2, A'y = Kx, sum |y_i| <= 1."""
    system = NormalSystem(problem.design, problem.penalty)
    on = problem.weights > 0
    n_pairs = 2.0 * float(np.count_nonzero(on))
    r = problem.residuals(z)
    top = 1.1 * float(np.abs(r)[on].max())
    # partners of u and v, kept on their own: top - r would lose its last digits where r comes near the top
    below, above = np.where(on, top - r, 1.0), np.where(on, top + r, 1.0)
    u = np.where(on, 1.0 / n_pairs, 0.0)
    v = u.copy()
    weights: Float64Array | None = None
    path = _Path(problem, system, lambda y: 1.0 / max(float(np.abs(y).sum()), 1.0), tol, Solved(z, np.inf, np.inf, 0))
    for step in range(most + 1):
        r = problem.residuals(z)
        value = float(np.abs(r)[on].max()) + 0.5 * float(z @ problem.penalty @ z)
        y = u - v
        infeasible = problem.sums(y) - problem.penalty @ z
        if path.ends(z, r, value, y, infeasible, weights, step, most) or step == most:
            break
        one, two = np.where(on, u / below, 0.0), np.where(on, v / above, 0.0)
        weights = one + two
        system.prepare(weights.sum(axis=0))
        border = problem.sums(one - two)
        turned, along, _ = system.solve(border, _ACCURACY)
        # sum (one + two) - border'turned, written as what it is: squares, so that nothing cancels
        corner = float((one * (1.0 - along) ** 2 + two * (1.0 + along) ** 2).sum() + turned @ problem.penalty @ turned)
        missing = 1.0 - float((u + v).sum())

        def direction(u_to: Float64Array, v_to: Float64Array) -> tuple[Float64Array, ...]:
            # below changes by dt + A dz, above by dt - A dz
            du0, dv0 = np.where(on, u_to / below - u, 0.0), np.where(on, v_to / above - v, 0.0)  # noqa: B023
            first, fitted, _ = system.solve(infeasible + problem.sums(du0 - dv0), _ACCURACY)  # noqa: B023
            dt = (float((du0 + dv0).sum()) - missing - float(border @ first)) / max(corner, 1e-300)  # noqa: B023
            dz = first - dt * turned  # noqa: B023
            moved = fitted - dt * along  # noqa: B023
            up, down = np.where(on, dt + moved, 0.0), np.where(on, dt - moved, 0.0)
            return dz, up, down, du0 - one * up, dv0 - two * down  # noqa: B023

        mu = float((u * below + v * above)[on].sum()) / n_pairs
        if mu * n_pairs <= 1e-3 * tol * value:
            break
        zero = np.zeros_like(u)
        _, up, down, du, dv = direction(zero, zero)
        primal = min(_longest(below, up), _longest(above, down), 1.0)
        dual = min(_longest(u, du), _longest(v, dv), 1.0)
        ahead = ((u + dual * du) * (below + primal * up) + (v + dual * dv) * (above + primal * down))[
            on
        ].sum() / n_pairs
        goal = mu * (float(ahead) / mu) ** 3
        dz, up, down, du, dv = direction(goal - du * up, goal - dv * down)
        primal, dual = path.lengths(
            dz, min(_longest(below, up), _longest(above, down)), min(_longest(u, du), _longest(v, dv))
        )
        z, u, v = z + primal * dz, u + dual * du, v + dual * dv
        below, above = below + primal * up, above + primal * down
    return path.answer(step)


def _longest(x: Float64Array, dx: Float64Array) -> float:
    """The largest t with x + t dx >= 0, inf where nothing falls."""
    falls = dx < 0
    return float((x[falls] / -dx[falls]).min()) if falls.any() else np.inf
