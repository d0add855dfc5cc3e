"""ActiveFT on the device: the library's products, and csrc/cuda/activeft.h around them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._rng import Purpose
from .._types import BoolArray, Float64Array
from .arrays import DeviceRows
from .memory import named_memory
from .metric_rows import MetricRows
from .nearest import NearestSearch

_LOSS_ROWS = 1024  # csrc/cuda/activeft.h
_TILE_ROWS = 2048  # thetas whose softmax is computed together


@dataclass(frozen=True)
class Objective:
    """As of cluster.activeft; n_fixed thetas stay, sample_rows 0 means all rows."""

    kind: str
    tau: float
    balance: float
    learning_rate: float
    n_iter: int
    n_fixed: int
    sample_rows: int
    seed: int


@dataclass(slots=True)
class _Softmax:
    """Per theta the maximum of the exponents, the sum of terms below it, and terms times thetas (B, d)."""

    most: Any
    total: Any
    out: Any


class ActiveFt:
    """The fit. Used inside the library's guard. Labels are exact (NearestSearch). Memory: a tile of products (half the
    second level cache), about 64 bytes per number of theta, and with a mask or sample a copy of those rows."""

    def __init__(self, rows: DeviceRows, mask: BoolArray | None, theta: Float64Array, how: Objective) -> None:
        self.how, self.library, self.device = how, rows.library, rows.device
        self.kernels = self.library.kernels
        self.rows = MetricRows(rows, True, mask)
        self.pool = None
        if mask is not None:
            self.pool = self.library.from_host(np.flatnonzero(mask).astype(np.int64), self.device)
            self.rows = self.rows.chosen(self.pool)
        self.n_theta, self.n_dims = theta.shape
        norm = np.linalg.norm(theta, axis=1)
        self.v, self.theta = self._put(theta), self._put(theta / norm[:, None])
        self.narrow, self.norm = self._put((theta / norm[:, None]).astype(np.float32)), self._put(norm)
        shape = (self.n_theta, self.n_dims)
        self.gradient, self.pull = self._empty(shape, "float64"), self._empty(shape, "float64")
        self.weights = self._empty(self.n_theta, "float64")
        self.m, self.s = (self.library.zeros(shape, "float64", self.device) for _ in range(2))
        self.loss = self._empty(max(1, how.n_iter), "float64")

    def run(self) -> tuple[Float64Array, Float64Array]:
        """(theta of unit norm, the objective before each step), on the host."""
        for t in range(1, self.how.n_iter + 1):
            self.evaluate(t, self.how.learning_rate)
        return self.library.to_host(self.theta), self.library.to_host(self.loss)

    def evaluate(self, t: int, rate: float) -> None:
        """Step t: the objective to loss[t - 1], its gradient, and with rate > 0 a step against it."""
        how, library, at = self.how, self.library, self.library.address
        rows = self._sampled(t)
        n = rows.rows.n_rows
        labels, dist2 = self._assigned(rows)
        released = how.kind == "released"
        apart = self._softmax(None, released) if released or self.n_theta > 1 else None
        log_sum = None if apart is None else self._log_sum(apart)
        weight = self._empty(n, "float64")
        partial = self._empty(-(-n // _LOSS_ROWS), "float64")
        self.kernels.activeft_rows(
            at(labels),
            at(dist2),
            n,
            at(log_sum) if released else 0,
            how.tau,
            math.log(how.balance),
            at(weight),
            at(partial),
            at(self.loss) + 8 * (t - 1),
            self._stream,
        )
        order = library.stable_order(labels.reshape(1, n)).reshape(n)
        self.kernels.activeft_pull(
            *rows.rows.args,
            at(rows.scale),
            at(labels),
            at(order),
            at(weight),
            self.n_theta,
            at(self.pull),
            at(self.weights),
            self._stream,
        )
        second = None
        if not released and log_sum is not None:
            second = self._softmax(-log_sum, released)
            spread = how.balance * (log_sum.sum() / self.n_theta + 1.0 / how.tau)
            self.loss[t - 1 : t] += spread
        self._step(t, rate, n, apart, second)

    def _step(self, t: int, rate: float, n: int, apart: _Softmax | None, second: _Softmax | None) -> None:
        how, at = self.how, self.library.address
        self.kernels.activeft_step(
            n_theta=self.n_theta,
            n_dims=self.n_dims,
            n_fixed=how.n_fixed,
            pull=at(self.pull),
            weights=at(self.weights),
            row_factor=1.0 / (n * how.tau),
            theta_factor=how.balance / (self.n_theta * how.tau),
            out=0 if apart is None else at(apart.out),
            total=0 if apart is None else at(apart.total),
            out2=0 if second is None else at(second.out),
            most2=0 if second is None else at(second.most),
            rate=rate,
            correct1=1.0 - 0.9**t,
            correct2=1.0 - 0.999**t,
            gradient=at(self.gradient),
            m=at(self.m),
            s=at(self.s),
            v=at(self.v),
            theta=at(self.theta),
            norm=at(self.norm),
            narrow=at(self.narrow),
            stream=self._stream,
        )

    def _assigned(self, rows: MetricRows) -> tuple[Any, Any]:
        thetas = DeviceRows(self.theta, self.library, self.device, 2, self.n_theta, self.n_dims, self.n_dims)
        labels, dist2 = NearestSearch(MetricRows(thetas, True), 1).find(rows)
        return labels.reshape(-1), dist2.reshape(-1)

    def _sampled(self, t: int) -> MetricRows:
        """The rows with the smallest random numbers of this step, as algo/activeft.cpp draws them."""
        n = self.rows.rows.n_rows
        if not 0 < self.how.sample_rows < n:
            return self.rows
        library = self.library
        names = self._put(np.arange(n, dtype=np.int64)) if self.pool is None else self.pool
        keys = self._empty(n, "float64")
        self.kernels.philox_uniforms(
            self.how.seed, int(Purpose.ACTIVEFT), t, library.address(names), n, library.address(keys), self._stream
        )
        drawn = library.stable_order(keys.reshape(1, n)).reshape(n)[: self.how.sample_rows]
        return self.rows.chosen(drawn)

    def _softmax(self, bias: Any, with_self: bool) -> _Softmax:
        """Tile after tile, nothing of size B x B: sums over j of exp((theta_j . theta_k - 1) / tau + bias_j)."""
        library, at, n = self.library, self.library.address, self.n_theta
        found = _Softmax(
            library.full(n, -math.inf, "float64", self.device),
            library.zeros(n, "float64", self.device),
            library.zeros((n, self.n_dims), "float32", self.device),
        )
        size = min(n, _TILE_ROWS)
        width = min(n, max(256, int(library.card(self.device)["l2_bytes"]) // (8 * size)))
        products = self._empty(size * width, "float32")
        for first in range(0, n, size):
            last = min(first + size, n)
            queries, out = self.narrow[first:last], found.out[first:last]
            for start in range(0, n, width):
                keys = self.narrow[start : min(start + width, n)]
                n_keys = int(keys.shape[0])
                tile = products[: (last - first) * n_keys].reshape(last - first, n_keys)
                library.product(queries, keys.T, tile)
                self.kernels.softmax_tile(
                    at(tile),
                    last - first,
                    n_keys,
                    1.0 / self.how.tau,
                    0 if bias is None else at(bias) + 8 * start,
                    first - start,
                    with_self,
                    at(found.most) + 8 * first,
                    at(found.total) + 8 * first,
                    at(out),
                    self.n_dims,
                    self._stream,
                )
                library.product(tile, keys, out, add=True)
        return found

    def _log_sum(self, softmax: _Softmax) -> Any:
        at, found = self.library.address, self._empty(self.n_theta, "float64")
        self.kernels.softmax_log_sum(at(softmax.most), at(softmax.total), self.n_theta, at(found), self._stream)
        return found

    @property
    def _stream(self) -> int:
        return self.library.stream(self.device)

    def _put(self, array: Any) -> Any:
        return self.library.from_host(array, self.device)

    def _empty(self, shape: Any, dtype: str) -> Any:
        return self.library.empty(shape, dtype, self.device)


def activeft(
    rows: DeviceRows, mask: BoolArray | None, theta: Float64Array, how: Objective
) -> tuple[Float64Array, Float64Array]:
    """(theta, loss) on the host, as the core's activeft: labels exact, products of the repulsion float32, sums float64.
    Raises the core's NonFiniteRows and ZeroRows, and OutOfMemory."""
    copied = how.sample_rows if mask is None else rows.n_rows
    needed = 64 * theta.size + 32 * rows.n_rows + 4 * copied * rows.n_dims
    cure = "Use sample_rows, or free some of it."
    with rows.library.guard(rows.device), named_memory(rows.library, rows.device, "activeft", needed, cure):
        return ActiveFt(rows, mask, theta, how).run()
