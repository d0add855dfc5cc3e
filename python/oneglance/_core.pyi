"""
Compiled core of oneglance. Use the public functions of the package instead.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['NonFiniteQueries', 'NonFiniteRows', 'ZeroQueries', 'ZeroRows', 'activeft', 'activeft_gradient', 'apply_mask', 'boundary_picks', 'build_info', 'cholesky_inverse', 'congruence', 'decode_masks', 'denoise', 'encode_masks', 'farthest', 'kernel_coverage', 'kmeans', 'leverage_scores', 'lewis_pass', 'lewis_weights', 'mask_popcount', 'mask_xor', 'nearest', 'pack_mask', 'pack_scores', 'philox_uniforms', 'picture_scores', 'row_products', 'set_panel_rows', 'set_small_work', 'set_threads', 'small_kmeans', 'unpack_mask', 'weighted_draw', 'weighted_gram']
class NonFiniteRows(ValueError):
    pass
class NonFiniteQueries(NonFiniteRows):
    pass
class ZeroRows(ValueError):
    pass
class ZeroQueries(ZeroRows):
    pass
def activeft(shards: collections.abc.Sequence[numpy.ndarray], theta: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], objective: str, n_iter: typing.SupportsInt | typing.SupportsIndex, tau: typing.SupportsFloat | typing.SupportsIndex, balance: typing.SupportsFloat | typing.SupportsIndex, learning_rate: typing.SupportsFloat | typing.SupportsIndex, n_fixed: typing.SupportsInt | typing.SupportsIndex, sample_rows: typing.SupportsInt | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], float]:
    """
    (theta, loss, scanned).
    """
def activeft_gradient(shards: collections.abc.Sequence[numpy.ndarray], theta: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], objective: str, tau: typing.SupportsFloat | typing.SupportsIndex, balance: typing.SupportsFloat | typing.SupportsIndex) -> tuple[float, numpy.typing.NDArray[numpy.float64]]:
    """
    (loss, gradient) at theta.
    """
def apply_mask(weights: numpy.ndarray, bits: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8], kept: typing.SupportsInt | typing.SupportsIndex, out: numpy.ndarray) -> None:
    """
    out = kept ? weights / sqrt(max(kept, 1) / n) : 0.
    """
def boundary_picks(shards: collections.abc.Sequence[numpy.ndarray], members: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], cores: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], near_core: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], near_distance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], mean_distance: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], budget: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], penalty: typing.SupportsFloat | typing.SupportsIndex, cosine: bool) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64]]:
    """
    (rows, scores, opponents): boundary samples of every class.
    """
def build_info() -> dict[str, typing.Any]:
    """
    How this module was built and what it uses on this machine.
    """
def cholesky_inverse(matrix: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64] | None:
    """
    Upper triangular (n, n) U with matrix^-1 = U U' for a symmetric positive definite matrix; None for others.
    """
def congruence(matrix: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], upper: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    upper' matrix upper for a symmetric matrix and an upper triangular one, both (n, n).
    """
def decode_masks(streams: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]], sizes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], weights: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None]) -> list[tuple[numpy.typing.NDArray[numpy.uint8], int, str]]:
    """
    (bits, ones, what is wrong with the stream) per mask.
    """
def denoise(shards: collections.abc.Sequence[numpy.ndarray], members: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], cores: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], n_neighbors: typing.SupportsInt | typing.SupportsIndex, growth: typing.SupportsFloat | typing.SupportsIndex, removal: typing.SupportsFloat | typing.SupportsIndex, cosine: bool) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64]]:
    """
    (order, mean distances): members of every class in the order in which density lets them join, and the mean distance of each member to those that stay.
    """
def encode_masks(bits: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]], sizes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], ones: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], weights: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None], coders: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], adaptive_up_to: typing.SupportsInt | typing.SupportsIndex) -> list[numpy.typing.NDArray[numpy.uint8]]:
    """
    A stream per mask, by the shortest of the coders.
    """
def farthest(shards: collections.abc.Sequence[numpy.ndarray], offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None, n_picks: typing.SupportsInt | typing.SupportsIndex, cosine: bool, mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None, already: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], start: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], assign: bool) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64] | None, numpy.typing.NDArray[numpy.int64] | None, float, float]:
    """
    (items, rows, distances, nearest, row_distance, row_nearest, radius, readings).
    """
def kernel_coverage(shards: collections.abc.Sequence[numpy.ndarray], n_picks: typing.SupportsInt | typing.SupportsIndex, width: typing.SupportsFloat | typing.SupportsIndex, cosine: bool, mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None, already: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], evaluate: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], costs: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], budget: typing.SupportsFloat | typing.SupportsIndex, by_cost: bool) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], float, float]:
    """
    (rows, gains, coverage, evaluated): greedy maximum of the mean largest Gaussian kernel.
    """
