"""Losses of a residual: value, slope, curvature and conjugate, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .._types import Float64Array

LineSlope: TypeAlias = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Power:
    """s |r|^p / p for 1 < p < inf; with y = s |r|^(p-1) sign(r) and 1/p + 1/q = 1 the conjugate s^(1-q) |y|^q / q."""

    p: float

    @property
    def q(self) -> float:
        return self.p / (self.p - 1.0)

    def value(self, s: Float64Array, r: Float64Array) -> float:
        return float((s * np.abs(r) ** self.p).sum() / self.p)

    def slope(self, s: Float64Array, r: Float64Array) -> Float64Array:
        return np.asarray(s * np.abs(r) ** (self.p - 1.0) * np.sign(r))

    def curvature(self, s: Float64Array, r: Float64Array, round_: int) -> Float64Array:
        return np.asarray((self.p - 1.0) * s * np.abs(r) ** (self.p - 2.0))

    def residual(self, s: Float64Array, y: Float64Array) -> Float64Array:
        """The r whose slope is y; 0 where s is 0."""
        ratio = np.divide(np.abs(y), s, out=np.zeros_like(y), where=s > 0)
        return np.asarray(ratio ** (self.q - 1.0) * np.sign(y))

    def conjugate(self, s: Float64Array, y: Float64Array) -> float:
        """sup_r y r - loss(r), summed over the rows; y must be 0 where s is 0."""
        return float((y * self.residual(s, y)).sum() / self.q)

    def into_domain(self, s: Float64Array, y: Float64Array) -> float:
        """The largest factor <= 1 that keeps the conjugate finite."""
        return 1.0


@dataclass(frozen=True)
class Huber:
    """s r^2 / 2 up to |r| = k, s (k |r| - k^2 / 2) beyond; the conjugate y^2 / (2 s) lives on |y| <= k s."""

    k: float

    def value(self, s: Float64Array, r: Float64Array) -> float:
        size = np.abs(r)
        return float((s * np.where(size <= self.k, 0.5 * size * size, self.k * (size - 0.5 * self.k))).sum())

    def slope(self, s: Float64Array, r: Float64Array) -> Float64Array:
        return np.asarray(s * np.clip(r, -self.k, self.k))

    def curvature(self, s: Float64Array, r: Float64Array, round_: int) -> Float64Array:
        """Newton's curvature is 0 beyond k. A share of the one of iterative reweighting, k / |r|, which always
        descends, stands in for it; it falls by ten with every round, so that the end is Newton's."""
        size = np.abs(r)
        beyond = max(10.0**-round_, 1e-8) * self.k / np.maximum(size, self.k)
        return np.asarray(s * np.where(size <= self.k, 1.0, beyond))

    def conjugate(self, s: Float64Array, y: Float64Array) -> float:
        return float(0.5 * np.divide(y * y, s, out=np.zeros_like(y), where=s > 0).sum())

    def into_domain(self, s: Float64Array, y: Float64Array) -> float:
        ratio = np.divide(np.abs(y), s, out=np.zeros_like(y), where=s > 0)
        return float(min(1.0, self.k / max(float(ratio.max(initial=0.0)), 1e-300)))


def line_minimum(slope_at: LineSlope, start: float, *, shrink: float = 0.1, most: float = 64.0) -> float:
    """A step t > 0 where the slope of a convex function along a line is at most `shrink` times that at 0.

    slope_at(t) -> (slope, curvature) at t; start < 0 is the slope at 0. Newton steps inside a shrinking bracket.
    """
    low, high, t = 0.0, np.inf, 1.0
    for _ in range(40):
        slope, bend = slope_at(t)
        if abs(slope) <= shrink * abs(start):
            return t
        if not slope < 0:  # rounding gone wrong counts as too far
            high = t
        else:
            low = t
            if t >= most:
                return t
        guess = t - slope / bend if bend > 0 and np.isfinite(slope) else np.inf
        top = min(high, 8.0 * t)
        t = guess if low + 0.05 * (top - low) < guess < top - 0.05 * (top - low) else 0.5 * (low + top)
        t = min(t, most)
    return low if low > 0 else t
