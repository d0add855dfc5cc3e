"""Single-index regression: a monotone function of a linear one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import as_shards, positive_int, positive_number
from .._types import BoolArray, Float64Array, IntArray
from ..errors import InvalidInput
from .design import Design
from .lp import as_targets, as_weights, least_squares, only_used
from .normal import NormalSystem


@dataclass(frozen=True, slots=True, eq=False)
class SingleIndexFit:
    """Predictions are f(X @ coef + intercept).

    coef (d, c), intercept (c,) float64; value (c,): the objective reached; slope (c,): what a Newton step would still
    gain, relative to the value; steps (c,); converged (c,): slope <= tol. None of these says that there is no better
    answer elsewhere.
    """

    coef: Float64Array
    intercept: Float64Array
    value: Float64Array
    slope: Float64Array
    steps: IntArray
    converged: BoolArray


def single_index(
    X: Any,
    y: Any,
    activation: str = "relu",
    p: float = 2.0,
    *,
    weights: Any = None,
    ridge: float = 0.0,
    eps: float = 0.0,
    intercept: bool = False,
    tol: float = 1e-8,
    max_steps: int = 200,
) -> SingleIndexFit:
    """Looks for a small  sum_i s_i |f(u_i) - y_i|^p + eps sum_i s_i |u_i|^p + ridge |B|^2,  u_i = x_i B + b.

    activation  f: "relu", "leaky_relu" (0.01 below 0), "tanh" or "sigmoid" (which has f(0) = 1/2: the theory, which
                asks for f(0) = 0, speaks of sigmoid - 1/2 with targets lowered by as much)
    p           1 < p < inf. The other arguments as in lp_regression

    **Not convex.** What comes back is a stationary point: the lower of two descents, from the least squares fit of the
    targets and from the one of their pre-images f^-1(y). For f = relu the rows with u < 0 have no slope and can be
    stuck there. eps > 0 keeps u from running away and is the penalised form for which sampled rows are proven to
    do (2502.18213, where the minimum is assumed found). Damped Gauss-Newton with reweighting for p != 2; each step
    one weighted Gram or some ten readings, as lp_regression. Raises InvalidInput.
    """
    if activation not in _SHAPES:
        raise InvalidInput(f"activation must be one of {list(_SHAPES)}, got {activation!r}.")
    p = positive_number(p, "p")
    if p <= 1:
        raise InvalidInput(f"p must lie in (1, inf) for a single-index model, got {p:g}.")
    ridge, eps = positive_number(ridge, "ridge", zero_ok=True), positive_number(eps, "eps", zero_ok=True)
    tol, max_steps = positive_number(tol, "tol"), positive_int(max_steps, "max_steps")
    rows = as_shards(X, "X")
    targets, share = as_targets(y, len(rows), "y"), as_weights(weights, len(rows), "weights")
    s = np.where(np.isfinite(targets), share[:, None], 0.0)
    if not (s.sum(axis=0) > 0).all():
        raise InvalidInput("y and weights leave no row to fit: some target needs a finite value and a weight > 0.")
    rows, targets, s, keep = only_used(rows, targets, s)
    s, b = s / s.sum(axis=0), np.where(s > 0, targets, 0.0)
    design = Design(rows, keep, bool(intercept), "X")
    starts = [
        least_squares(design, start, s, design.penalty(ridge), tol, certify=False)[0]
        for start in (b, np.where(s > 0, _pre_image(activation, b), 0.0))
    ]
    K = design.penalty(2.0 * ridge / p)
    fits = []
    for j in range(b.shape[1]):
        model = _Model(design, activation, p, s[:, j], b[:, j], eps, K)
        fits.append(min((model.descend(start[:, j], tol, max_steps) for start in starts), key=lambda fit: fit[1]))
    coef, constant = design.coef(np.stack([fit[0] for fit in fits], axis=1))
    value, slope = p * np.array([fit[1] for fit in fits]), np.array([fit[2] for fit in fits])
    steps = np.array([fit[3] for fit in fits], dtype=np.int64)
    return SingleIndexFit(coef, constant, value, slope, steps, slope <= tol)


_SHAPES = ("relu", "leaky_relu", "tanh", "sigmoid")


def shape_of(activation: str, u: Float64Array) -> tuple[Float64Array, Float64Array]:
    """f(u) and f'(u)."""
    if activation == "tanh":
        f = np.tanh(u)
        return f, 1.0 - f * f
    if activation == "sigmoid":
        f = 0.5 * (1.0 + np.tanh(0.5 * u))
        return f, f * (1.0 - f)
    low = 0.01 if activation == "leaky_relu" else 0.0
    return np.where(u > 0, u, low * u), np.where(u > 0, 1.0, low)