def kmeans(shards: collections.abc.Sequence[numpy.ndarray], k: typing.SupportsInt | typing.SupportsIndex, cosine: bool, centers: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], max_iter: typing.SupportsInt | typing.SupportsIndex, tol: typing.SupportsFloat | typing.SupportsIndex, mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], int, float, bool, int]:
    """
    (centers, labels, distances, n_iter, shift, converged, reassigned) of Lloyd's algorithm.
    """
def leverage_scores(shards: collections.abc.Sequence[numpy.ndarray], mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None, row_scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None) -> tuple[numpy.typing.NDArray[numpy.float64], int, int, str, float]:
    """
    (scores, rank, passes, precision, condition) of the rows of all shards together.
    """
def lewis_pass(shards: collections.abc.Sequence[numpy.ndarray], factor_inverse: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], p: typing.SupportsFloat | typing.SupportsIndex, float32: bool) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    (tau, P) of one reading: b_i = a_i U, tau_i = |b_i|^2, P = sum_i tau_i^(p/2-1) b_i b_i'. U upper triangular.
    """
def lewis_weights(shards: collections.abc.Sequence[numpy.ndarray], p: typing.SupportsFloat | typing.SupportsIndex, tol: typing.SupportsFloat | typing.SupportsIndex, max_passes: typing.SupportsInt | typing.SupportsIndex, mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None) -> tuple[numpy.typing.NDArray[numpy.float64], int, int, float, bool, int, str, float]:
    """
    (weights, rank, passes, residual, converged, restarts, precision, condition).
    """
def mask_popcount(bits: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]) -> int:
    """
    Ones in the bytes.
    """
def mask_xor(a: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8], b: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]) -> tuple[numpy.typing.NDArray[numpy.uint8], int]:
    """
    (bits, ones) of a xor b.
    """
def nearest(queries: collections.abc.Sequence[numpy.ndarray], shards: collections.abc.Sequence[numpy.ndarray], k: typing.SupportsInt | typing.SupportsIndex, cosine: bool, skip_self: bool, mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None, query_mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None = None) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64]]:
    """
    (indices (n, k), distances (n, k)) of the k nearest rows.
    """
def pack_mask(mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]) -> tuple[numpy.typing.NDArray[numpy.uint8], int]:
    """
    (bits, ones) of uint8 values, any but 0 a 1.
    """
def pack_scores(scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], mu: typing.SupportsFloat | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.uint8], int, int]:
    """
    (bits, ones, number of NaN) of score > mu.
    """
def philox_uniforms(seed: typing.SupportsInt | typing.SupportsIndex, purpose: typing.SupportsInt | typing.SupportsIndex, items: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], draw: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    Uniforms in [0, 1), one per item: a pure function of the four arguments.
    """
def picture_scores(rgb: bytes, height: typing.SupportsInt | typing.SupportsIndex, width: typing.SupportsInt | typing.SupportsIndex) -> tuple[float, float, float, float, float, int]:
    """
    (low, high, entropy, edges, colour, hash) of the pixels of one picture.
    """
def row_products(shards: collections.abc.Sequence[numpy.ndarray], mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None, coef: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None, values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None, want_sums: bool) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    (products (n, c) = A coef, sums (d, c) = A' (values * products)); without coef the sums are A' values, without values they are A' products.
    """
def set_panel_rows(n_rows: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Rows read at a time; 0 = default. Results do not depend on it.
    """
def set_small_work(n_multiply_adds: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Problems with n d^2 below this are computed in float64 whatever the input; default 2^31.
    """
def set_threads(n_threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Threads for this process, 1..64; 0 = default. Results do not depend on it.
    """
def small_kmeans(points: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], k: typing.SupportsInt | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, items: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], max_iter: typing.SupportsInt | typing.SupportsIndex, tol: typing.SupportsFloat | typing.SupportsIndex) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
    """
    (patterns, offsets): k-means of every set of points on its own.
    """
def unpack_mask(bits: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8], start: typing.SupportsInt | typing.SupportsIndex, stop: typing.SupportsInt | typing.SupportsIndex, out: numpy.typing.NDArray[numpy.uint8]) -> None:
    """
    Weights start .. stop - 1 as 0 or 1.
    """
def weighted_draw(shards: collections.abc.Sequence[numpy.ndarray], offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None, n_picks: typing.SupportsInt | typing.SupportsIndex, cosine: bool, gamma: typing.SupportsFloat | typing.SupportsIndex, mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None, already: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], start: typing.Annotated[numpy.typing.ArrayLike, numpy.int64], seed: typing.SupportsInt | typing.SupportsIndex, assign: bool) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64] | None, numpy.typing.NDArray[numpy.int64] | None, float, float]:
    """
    (items, rows, distances, nearest, row_distance, row_nearest, radius, readings).
    """
def weighted_gram(shards: collections.abc.Sequence[numpy.ndarray], mask: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None, row_scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    (d, d): sum_i row_scale_i^2 a_i a_i', float64.
    """
