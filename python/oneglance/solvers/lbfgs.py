"""Limited-memory BFGS for several independent smooth convex problems whose values come together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._types import Float64Array, IntArray

_PAIRS = 10


def minimise_all(
    loss: Callable[[Float64Array, IntArray], tuple[Float64Array, Float64Array, Float64Array]],
    theta: Float64Array,
    inverse_hessian: Float64Array,
    tol: float,
    max_iter: int,
) -> tuple[Float64Array, IntArray]:
    """Minimisers (B, ...) and steps (B,) of B problems.

    loss(theta[at], at)  values (b,), gradients (b, ...) and rounding errors of the values (b,) of the problems `at`;
                         one call per trial step for all
    inverse_hessian      diagonal guess (B, ...), which the memory of 10 pairs corrects
    tol                  a problem is done when half of g' H g, the estimate of value - minimum, is at most tol times
                         its value (1e-3 where that is less), H being the memory's inverse Hessian; or when that or
                         every step is within the rounding of the value

    Steps satisfy Armijo's condition, by quadratic interpolation; a pair is kept where its curvature is positive.
    """
    n = len(theta)
    theta = theta.copy()
    pairs: list[list[tuple[Float64Array, Float64Array, float]]] = [[] for _ in range(n)]
    steps = np.zeros(n, dtype=np.int64)
    values, slopes, noise = loss(theta, np.arange(n))
    active = list(range(n))
    for _ in range(max_iter):
        directions, descents = {}, {}
        for b in active:
            directions[b] = _direction(slopes[b], pairs[b], inverse_hessian[b])
            descents[b] = float(np.vdot(directions[b], slopes[b]))
        active = [b for b in active if -0.5 * descents[b] > max(tol * max(values[b], 1e-3), noise[b])]
        if not active:
            break
        length = dict.fromkeys(active, 1.0)
        trying = list(active)
        for _ in range(20):
            at = np.array(trying)
            new = np.stack([theta[b] + length[b] * directions[b] for b in trying])
            new_values, new_slopes, new_noise = loss(new, at)
            again = []
            for i, b in enumerate(trying):
                fall = length[b] * descents[b]
                if new_values[i] <= values[b] + 1e-4 * fall + noise[b]:
                    moved, turned = new[i] - theta[b], new_slopes[i] - slopes[b]
                    curvature = float(np.vdot(moved, turned))
                    if curvature > 1e-12 * float(np.vdot(moved, moved)):
                        pairs[b] = [*pairs[b][1 - _PAIRS :], (moved, turned, curvature)]
                    theta[b], values[b], slopes[b], noise[b] = new[i], new_values[i], new_slopes[i], new_noise[i]
                    steps[b] += 1
                else:
                    over = new_values[i] - values[b] - fall
                    best = -0.5 * fall / over if over > 0 and np.isfinite(over) else 0.1
                    length[b] *= min(max(best, 0.1), 0.5)
                    again.append(b)
            trying = again
            if not trying:
                break
        active = [b for b in active if b not in trying]  # no step lowers these: as far as the precision goes
    return theta, steps


def _direction(
    slope: Float64Array, pairs: list[tuple[Float64Array, Float64Array, float]], start: Float64Array
) -> Float64Array:
    """- H slope by the two loops of L-BFGS."""
    step = -slope
    factors = []
    for moved, turned, curvature in reversed(pairs):
        factors.append(float(np.vdot(moved, step)) / curvature)
        step = step - factors[-1] * turned
    step = start * step
    if pairs:
        _, turned, curvature = pairs[-1]
        step *= curvature / float(np.vdot(turned, start * turned))
    for (moved, turned, curvature), factor in zip(pairs, reversed(factors), strict=True):
        step = step + (factor - float(np.vdot(turned, step)) / curvature) * moved
    return step
