"""How many labels a head of a given accuracy needs: orders of magnitude from theory, and a trial on the pool itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .. import _core
from .._check import positive_int, positive_number, seed_int
from .._rng import Purpose, uniforms
from .._types import BoolArray, Float64Array, IntArray, RowShards
from ..errors import InvalidInput
from ..solvers import lp_regression
from ..strategies.agreement import coherence_total, largest
from ..strategies.candidates import available
from ..strategies.lewis import backbone_weights
from ..strategies.sampling import bernoulli
from .named import as_named

_SIZES, _LEAST = 4, 40
_RESAMPLES = 400


@dataclass(frozen=True, eq=False)
class LabelPlan:
    """What plan_labels found.

    eps, p, n_candidates   what was asked, of how many items
    ranks        backbone -> rank of its features
    total        T, the sum over items of the largest Lewis weight
    theory       name of a bound -> its number of labels with the leading constant taken as 1: an order, no promise
    estimate     labels by the trial, the most over backbones; None where `note` says why there is none
    interval     (low, high): where 95 % of the estimates from resampled repeats lie, each with one size left out; None
                 with estimate
    sizes        int64 (s,): labels tried
    excess       backbone -> float64 (repeats, s): loss over the least possible loss, less 1
    extrapolated whether the estimate lies outside the sizes tried
    last_error   backbone -> excess at the largest size as foretold from the others, over the one measured
    """

    eps: float
    p: float
    n_candidates: int
    ranks: dict[str, int]
    total: float
    theory: dict[str, float]
    estimate: int | None
    interval: tuple[int, int] | None
    sizes: IntArray
    excess: dict[str, Float64Array]
    extrapolated: bool
    last_error: dict[str, float]
    note: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; excess as means over the repeats."""
        names = [entry.name for entry in fields(self)]
        plain = {name: getattr(self, name) for name in names if name not in ("sizes", "excess", "interval")}
        curves = {name: values.mean(axis=0).tolist() for name, values in self.excess.items()}
        between = None if self.interval is None else list(self.interval)
        return {**plain, "interval": between, "sizes": self.sizes.tolist(), "excess": curves}


