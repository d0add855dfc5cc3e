"""What features promise for labels that are known: diagnostics of a backbone, never a gate by themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .._types import BoolArray, Float64Array, FloatArray, IntArray
from ..adapt.classify import make_folds
from ..search import knn
from ..solvers import logistic_path
from .chance import share_interval
from .frechet import leading_directions

CAUTION = (
    "Scores of suitability have been unreliable guides between backbones (arXiv 2308.07444, 2510.06448), and RankMe "
    "compares runs of one method only: take them as diagnostics, and the cross-validated probe as the judge."
)
PENALTIES = tuple(float(value) for value in np.logspace(-1, -5, 5))
NEIGHBOURS = 10
_STEPS = 12
_DIMS = 256


@dataclass(frozen=True)
class Suitability:
    """n_rows labelled rows of n_classes; log_me: evidence per row, higher is better, comparable on the same rows and
    labels only; purity: mean share of the `neighbours` nearest rows by cosine with the row's own class, chance: what
    it would be without any relation; probe, probe_interval: accuracy of held-out rows in 5 folds by a logistic
    regression, each fold at the penalty that is best in the others (None where folds cannot be made)."""

    n_rows: int
    n_classes: int
    log_me: float
    purity: float
    chance: float
    neighbours: int
    probe: float | None
    probe_interval: tuple[float, float] | None
    probe_rows: int


def suitability(rows: FloatArray, codes: IntArray, n_classes: int, *, seed: int = 0) -> Suitability:
    """Of labelled rows (m, d), finite and not zero, m >= 2, in memory; at least two classes.

    Rows are scaled to unit length. The probe sees their 256 leading directions. Cost: two eigendecompositions,
    all cosines, and 5 penalties of a logistic regression in 5 folds.
    """
    x = np.asarray(rows, dtype=np.float64)
    x = x / np.abs(x).max(axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    k = min(NEIGHBOURS, len(x) - 1)
    near = knn(x, k, metric="cosine").indices
    sizes = np.bincount(codes, minlength=n_classes)
    chance = float((sizes * (sizes - 1)).sum() / (len(x) * (len(x) - 1)))
    folds = make_folds(codes, 5, seed)
    probe = interval = None
    n_out = 0
    if folds is not None:
        mean, directions = leading_directions(x, _DIMS)
        centred = (x - mean) @ directions
        out = folds >= 0
        n_out = int(out.sum())
        path = logistic_path(centred, codes, n_classes, PENALTIES, folds=folds, tol=1e-3)
        hits = np.array([fit.held_out[out].argmax(axis=1) == codes[out] for fit in path if fit.held_out is not None])
        n_hits = _hits_of_the_others_choice(hits, folds[out])
        probe, interval = n_hits / n_out, share_interval(n_hits, n_out)
    return Suitability(
        len(x),
        n_classes,
        log_me(x, codes, n_classes),
        float((codes[near] == codes[:, None]).mean()),
        chance,
        k,
        probe,
        interval,
        n_out,
    )


def _hits_of_the_others_choice(hits: BoolArray, folds: IntArray) -> int:
    """hits (penalties, rows): how many rows each fold gets right at the penalty that gets most of the other folds."""
    total = 0
    for fold in np.unique(folds):
        own = folds == fold
        total += int(np.count_nonzero(hits[hits[:, ~own].sum(axis=1).argmax(), own]))
    return total


def log_me(x: Float64Array, codes: IntArray, n_classes: int) -> float:
    """Mean over classes of the evidence per row of a Bayesian linear regression of one-hot labels (You et al. 2021):
    alpha and beta by 11 steps of the fixed point, in the coordinates of the smaller Gram matrix's eigenvectors."""
    n, d = x.shape
    if n < d:
        s, u = np.linalg.eigh(x @ x.T)
        kept = s > 1e-12 * s[-1]
        s, u = s[kept], u[:, kept]
    else:
        s, v = np.linalg.eigh(x.T @ x)
        kept = s > 1e-12 * s[-1]
        s = s[kept]
        u = x @ v[:, kept] / np.sqrt(s)
    total = 0.0
    for c in range(n_classes):
        y = (codes == c).astype(np.float64)
        z = u.T @ y
        outside = max(0.0, float(y @ y - z @ z))
        alpha = beta = 1.0
        evidence = 0.0
        for _ in range(_STEPS):
            ratio = alpha / beta
            m2 = float((s * z**2 / (s + ratio) ** 2).sum())
            residual = float(((ratio * z / (s + ratio)) ** 2).sum()) + outside
            log_det = float(np.log(alpha + beta * s).sum()) + (d - s.size) * math.log(alpha)
            evidence = (
                d / 2 * math.log(alpha)
                + n / 2 * math.log(beta)
                - log_det / 2
                - beta / 2 * residual
                - alpha / 2 * m2
                - n / 2 * math.log(2 * math.pi)
            ) / n
            gamma = float((s / (s + ratio)).sum())
            alpha = gamma / max(m2, 1e-300)
            beta = (n - gamma) / max(residual, 1e-300)
        total += evidence
    return total / n_classes
