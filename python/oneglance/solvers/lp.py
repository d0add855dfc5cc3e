"""Weighted l_p and Huber regression on rows of any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import as_mask, as_shards, positive_int, positive_number
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..errors import InvalidInput
from .design import Design
from .interior import least_absolute, least_maximum
from .losses import Huber, Power
from .newton import Problem, Solved, certified, dual_newton, newton
from .normal import NormalSystem


@dataclass(frozen=True, slots=True, eq=False)
class LpFit:
    """A linear fit per target and its evidence; predictions are `X @ coef + intercept`.

    coef       float64 (d, c)         intercept  float64 (c,), zeros where none was asked for
    value      float64 (c,): the objective reached, in the unit of the docstring of lp_regression
    gap        float64 (c,): proven bound on value - minimum, from a dual point (up to rounding, about 1e-14 value)
    steps      int64 (c,): steps of Newton or of the interior point method; 0 where the start was already optimal
    converged  bool (c,): gap <= tol * value, or value below rounding (1e-24 of that of no features)
    rank       columns of the rows that are independent, the constant included; the most over targets
    """

    coef: Float64Array
    intercept: Float64Array
    value: Float64Array
    gap: Float64Array
    steps: Any
    converged: BoolArray
    rank: int


def lp_regression(
    X: Any,
    y: Any,
    p: float = 2.0,
    *,
    weights: Any = None,
    ridge: float = 0.0,
    eps: float = 0.0,
    intercept: bool = False,
    huber: float | None = None,
    mask: Any = None,
    tol: float = 1e-8,
    max_steps: int = 100,
) -> LpFit:
    """Minimises  sum_i s_i |x_i B + b - y_i|^p + eps sum_i s_i |x_i B + b|^p + ridge |B|^2,  each target for itself.

    X          (n, d) float16/32/64: array, memory map, RowShards, CPU torch tensor. Read in panels
    y          (n,) or (n, c) targets; NaN: this row has no such target
    p          1 <= p <= inf. inf minimises the largest |x_i B + b - y_i| instead (plus ridge |B|^2), where a weight
               says only whether a row counts: s^(1/p) -> 1
    weights    (n,) >= 0; only their ratios matter, s is scaled to sum 1 over the rows of a target. Default: equal
    ridge      >= 0, of the coefficients, never of the intercept
    eps        >= 0: the penalty of single-index theory (2502.18213); not for p = inf or huber
    huber      k > 0: Huber's loss instead of |r|^p, r^2 up to k and 2 k |r| - k^2 beyond; p must be 2
    mask       (n,) bool: rows with False are never read
    tol        relative duality gap asked for      max_steps  per target; when reached, converged is False

    Among equal minimisers the one with the least |B|, so dependent and dead columns and n < d are fine. p >= 2 and
    Huber: damped Newton; 1 < p < 2: damped Newton on the dual (power p / (p - 1) > 2); p = 1, inf: interior points.
    Full steps of reweighted least squares, which diverge for p >= 3, are used nowhere. Float64 throughout. A step
    costs one weighted Gram n d^2 (n <= 20 d), else that of 12 d rows, 5-10 readings of 4 n d flops and O(d^3); p = 2
    costs one Gram for all targets together. Memory beyond X: O(d^2 + n), and the rows themselves where n <= d or where
    the mask leaves less than half. The same bytes for any number of threads of the compiled core.
    Raises InvalidInput (shapes, NaN in rows, p < 1, no rows left).
    """
    rows = as_shards(X, "X")
    n_rows = rows.shape[0]
    p, huber = _loss(p, huber)
    ridge, eps = positive_number(ridge, "ridge", zero_ok=True), positive_number(eps, "eps", zero_ok=True)
    tol, max_steps = positive_number(tol, "tol"), positive_int(max_steps, "max_steps")
    if eps and (np.isinf(p) or huber is not None):
        raise InvalidInput("eps= is a penalty of |prediction|^p and goes with finite p and without huber=. Use ridge=.")
    targets = as_targets(y, n_rows, "y")
    share = as_weights(weights, n_rows, "weights")
    used = as_mask(mask, "mask", n_rows)
    counts = (share > 0) if used is None else (share > 0) & used
    s = np.where(np.isfinite(targets) & counts[:, None], share[:, None], 0.0)
    if not (s.sum(axis=0) > 0).all():
        raise InvalidInput(
            "y, weights and mask leave no row to fit: every target needs a finite value with a weight > 0."
        )
    sorts: dict[bytes, int] = {}
    alike = np.array([sorts.setdefault(np.packbits(column > 0).tobytes(), len(sorts)) for column in s.T])
    if alike.any():  # targets on other rows have other least norms: each sort by itself
        same: dict[str, Any] = {"weights": weights, "ridge": ridge, "eps": eps, "intercept": intercept, "huber": huber}
        same |= {"mask": mask, "tol": tol, "max_steps": max_steps}
        return _merged(alike, [lp_regression(X, targets[:, alike == sort], p, **same) for sort in sorts.values()])
    rows, targets, s, keep = only_used(rows, targets, s)
    s = s / s.sum(axis=0)
    b = np.where(s > 0, targets, 0.0)
    plain, c = p == 2 and huber is None and eps == 0, b.shape[1]
    design = Design(rows, keep, bool(intercept), "X", sampled=not plain and 1 < p < np.inf)
    starts, found = least_squares(design, b, s, design.penalty(ridge), tol, certify=plain)
    fits = found
    if not plain:
        fits = [_one(design, b[:, j], s[:, j], starts[:, j], p, huber, ridge, eps, tol, max_steps) for j in range(c)]
    coef, constant = design.coef(np.stack([fit.z for fit, _ in fits], axis=1))
    value, gap = np.array([fit.value for fit, _ in fits]), np.array([fit.gap for fit, _ in fits])
    done = np.array([converged for _, converged in fits])
    return LpFit(coef, constant, value, gap, np.array([fit.steps for fit, _ in fits]), done, design.rank)


def only_used(
    rows: RowShards, targets: Float64Array, s: Float64Array
) -> tuple[RowShards, Float64Array, Float64Array, BoolArray | None]:
    """Rows with a weight > 0 for some target: taken into memory where they are few, else a mask for a Design."""
    at, n_rows = np.flatnonzero(s.any(axis=1)), len(rows)
    if 2 * at.size <= n_rows or at.size <= min(n_rows - 1, rows.shape[1]):
        return as_shards(rows.take(at), "X"), targets[at], s[at], None
    return rows, targets, s, np.asarray(s.any(axis=1)) if at.size < n_rows else None


def _merged(sort: IntArray, parts: list[LpFit]) -> LpFit:
    """Fits of sorts of targets as one, the targets in their order."""
    back = np.argsort(np.argsort(sort, kind="stable"), kind="stable")

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)[..., back]

    names = ("coef", "intercept", "value", "gap", "steps", "converged")
    return LpFit(**{name: joined(name) for name in names}, rank=max(part.rank for part in parts))


def _loss(p: Any, huber: Any) -> tuple[float, float | None]:
    value = np.inf if p == np.inf else positive_number(p, "p")
    if value < 1:
        raise InvalidInput(f"p must be >= 1, got {value:g}: below 1 the loss is not convex and has many minima.")
    if huber is None:
        return value, None
    if value != 2:
        raise InvalidInput(f"huber= replaces |r|^2 and goes with p=2, got p={value:g}.")
    return value, positive_number(huber, "huber")


def least_squares(
    design: Design, b: Float64Array, s: Float64Array, K: Float64Array, tol: float, *, certify: bool
) -> tuple[Float64Array, list[tuple[Solved, bool]]]:
    """(r, c): p = 2 for all targets, one factorisation per set of weights and refinement by residuals.

    certify  also values and gaps, of |r|^2 and z'Kz, for targets of any size. Without, the solution is where other
             losses start, and from many rows only within some hundredths of the least value
    """
    out = np.empty((design.rank, b.shape[1]))
    found: dict[int, tuple[Solved, bool]] = {}
    left = list(range(b.shape[1]))
    while left:
        same = [j for j in left if np.array_equal(s[:, j], s[:, left[0]])]
        left = [j for j in left if j not in same]
        system = NormalSystem(design, K)
        system.prepare(np.ascontiguousarray(s[:, same[0]]), in_full=certify)
        if not system.exact:
            out[:, same] = np.stack([_rough_squares(system, b[:, j], s[:, j]) for j in same], axis=1)
            continue
        z = np.zeros((design.rank, len(same)))
        for _ in range(2):
            off = s[:, same] * (b[:, same] - design.times(z)) if z.any() else s[:, same] * b[:, same]
            z = z + system.back(design.sums(np.ascontiguousarray(off)) - K @ z)
        out[:, same] = z
        for at, j in enumerate(same if certify else ()):
            unit = max(float(np.abs(b[:, j]).max()), 1e-300)
            fit = certified(Problem(design, b[None, :, j] / unit, s[None, :, j], K), z[:, at] / unit, system)
            with np.errstate(over="ignore", under="ignore"):
                back = 2.0 * float(np.float64(unit) ** 2)
            done = fit.gap <= tol * fit.value or fit.value <= 1e-24
            found[j] = Solved(z[:, at], fit.value * back, fit.gap * back, 1), done
    return out, [found[j] for j in sorted(found)]


def _rough_squares(system: NormalSystem, b: Float64Array, s: Float64Array) -> Float64Array:
    """Least squares by products: what is left of the system is at most a hundredth of the value, also where that is
    as good as 0."""
    design, K = system.design, system.penalty
    z, fitted, left = system.solve(design.sums((s * b)[:, None])[:, 0], 1e-2)
    rounding = 1e-28 * float(s @ (b * b))
    for _ in range(8):
        r = b - fitted
        if system.size(left) <= max(0.01 * float(s @ (r * r)), rounding):
            break
        more, further, left = system.solve(design.sums((s * r)[:, None])[:, 0] - K @ z, 1e-4)
        z, fitted = z + more, fitted + further
    return z


def _one(
    design: Design,
    b: Float64Array,
    s: Float64Array,
    start: Float64Array,
    p: float,
    huber: float | None,
    ridge: float,
    eps: float,
    tol: float,
    most: int,
) -> tuple[Solved, bool]:
    """One target, scaled so that neither |r|^p nor its conjugate leaves the range of float64; second: converged."""
    layers = np.stack([b, np.zeros_like(b)]) if eps else b[None, :]
    shares = np.stack([s, eps * s]) if eps else s[None, :]
    if not b.any():  # nothing is predicted by nothing
        return Solved(np.zeros_like(start), 0.0, 0.0, 0), True
    raw = Problem(design, layers, shares, np.zeros((design.rank, design.rank)))
    r = np.abs(raw.residuals(start))[shares > 0]
    unit = float(r.max()) if np.isinf(p) else size(r, shares[shares > 0], p)
    without = float(np.abs(b[s > 0]).max()) if np.isinf(p) else size(np.abs(b), s, p)
    power = 1.0 if np.isinf(p) else p
    cost = float(start @ design.penalty(ridge) @ start) if ridge else 0.0
    # What fits every row is as good as it gets where it costs nothing: an equal target, by the intercept alone.
    with np.errstate(over="ignore"):
        costs = cost > 1e-24 * np.float64(without) ** power
    if unit <= 1e-12 * without and not costs and eps == 0:
        left = unit**power + cost
        return Solved(start, left, left, 0), True
    unit = max(unit, 1e-15 * without)
    # In units of `unit` the objective is power * unit^power times the one solved, which has |r|^p / p and z'Kz / 2.
    with np.errstate(over="ignore", under="ignore"):
        factor = 2.0 * ridge / power * float(np.float64(unit) ** (2.0 - power)) if ridge else 0.0
    if not np.isfinite(factor):
        raise InvalidInput(
            f"ridge={ridge:g} outweighs residuals of size {unit:.2g} to the power {p:g} by more than float64 can hold. "
            "Give y in units in which residuals are near 1, or a smaller ridge."
        )
    K = design.penalty(factor)
    problem = Problem(design, layers / unit, shares, K)
    z = start / unit
    if huber is not None:
        fit = newton(problem, Huber(huber / unit), z, tol, most)
    elif p == 1:
        fit = least_absolute(problem, z, tol, most)
    elif np.isinf(p):
        fit = least_maximum(problem, z, tol, most)
    elif p < 2:
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far along the dual's line, for p near 1
            fit = dual_newton(problem, Power(p), z, tol, most)
    else:
        fit = newton(problem, Power(p), z, tol, most)
    with np.errstate(over="ignore"):
        back = power * float(np.float64(unit) ** power)
    gap = fit.gap * back if fit.gap else 0.0  # where |r|^p leaves the range of float64 the value is inf
    return Solved(fit.z * unit, fit.value * back, gap, fit.steps), fit.gap <= tol * fit.value


def size(r: Float64Array, s: Float64Array, p: float) -> float:
    """(sum_i s_i |r_i|^p)^(1/p) without overflow."""
    top = float(np.abs(r).max(initial=0.0))
    return top * float((s * (np.abs(r) / top) ** p).sum()) ** (1.0 / p) if top > 0 else 0.0


def as_targets(value: Any, n_rows: int, name: str) -> Float64Array:
    """(n, c) float64; infinities raise InvalidInput, NaN means no label."""
    try:
        targets = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must hold numbers, got {value!r:.60}.") from None
    if targets.ndim == 1:
        targets = targets[:, None]
    if targets.ndim != 2 or targets.shape[0] != n_rows or targets.shape[1] == 0:
        raise InvalidInput(f"{name} must be ({n_rows},) or ({n_rows}, targets), got shape {np.shape(value)}.")
    if np.isinf(targets).any():
        raise InvalidInput(
            f"{name} must be finite, or NaN where there is no label; got infinity in row "
            f"{int(np.flatnonzero(np.isinf(targets).any(axis=1))[0])}."
        )
    return targets


def as_weights(value: Any, n_rows: int, name: str) -> Float64Array:
    """(n,) finite numbers >= 0, ones for None."""
    if value is None:
        return np.ones(n_rows)
    weights = np.asarray(value, dtype=np.float64)
    if weights.shape != (n_rows,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise InvalidInput(
            f"{name} must be {n_rows} finite numbers >= 0, one per row, got shape {weights.shape}"
            + (f" and minimum {np.nanmin(weights):g}." if weights.size else ".")
        )
    return weights / max(float(weights.max(initial=0.0)), 1e-300)
