"""
CUDA part of oneglance. Addresses in, on the current device; the caller's stream.
"""
from __future__ import annotations
import typing
__all__: list[str] = ['Candidates', 'CoverArrays', 'DeviceClasses', 'DrawScratch', 'FarthestScratch', 'Frame', 'LaunchError', 'MOST_SHARED', 'Points', 'ScaledRows', 'activeft_pull', 'activeft_rows', 'activeft_step', 'apply_masks', 'bilaf_boundary', 'bilaf_denoise', 'card', 'class_attention', 'cluster_counts', 'cluster_means', 'cover_assignment', 'cover_choose', 'cover_largest', 'cover_measure', 'cover_open', 'cover_refresh', 'decide_nearest', 'device_count', 'device_of', 'draw_rounds', 'exact_distances', 'farthest_close', 'farthest_pool', 'farthest_steps', 'filter_patches', 'load_panel', 'masked_linear', 'pack_mask', 'pack_scores', 'philox_uniforms', 'prepare_points', 'reweight_panel', 'row_norms2', 'scan_tile', 'sinkhorn', 'small_kmeans', 'small_kmeans_scratch', 'softmax_log_sum', 'softmax_tile', 'split_tf32', 'synchronize', 'unpack_mask']
class LaunchError(RuntimeError):
    pass
