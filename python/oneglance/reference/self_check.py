"""Compiled core against the definitions on small awkward matrices: what `oneglance doctor` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .. import _core
from .._types import Float64Array, FloatArray
from . import activeft, bilaf, farthest, kmeans, leverage, lewis, mask_bits, nearest, philox


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One comparison: the largest relative error, and the most that is accepted."""

    name: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # False for NaN


def awkward_matrices() -> Iterator[tuple[str, FloatArray]]:
    """Small float64 matrices of the kinds that break naive code."""
    rng = np.random.default_rng(20240521)
    normal = rng.normal(size=(257, 17))
    yield "normal", normal
    yield "heavy-tailed", normal * rng.standard_t(1.5, size=(257, 1))
    yield "dead and doubled columns", np.hstack([normal, np.zeros((257, 2)), normal[:, :3]])
    yield "zero rows", np.vstack([normal, np.zeros((3, 17))])
    yield "fewer rows than columns", normal[:9]
    yield (
        "condition 1e6",
        normal
        @ (np.linalg.qr(rng.normal(size=(17, 17)))[0] * np.logspace(0, -6, 17))
        @ (np.linalg.qr(rng.normal(size=(17, 17)))[0]),
    )


def _relative(got: FloatArray, want: FloatArray) -> float:
    zero = want <= 1e-14
    if (np.abs(got[zero]) > 1e-13).any():
        return float("inf")
    return float(np.abs(got[~zero] / want[~zero] - 1.0).max(initial=0.0))


def run() -> Iterator[CheckResult]:
    """Yields one result per comparison; takes a few seconds."""
    for name, x in awkward_matrices():
        got = _core.leverage_scores([x], None, None)[0]
        yield CheckResult(f"leverage, {name}", _relative(got, leverage.leverage_scores(x)), 1e-9)
        for p in (0.5, 1.0, 3.8, 6.0):
            got = _core.lewis_weights([x], p, 1e-11, 200, None)[0]
            want = lewis.lewis_weights(x, p)
            yield CheckResult(f"Lewis p={p:g}, {name}", _relative(got, want), 1e-8)
    for dtype, tolerance in ((np.float16, 1e-9), (np.float32, 1e-9)):
        small: FloatArray = next(awkward_matrices())[1].astype(dtype)
        got = _core.leverage_scores([small], None, None)[0]
        yield CheckResult(
            f"leverage, {np.dtype(dtype)} rows", _relative(got, leverage.leverage_scores(small)), tolerance
        )
    yield from _distances(next(awkward_matrices())[1])
    yield from _boundaries(next(awkward_matrices())[1])
    yield from _masks(next(awkward_matrices())[1].astype(np.float32))
    items = np.array([0, 1, 2**31, 2**40], dtype=np.int64)
    same = np.array_equal(_core.philox_uniforms(7, 2, items, 3), philox.uniforms(7, 2, items, 3))
    yield CheckResult("random numbers (Philox)", 0.0 if same else float("inf"), 0.0)


def _distances(x: FloatArray) -> Iterator[CheckResult]:
    """Other picks, neighbours or clusters count as an infinite error."""
    rows = x.astype(np.float32)
    none = np.empty(0, dtype=np.int64)
    for metric in ("sqeuclidean", "cosine"):
        cosine = metric == "cosine"
        indices, distances = _core.nearest([rows], [rows], 3, cosine, True, None)
        want, exact = nearest.nearest(rows, rows, 3, metric, skip_self=True)
        error = _relative(distances, exact) if np.array_equal(indices, want) else float("inf")
        yield CheckResult(f"nearest rows, {metric}", error, 1e-11)
        picks = _core.farthest([rows], None, 60, cosine, None, none, none, False)[0]
        same = picks.tolist() == farthest.farthest(rows, 60, metric).items
        yield CheckResult(f"farthest points, {metric}", 0.0 if same else float("inf"), 0.0)
        start = np.asarray(rows[:9], np.float64)
        labels, found = _core.kmeans([rows], 9, cosine, start, 20, 1e-6, None)[1:3]
        _, labels_, found_, *_ = kmeans.kmeans(rows, start, metric, max_iter=20, tol=1e-6)
        error = _relative(found, found_) if np.array_equal(labels, labels_) else float("inf")
        yield CheckResult(f"k-means, {metric}", error, 1e-9)


def _boundaries(rows: FloatArray) -> Iterator[CheckResult]:
    """ActiveFT's gradient; BiLAF's denoising of all rows as one class."""
    x: Float64Array = np.asarray(rows, np.float64)
    for kind in ("paper", "released"):
        got = _core.activeft_gradient([x], x[:9], kind, 0.07, 1.0)[1]
        want = activeft.gradient(x, x[:9], kind)
        error = float(np.abs(got - want).max() / np.abs(want).max())
        yield CheckResult(f"ActiveFT's gradient, {kind}", error, 1e-4)
    members, offsets, core = np.arange(len(x)), np.array([0, len(x)]), np.array([4])
    order, mean = _core.denoise([x], members, offsets, core, 10, 0.1, 0.0, False)
    error = _relative(mean, bilaf.euclidean(x, x).mean(axis=1))
    same = order.tolist() == bilaf.density_order(x, 4, 10, 0.1)
    yield CheckResult("BiLAF's denoising", error if same else float("inf"), 1e-11)


def _masks(scores: FloatArray) -> Iterator[CheckResult]:
    """Another bit is an infinite error."""
    bits, kept, _ = _core.pack_scores(scores, 0.5)
    applied = np.empty_like(scores)
    _core.apply_mask(scores, bits, kept, applied)
    same = np.array_equal(bits, mask_bits.pack_scores(scores, 0.5))
    same = same and np.array_equal(applied, mask_bits.apply(scores, bits))
    yield CheckResult("masks, packed and applied", 0.0 if same else float("inf"), 0.0)
    for coder, name in ((1, "bytes"), (3, "magnitudes")):
        (stream,) = _core.encode_masks([bits], [scores.size], [kept], [scores.reshape(-1)], [0, coder], 0)
        ((back, ones, error),) = _core.decode_masks([stream], [scores.size], [scores.reshape(-1)])
        same = not error and ones == kept and np.array_equal(back, bits)
        yield CheckResult(f"masks, coded by {name}", 0.0 if same else float("inf"), 0.0)


def failures(report: Callable[[CheckResult], None] | None = None) -> int:
    """Runs every check, hands each to `report`, and returns how many failed."""
    failed = 0
    for result in run():
        if report is not None:
            report(result)
        failed += not result.ok
    return failed