def _pre_image(activation: str, y: Float64Array) -> Float64Array:
    """u with f(u) = y, as far as there is one; relu: y itself, and its mirror image below for the flat part."""
    if activation == "tanh":
        return np.asarray(np.arctanh(np.clip(y, -0.99, 0.99)))
    if activation == "sigmoid":
        return np.asarray(2.0 * np.arctanh(np.clip(2.0 * y - 1.0, -0.99, 0.99)))
    flat = -float(np.mean(np.abs(y)))
    return np.where(y > 0, y, flat if activation == "relu" else y)


@dataclass(frozen=True, eq=False)
class _Model:
    """One target: value and step of sum s |f(u) - b|^p / p + eps sum s |u|^p / p + z'Kz / 2."""

    design: Design
    activation: str
    p: float
    s: Float64Array
    b: Float64Array
    eps: float
    K: Float64Array

    def value(self, u: Float64Array, z: Float64Array) -> float:
        off = np.abs(shape_of(self.activation, u)[0] - self.b)
        total = float(self.s @ off**self.p) + self.eps * float(self.s @ np.abs(u) ** self.p)
        return total / self.p + 0.5 * float(z @ self.K @ z)

    def descend(self, z: Float64Array, tol: float, most: int) -> tuple[Float64Array, float, float, int]:
        """z, value, slope, steps."""
        system = NormalSystem(self.design, self.K)
        u = self.design.times(z[:, None])[:, 0]
        value, damping, slope, step = self.value(u, z), 0.0, np.inf, 0
        for step in range(most + 1):
            f, turn = shape_of(self.activation, u)
            off = f - self.b
            curve = self.s * (turn * turn * _reweight(off, self.p) + self.eps * _reweight(u, self.p))
            pull = self.s * (turn * np.sign(off) * np.abs(off) ** (self.p - 1.0))
            pull += self.s * self.eps * np.sign(u) * np.abs(u) ** (self.p - 1.0)
            top = float(curve.max(initial=0.0))
            if top == 0.0:
                return z, value, 0.0, step  # flat everywhere: relu that is 0 on all rows
            system.prepare(curve + (damping + 1e-10) * top * (self.s > 0))
            g = self.design.sums(pull[:, None])[:, 0] + self.K @ z
            dz, moved, _ = system.solve(-g, 1e-4)
            fall = float(g @ dz)
            slope = -0.5 * fall / max(value, 1e-300)
            if slope <= tol or step == most:
                break
            t = 1.0
            while t > 1e-8 and self.value(u + t * moved, z + t * dz) > value + 1e-4 * t * fall:
                t *= 0.5
            if t <= 1e-8:
                break
            damping = damping * 0.3 if t == 1.0 else max(3.0 * damping, 1e-4)
            z, u = z + t * dz, u + t * moved
            value = self.value(u, z)
        return z, value, slope, step


def _reweight(r: Float64Array, p: float) -> Float64Array:
    """Curvature of |r|^p / p: Newton's above 2, that of reweighting, which always descends, below."""
    size = np.abs(r)
    if p >= 2:
        return np.asarray((p - 1.0) * size ** (p - 2.0))
    return np.asarray(np.maximum(size, max(1e-8 * float(size.max(initial=0.0)), 1e-300)) ** (p - 2.0))