def plan_labels(
    source: Any,
    *,
    eps: float = 0.1,
    p: float = 2.0,
    backbones: Sequence[str] | None = None,
    labelled: Any = None,
    exclude: Any = None,
    repeats: int = 8,
    seed: int = 0,
    note: Callable[[str], None] | None = None,
) -> LabelPlan:
    """How many labels linear heads need for a loss sum |x_i b - y_i|^p of at most 1 + eps times the least possible.

    source    a store or its path, a dict of arrays by backbone, or one array
    eps       > 0      p  in [1, inf)
    labelled, exclude  ids, positions or a mask of items that are no candidates
    repeats   >= 2 targets, each with its own draw per size

    theory holds bounds with all constants and what the O~ hides left out: "max-lewis, single-index" eps^-4 T
    d^max(p/2-1, 0) log(d)^2 log(dT/eps) (arXiv 2405.14121, corollary 3.7), "single-index" d^max(p/2, 1) / eps^max(p, 2)
    for one backbone (arXiv 2502.18213), "linear" for one backbone: d/eps^2 for p = 1, d/eps for 1 < p <= 2,
    d^(p/2)/eps^p for p > 2. d is the largest rank.

    The trial: targets that are linear in a backbone's features, with independent normal noise; at four sizes from
    1.5 d up to 12 d or half of the pool, draws by the largest Lewis weights (strategy "lewis"), a weighted head with
    intercept, and its loss over all candidates against that of the best head. For such targets the excess does not
    depend on the linear part, so it is taken as 0. log excess is fitted as linear in log(1/(m - d) - 1/(n - d)), and
    solved for eps. Targets that are no linear function, or whose noise differs between items, may need more: the
    interval knows nothing of that, it tells the scatter of the repeats and the bend of the curve. There is no trial
    (estimate None) for fewer than 40, or 4 d, candidates that are not rows of zeros.

    Cost: Lewis weights per backbone; one fit of all candidates and 4 small ones per repeat and backbone.
    Raises InvalidInput (arguments, no candidates, unusable rows).
    """
    eps, p, seed = positive_number(eps, "eps"), positive_number(p, "p"), seed_int(seed)
    if p < 1:
        raise InvalidInput(f"p must be in [1, inf) for a head, got {p:g}. Use p=1 for absolute values.")
    if positive_int(repeats, "repeats") < 2:
        raise InvalidInput("repeats must be at least 2, to tell how sure the estimate is, got 1.")
    say = note or (lambda _: None)
    pool = as_named(source, backbones)[0]
    left = available(pool, labelled, exclude)[0]
    n_left = int(np.count_nonzero(left))
    if n_left == 0:
        raise InvalidInput(f"no item is left of the {pool.n_items}: all are invalid, labelled or excluded.")
    features = dict(pool.features)
    results = backbone_weights(features, left, say, p=p, tol=1e-3, max_passes=100, ridge=0.0)
    weights = [result.weights[left] for result in results.values()]
    ranks = {name: int(result.rank) for name, result in results.items()}
    total, most = coherence_total(weights), max(ranks.values())
    theory = label_orders(total, most, p, eps)
    combined = largest(weights)
    n_drawable = int(np.count_nonzero(combined))
    needed = max(_LEAST, 4 * (most + 1))
    if n_drawable < needed:
        why = (
            f"no trial: it takes {needed} items that are not rows of zeros for {most} independent features, and there "
            f"are {n_drawable}. Heads without a ridge then need nearly all labels."
        )
        none = np.empty(0, dtype=np.int64)
        return LabelPlan(eps, p, n_left, ranks, total, theory, None, None, none, {}, False, {}, why)
    first, last = math.ceil(1.5 * (most + 1)), min(n_drawable // 2, 12 * (most + 1))
    sizes = np.rint(np.geomspace(first, last, _SIZES)).astype(np.int64)
    excess = {}
    for name, rows in features.items():
        say(f"trial fits of {name} ...")
        excess[name] = _trial(rows, left, combined, sizes, p, repeats, seed)
    pick = uniforms(seed, Purpose.PLAN, np.arange(_RESAMPLES * (repeats + 1), dtype=np.int64), 1)
    resamples = (pick[:-_RESAMPLES] * repeats).astype(np.int64).reshape(_RESAMPLES, repeats)
    # Each without one size: a straight line through a curve that bends is surer of itself than it should be.
    kept = [np.delete(np.arange(_SIZES), out) for out in (pick[-_RESAMPLES:] * _SIZES).astype(np.int64)]
    worst, found = np.zeros(_RESAMPLES), 0.0
    last_error = {}
    for name, values in excess.items():
        d = ranks[name]
        found = max(found, labels_at(eps, sizes, values.mean(axis=0), n_left, d))
        each = [
            labels_at(eps, sizes[at], values[some].mean(axis=0)[at], n_left, d)
            for some, at in zip(resamples, kept, strict=True)
        ]
        worst = np.maximum(worst, each)
        slope, level = _line(sizes[:-1], values.mean(axis=0)[:-1], n_left, d)
        foretold = math.exp(level + slope * float(_place(sizes[-1:], n_left, d)[0]))
        last_error[name] = foretold / float(values[:, -1].mean())
    low, high = np.quantile(worst, [0.025, 0.975])
    estimate = min(n_left, math.ceil(found))
    outside = not sizes[0] <= estimate <= sizes[-1]
    between = (min(estimate, math.floor(low)), min(n_left, max(estimate, math.ceil(high))))
    told = "assumes targets linear in the features, with equal noise"
    return LabelPlan(eps, p, n_left, ranks, total, theory, estimate, between, sizes, excess, outside, last_error, told)


def label_orders(total: float, rank: int, p: float, eps: float) -> dict[str, float]:
    """The bounds of plan_labels, constants 1."""
    d = max(rank, 2)
    joint = total * d ** max(p / 2 - 1, 0) * math.log(d) ** 2 * math.log(max(math.e, d * total / eps)) / eps**4
    linear = d / eps**2 if p == 1 else d / eps if p <= 2 else d ** (p / 2) / eps**p
    single = d ** max(p / 2, 1) / eps ** max(p, 2)
    return {"max-lewis, single-index": joint, "single-index": single, "linear": linear}


def labels_at(eps: float, sizes: IntArray, excess: Float64Array, n_rows: int, rank: int) -> float:
    """m in (rank, n_rows] at which the fitted line reaches eps; n_rows where it does not fall with m."""
    slope, level = _line(sizes, excess, n_rows, rank)
    if not slope > 0:
        return float(n_rows)
    place = (math.log(eps) - level) / slope
    return rank + 1.0 / (math.exp(min(place, 700.0)) + 1.0 / (n_rows - rank))


def _place(sizes: IntArray, n_rows: int, rank: int) -> Float64Array:
    """log(1/(m - d) - 1/(n - d)): the excess of least squares is about in proportion to what stands in the log."""
    return np.asarray(np.log(1.0 / (sizes - rank) - 1.0 / (n_rows - rank)))


def _line(sizes: IntArray, excess: Float64Array, n_rows: int, rank: int) -> tuple[float, float]:
    x, y = _place(sizes, n_rows, rank), np.log(np.maximum(excess, 1e-300))
    slope = float((x - x.mean()) @ (y - y.mean()) / ((x - x.mean()) @ (x - x.mean())))
    return slope, float(y.mean() - slope * x.mean())


def _trial(
    rows: RowShards, left: BoolArray, weights: Float64Array, sizes: IntArray, p: float, repeats: int, seed: int
) -> Float64Array:
    """float64 (repeats, sizes): loss of heads on samples over the least loss, less 1."""
    here = np.flatnonzero(left)
    noise = np.zeros((len(rows), repeats))
    for repeat in range(repeats):
        u = [uniforms(seed, Purpose.PLAN, here, 2 + 2 * repeat + k) for k in (0, 1)]
        noise[here, repeat] = np.sqrt(-2.0 * np.log1p(-u[0])) * np.cos(2.0 * np.pi * u[1])
    mask = None if left.all() else left
    best = lp_regression(rows, noise, p, intercept=True, mask=mask)
    least = _loss(rows, best.coef, best.intercept, noise, here, p)
    out = np.empty((repeats, sizes.size))
    for j, size in enumerate(sizes):
        coefs, constants = [], []
        for repeat in range(repeats):
            sample = bernoulli(weights, int(size), seed=seed, stream=repeat * _SIZES + j)
            at = here[sample.indices]
            fit = lp_regression(rows.take(at), noise[at, repeat], p, weights=sample.weights, intercept=True)
            coefs.append(fit.coef)
            constants.append(fit.intercept)
        out[:, j] = _loss(rows, np.hstack(coefs), np.concatenate(constants), noise, here, p) / least - 1.0
    return out


def _loss(
    rows: RowShards, coef: Float64Array, constant: Float64Array, y: Float64Array, here: IntArray, p: float
) -> Float64Array:
    mask: BoolArray = np.zeros(len(rows), dtype=np.bool_)
    mask[here] = True
    out = _core.row_products(list(rows.shards), mask, coef, None, False)[0][here] + constant
    return np.asarray((np.abs(out - y[here]) ** p).sum(axis=0))