class DeviceClasses:
    """
    Rows in classes: csrc/cuda/bilaf.h.
    """
    def __init__(self, rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, *, scale: typing.SupportsInt | typing.SupportsIndex, members: typing.SupportsInt | typing.SupportsIndex, offsets: typing.SupportsInt | typing.SupportsIndex, cores: typing.SupportsInt | typing.SupportsIndex, by_size: typing.SupportsInt | typing.SupportsIndex, n_classes: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class CoverArrays:
    """
    Distances of rows to the chosen rows: csrc/cuda/cover_arrays.h.
    """
    def __init__(self, rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, *, scale: typing.SupportsInt | typing.SupportsIndex, offsets: typing.SupportsInt | typing.SupportsIndex, n_items: typing.SupportsInt | typing.SupportsIndex, n_picks: typing.SupportsInt | typing.SupportsIndex, dist2: typing.SupportsInt | typing.SupportsIndex, nearest: typing.SupportsInt | typing.SupportsIndex, seen: typing.SupportsInt | typing.SupportsIndex, state: typing.SupportsInt | typing.SupportsIndex, centers: typing.SupportsInt | typing.SupportsIndex, wide: bool, control: typing.SupportsInt | typing.SupportsIndex, pick_item: typing.SupportsInt | typing.SupportsIndex, pick_row: typing.SupportsInt | typing.SupportsIndex, pick_nearest: typing.SupportsInt | typing.SupportsIndex, pick_dist2: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class FarthestScratch:
    """
    csrc/cuda/farthest.h
    """
    def __init__(self, *, pool: typing.SupportsInt | typing.SupportsIndex, lowest: typing.SupportsInt | typing.SupportsIndex, best_dist2: typing.SupportsInt | typing.SupportsIndex, best_row: typing.SupportsInt | typing.SupportsIndex, radius: typing.SupportsInt | typing.SupportsIndex, n_blocks: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class DrawScratch:
    """
    csrc/cuda/weighted_draw.h
    """
    def __init__(self, *, gamma: typing.SupportsFloat | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, largest: typing.SupportsInt | typing.SupportsIndex, wasted: typing.SupportsInt | typing.SupportsIndex, cumulative: typing.SupportsInt | typing.SupportsIndex, proposal_row: typing.SupportsInt | typing.SupportsIndex, proposal_seen: typing.SupportsInt | typing.SupportsIndex, proposal_weight: typing.SupportsInt | typing.SupportsIndex, proposal_uniform: typing.SupportsInt | typing.SupportsIndex, most: typing.SupportsInt | typing.SupportsIndex, n_splits: typing.SupportsInt | typing.SupportsIndex, part_dist2: typing.SupportsInt | typing.SupportsIndex, part_nearest: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class ScaledRows:
    """
    Rows, the factor of each (0: 1) and which are used (0: all).
    """
    def __init__(self, rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, scale: typing.SupportsInt | typing.SupportsIndex, mask: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class Points:
    """
    Rows in a frame: float32 numbers, norms and bounds.
    """
    def __init__(self, x: typing.SupportsInt | typing.SupportsIndex, norm2: typing.SupportsInt | typing.SupportsIndex, slack: typing.SupportsInt | typing.SupportsIndex, base: typing.SupportsInt | typing.SupportsIndex, slope: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class Frame:
    """
    How rows are brought into float32, and what that costs.
    """
    def __init__(self, power: typing.SupportsFloat | typing.SupportsIndex, unit: typing.SupportsFloat | typing.SupportsIndex, dot_error: typing.SupportsFloat | typing.SupportsIndex, row_error: typing.SupportsFloat | typing.SupportsIndex, shift: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class Candidates:
    """
    The few rows that may be nearest to each query.
    """
    def __init__(self, lower: typing.SupportsInt | typing.SupportsIndex, row: typing.SupportsInt | typing.SupportsIndex, upper: typing.SupportsInt | typing.SupportsIndex, dropped: typing.SupportsInt | typing.SupportsIndex, slots: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
def activeft_pull(rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, scale: typing.SupportsInt | typing.SupportsIndex, labels: typing.SupportsInt | typing.SupportsIndex, order: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, n_theta: typing.SupportsInt | typing.SupportsIndex, pull: typing.SupportsInt | typing.SupportsIndex, weights: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Weighted sums of the rows of every theta.
    """
def activeft_rows(labels: typing.SupportsInt | typing.SupportsIndex, dist2: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, log_sum: typing.SupportsInt | typing.SupportsIndex, tau: typing.SupportsFloat | typing.SupportsIndex, log_balance: typing.SupportsFloat | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, partial: typing.SupportsInt | typing.SupportsIndex, loss: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Weight of every row, and the mean loss.
    """
def activeft_step(*, n_theta: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, n_fixed: typing.SupportsInt | typing.SupportsIndex, pull: typing.SupportsInt | typing.SupportsIndex, weights: typing.SupportsInt | typing.SupportsIndex, row_factor: typing.SupportsFloat | typing.SupportsIndex, theta_factor: typing.SupportsFloat | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, total: typing.SupportsInt | typing.SupportsIndex, out2: typing.SupportsInt | typing.SupportsIndex, most2: typing.SupportsInt | typing.SupportsIndex, rate: typing.SupportsFloat | typing.SupportsIndex, correct1: typing.SupportsFloat | typing.SupportsIndex, correct2: typing.SupportsFloat | typing.SupportsIndex, gradient: typing.SupportsInt | typing.SupportsIndex, m: typing.SupportsInt | typing.SupportsIndex, s: typing.SupportsInt | typing.SupportsIndex, v: typing.SupportsInt | typing.SupportsIndex, theta: typing.SupportsInt | typing.SupportsIndex, norm: typing.SupportsInt | typing.SupportsIndex, narrow: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The gradient, and Adam's step: csrc/cuda/activeft.h.
    """
def apply_masks(weights: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, bits: typing.SupportsInt | typing.SupportsIndex, bytes_step: typing.SupportsInt | typing.SupportsIndex, divisors: typing.SupportsInt | typing.SupportsIndex, n_masks: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    out (n_masks, n) = kept ? weights / divisor : 0, one reading of the weights for all masks.
    """
def bilaf_boundary(classes: DeviceClasses, *, near_core: typing.SupportsInt | typing.SupportsIndex, near_distance: typing.SupportsInt | typing.SupportsIndex, n_near: typing.SupportsInt | typing.SupportsIndex, mean_distance: typing.SupportsInt | typing.SupportsIndex, budget: typing.SupportsInt | typing.SupportsIndex, starts: typing.SupportsInt | typing.SupportsIndex, penalty: typing.SupportsFloat | typing.SupportsIndex, n_blocks: typing.SupportsInt | typing.SupportsIndex, power: typing.SupportsInt | typing.SupportsIndex, least: typing.SupportsInt | typing.SupportsIndex, distance: typing.SupportsInt | typing.SupportsIndex, left: typing.SupportsInt | typing.SupportsIndex, exact: typing.SupportsInt | typing.SupportsIndex, rows: typing.SupportsInt | typing.SupportsIndex, opponent: typing.SupportsInt | typing.SupportsIndex, scores: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Boundary samples of every class.
    """
def bilaf_denoise(classes: DeviceClasses, *, n_neighbors: typing.SupportsInt | typing.SupportsIndex, width: typing.SupportsInt | typing.SupportsIndex, growth: typing.SupportsFloat | typing.SupportsIndex, removal: typing.SupportsFloat | typing.SupportsIndex, order: typing.SupportsInt | typing.SupportsIndex, waiting: typing.SupportsInt | typing.SupportsIndex, kept: typing.SupportsInt | typing.SupportsIndex, mean_distance: typing.SupportsInt | typing.SupportsIndex, nearest: typing.SupportsInt | typing.SupportsIndex, density: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The density order of every class, and mean distances.
    """
def card(device: typing.SupportsInt | typing.SupportsIndex) -> dict[str, typing.Any]:
    """
    name, capability (90 for 9.0), n_processors, memory_bytes, l2_bytes of a device.
    """
def class_attention(*, q: typing.SupportsInt | typing.SupportsIndex, keys: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, n_heads: typing.SupportsInt | typing.SupportsIndex, n_key_heads: typing.SupportsInt | typing.SupportsIndex, n_tokens: typing.SupportsInt | typing.SupportsIndex, d_head: typing.SupportsInt | typing.SupportsIndex, n_prefix: typing.SupportsInt | typing.SupportsIndex, q_step: typing.SupportsInt | typing.SupportsIndex, q_head_step: typing.SupportsInt | typing.SupportsIndex, key_step: typing.SupportsInt | typing.SupportsIndex, key_head_step: typing.SupportsInt | typing.SupportsIndex, key_token_step: typing.SupportsInt | typing.SupportsIndex, scale: typing.SupportsFloat | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The class token's attention, averaged over heads: csrc/cuda/patches.h.
    """
def cluster_counts(labels: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, counts: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Adds the rows of each label to int64 counts.
    """
def cluster_means(rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, scale: typing.SupportsInt | typing.SupportsIndex, order: typing.SupportsInt | typing.SupportsIndex, starts: typing.SupportsInt | typing.SupportsIndex, n_clusters: typing.SupportsInt | typing.SupportsIndex, means: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    float64 means of the rows of each cluster, added in order.
    """
def cover_assignment(arrays: CoverArrays, factor: typing.SupportsFloat | typing.SupportsIndex, distance: typing.SupportsInt | typing.SupportsIndex, nearest: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Every row's distance to its nearest chosen row, and that row.
    """
def cover_choose(arrays: CoverArrays, rows: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, first_place: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    These rows become centres.
    """
def cover_largest(arrays: CoverArrays, largest: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The largest dist2 of open rows.
    """
def cover_measure(rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, state: typing.SupportsInt | typing.SupportsIndex, scale: typing.SupportsInt | typing.SupportsIndex, status: typing.SupportsInt | typing.SupportsIndex, range: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Which rows in use can be measured, what they are scaled by, and how large their elements are.
    """
def cover_open(arrays: CoverArrays, mask: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    States of rows by the mask of items.
    """
def cover_refresh(arrays: CoverArrays, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Brings all open rows up to date with all centres.
    """
def decide_nearest(queries: ScaledRows, rows: ScaledRows, query_points: Points, power2: typing.SupportsFloat | typing.SupportsIndex, n_nearest: typing.SupportsInt | typing.SupportsIndex, candidates: Candidates, indices: typing.SupportsInt | typing.SupportsIndex, dist2: typing.SupportsInt | typing.SupportsIndex, crowded: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    float64 distances of the candidates, and the nearest of them.
    """
def device_count() -> int:
    """
    Devices this process can use; 0 without a driver or a card.
    """
def device_of(address: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    The device whose memory the address lies in, or 0.
    """
def draw_rounds(arrays: CoverArrays, scratch: DrawScratch, n_rounds: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Rounds of proposals, accepted one after the other.
    """
def exact_distances(queries: ScaledRows, chosen: typing.SupportsInt | typing.SupportsIndex, n_chosen: typing.SupportsInt | typing.SupportsIndex, rows: ScaledRows, query_rows: typing.SupportsInt | typing.SupportsIndex, dist2: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    float64 dist2 (n_chosen, n_rows) of some queries to all rows.
    """
def farthest_close(arrays: CoverArrays, scratch: FarthestScratch, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The rows of the pool know all centres.
    """
def farthest_pool(arrays: CoverArrays, scratch: FarthestScratch, share: typing.SupportsFloat | typing.SupportsIndex, number: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    The open rows with the largest bounds, up to date.
    """
def farthest_steps(arrays: CoverArrays, scratch: FarthestScratch, n_steps: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Up to n_steps picks inside the pool.
    """
def filter_patches(*, rows: typing.SupportsInt | typing.SupportsIndex, attention: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, n_patches: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, tau: typing.SupportsFloat | typing.SupportsIndex, norm_threshold: typing.SupportsFloat | typing.SupportsIndex, kept: typing.SupportsInt | typing.SupportsIndex, n_kept: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Which patches of every picture are kept: csrc/cuda/patches.h.
    """
def load_panel(rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, columns: typing.SupportsInt | typing.SupportsIndex, column_scale: typing.SupportsInt | typing.SupportsIndex, row_scale: typing.SupportsInt | typing.SupportsIndex, mask: typing.SupportsInt | typing.SupportsIndex, rank: typing.SupportsInt | typing.SupportsIndex, panel_type: typing.SupportsInt | typing.SupportsIndex, panel: typing.SupportsInt | typing.SupportsIndex, rest: typing.SupportsInt | typing.SupportsIndex, n_bad: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Rows selected, scaled and converted (0 float32, 1 float64, 2 tf32, with the rest); 0 for what is not given.
    """
def masked_linear(x: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, n_in: typing.SupportsInt | typing.SupportsIndex, weight: typing.SupportsInt | typing.SupportsIndex, n_out: typing.SupportsInt | typing.SupportsIndex, bits: typing.SupportsInt | typing.SupportsIndex, bytes_step: typing.SupportsInt | typing.SupportsIndex, divisors: typing.SupportsInt | typing.SupportsIndex, site: typing.SupportsInt | typing.SupportsIndex, order: typing.SupportsInt | typing.SupportsIndex, bias: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    A linear map of which every sample has a mask of its own.
    """
def pack_mask(mask: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, bits: typing.SupportsInt | typing.SupportsIndex, ones: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    bits of uint8 values, any but 0 a 1; the int64 ones is added to.
    """
def pack_scores(scores: typing.SupportsInt | typing.SupportsIndex, mu: typing.SupportsFloat | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, bits: typing.SupportsInt | typing.SupportsIndex, counts: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    bits of score > mu; the int64 counts of ones and NaN are added to.
    """
def philox_uniforms(seed: typing.SupportsInt | typing.SupportsIndex, purpose: typing.SupportsInt | typing.SupportsIndex, draw: typing.SupportsInt | typing.SupportsIndex, items: typing.SupportsInt | typing.SupportsIndex, n_items: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Uniforms in [0, 1) for int64 items: the bits of the CPU.
    """
def prepare_points(rows: ScaledRows, frame: Frame, parts: typing.SupportsInt | typing.SupportsIndex, low: typing.SupportsInt | typing.SupportsIndex, tf32: bool, out: Points, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Rows in a frame, `parts` times; the bits of `low` say which have the lower bits.
    """
def reweight_panel(panel: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, rank: typing.SupportsInt | typing.SupportsIndex, panel_type: typing.SupportsInt | typing.SupportsIndex, gram_power: typing.SupportsFloat | typing.SupportsIndex, keep: bool, tau: typing.SupportsInt | typing.SupportsIndex, rest: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    tau = |row|^2 of a panel; keep: each row times tau^(gram_power / 2), in place.
    """
def row_norms2(rows: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, n_bad: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    float64 |row|^2 of every row; rows with NaN or infinity are added to the int64 n_bad.
    """
def scan_tile(products: typing.SupportsInt | typing.SupportsIndex, n_queries: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, first_row: typing.SupportsInt | typing.SupportsIndex, queries: Points, rows: Points, query_rows: typing.SupportsInt | typing.SupportsIndex, n_nearest: typing.SupportsInt | typing.SupportsIndex, candidates: Candidates, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Takes up a tile of products of queries and rows.
    """
def sinkhorn(scores: typing.SupportsInt | typing.SupportsIndex, type: typing.SupportsInt | typing.SupportsIndex, n_rows: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, eps: typing.SupportsFloat | typing.SupportsIndex, n_iterations: typing.SupportsInt | typing.SupportsIndex, plan: typing.SupportsInt | typing.SupportsIndex, column: typing.SupportsInt | typing.SupportsIndex, largest: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Codes of a batch by Sinkhorn's rescaling in the logarithm, in float64.
    """
def small_kmeans(*, points: typing.SupportsInt | typing.SupportsIndex, row_stride: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, offsets: typing.SupportsInt | typing.SupportsIndex, kept: typing.SupportsInt | typing.SupportsIndex, n_kept: typing.SupportsInt | typing.SupportsIndex, width: typing.SupportsInt | typing.SupportsIndex, n_sets: typing.SupportsInt | typing.SupportsIndex, most: typing.SupportsInt | typing.SupportsIndex, names: typing.SupportsInt | typing.SupportsIndex, first_out: typing.SupportsInt | typing.SupportsIndex, n_clusters: typing.SupportsInt | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, max_iter: typing.SupportsInt | typing.SupportsIndex, tol: typing.SupportsFloat | typing.SupportsIndex, scratch: typing.SupportsInt | typing.SupportsIndex, n_blocks: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    k-means of many small sets: csrc/cuda/small_kmeans.h.
    """
def small_kmeans_scratch(n_clusters: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, most: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    float64 numbers of scratch that a block of small_kmeans needs.
    """
def softmax_log_sum(most: typing.SupportsInt | typing.SupportsIndex, total: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, log_sum: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    most + log(total).
    """
def softmax_tile(products: typing.SupportsInt | typing.SupportsIndex, n_queries: typing.SupportsInt | typing.SupportsIndex, n_keys: typing.SupportsInt | typing.SupportsIndex, scale: typing.SupportsFloat | typing.SupportsIndex, bias: typing.SupportsInt | typing.SupportsIndex, self: typing.SupportsInt | typing.SupportsIndex, with_self: bool, most: typing.SupportsInt | typing.SupportsIndex, total: typing.SupportsInt | typing.SupportsIndex, out: typing.SupportsInt | typing.SupportsIndex, n_dims: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Running softmax of a tile of products.
    """
def split_tf32(values: typing.SupportsInt | typing.SupportsIndex, n: typing.SupportsInt | typing.SupportsIndex, high: typing.SupportsInt | typing.SupportsIndex, rest: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    float64 values as float32 of 11 bits, and what is left over with 11 more.
    """
def synchronize(stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Waits for the stream; raises LaunchError when work on it has failed.
    """
def unpack_mask(bits: typing.SupportsInt | typing.SupportsIndex, start: typing.SupportsInt | typing.SupportsIndex, stop: typing.SupportsInt | typing.SupportsIndex, mask: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Weights start .. stop - 1 as 0 or 1.
    """
MOST_SHARED: int = 98304
