"""BiLAF's second stage (arXiv 2403.10069), one class and one sample at a time."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array


def euclidean(a: Float64Array, b: Float64Array) -> Float64Array:
    """All distances, (len(a), len(b))."""
    result: Float64Array = np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))
    return result


def density_order(x: Float64Array, core: int, n_neighbors: int, growth: float) -> list[int]:
    """Members of one class (all rows of x) in the order in which they join their core."""
    d, n = euclidean(x, x), len(x)
    inside, step = [core], max(1, int(growth * n))
    while len(inside) < n:
        rest = [j for j in range(n) if j not in inside]
        rho = [np.sort(d[j, inside])[:n_neighbors].mean() for j in rest]
        inside += [rest[i] for i in np.argsort(rho, kind="stable")[:step]]
    return inside


def boundary_picks(
    x: Float64Array, core: int, others: Float64Array, budget: int, penalty: float
) -> tuple[list[int], list[float]]:
    """Picks of one class (rows of x) against the cores of the others, and their scores (NaN for the core)."""
    d, to = euclidean(x, x), euclidean(x, others)
    intra, times = d.mean(axis=1), np.zeros(len(others))
    left, picks, scores = list(range(len(x))), [core], [np.nan]
    drop = len(x) // budget
    while True:
        last = picks[-1]
        near = sorted(left, key=lambda i: (-1.0 if i == last else d[last, i], i))[:drop]
        left = [i for i in left if i not in near]
        if len(picks) == budget:
            return picks, scores
        if len(others):
            a = intra[left, None]
            scale = np.maximum(to[left], a)
            value = np.where(scale > 0, (penalty**times * to[left] - a) / np.where(scale > 0, scale, 1), 0.0).min(
                axis=1
            )
            best = int(value.argmin())
            picks.append(left[best])
            scores.append(float(value[best]))
            times[to[left[best]].argmin()] += 1
        else:
            picks.append(left[0])
            scores.append(np.inf)
