#include "small_kmeans.h"

#include <cmath>

#include "oneglance/philox.h"
#include "simt.h"

namespace oneglance::cuda {
namespace {

using simt::lane;
using simt::thread;

// Purposes of python/oneglance/_rng.py.
constexpr std::uint32_t kKMeans = 7, kPattern = 8;
constexpr int kWarps = simt::kThreads / 32, kTogether = 8;

/// One set, and the block's scratch for it.
struct Set {
  const float* points;
  std::int64_t row_stride, n_dims, first;
  const std::int32_t* kept;
  std::int64_t m;
  double *centers, *moved, *keys;  // (K, d), (K, d), (m)
  float* near;                     // (K, d) centres in float32
  std::int32_t* labels;            // (m)
};

SIMT_DEVICE const float* point(const Set& set, std::int64_t i) {
  return set.points + (set.first + (set.kept == nullptr ? i : set.kept[i])) * set.row_stride;
}

/// The sum of (x - y)^2 in the order of the CPU, by half a warp; both halves of the warp come here with the same.
template <typename X>
SIMT_DEVICE double dist2(const X* x, const double* y, std::int64_t n) {
  double sum = 0.0;
  for (std::int64_t j = lane() % 16; j < n; j += 16) {
    const double difference = static_cast<double>(x[j]) - y[j];
    sum = simt::add_rn(sum, simt::mul_rn(difference, difference));
  }
  for (int step = 8; step > 0; step /= 2) sum += simt::shuffle_xor(sum, step);
  return sum;
}

/// Centres at the K points with the smallest of their random numbers, in this order.
SIMT_DEVICE void start(const Set& set, std::int64_t k, std::uint64_t seed, std::uint32_t name) {
  for (std::int64_t i = thread(); i < set.m; i += simt::kThreads) {
    set.keys[i] = philox_uniform(seed, kPattern, name, static_cast<std::uint64_t>(i));
  }
  simt::sync_block();
  for (std::int64_t i = thread(); i < set.m; i += simt::kThreads) {
    std::int64_t rank = 0;
    for (std::int64_t other = 0; other < set.m && rank < k; ++other) {
      rank += set.keys[other] < set.keys[i] || (set.keys[other] == set.keys[i] && other < i) ? 1 : 0;
    }
    if (rank < k) set.labels[rank] = static_cast<std::int32_t>(i);
  }
  simt::sync_block();
  for (std::int64_t c = 0; c < k; ++c) {
    const float* from = point(set, set.labels[c]);
    for (std::int64_t j = thread(); j < set.n_dims; j += simt::kThreads) set.centers[c * set.n_dims + j] = from[j];
  }
  simt::sync_block();
}

/// What the float32 sum of a squared distance may be off by, when centres have norms up to `largest`.
SIMT_DEVICE double error_of(double value, double largest, std::int64_t n_dims) {
  constexpr double kRoundoff = 0x1p-24;
  const double terms = static_cast<double>(n_dims) / 16.0 + 16.0;
  return kRoundoff * (2.0 * terms * value + 3.0 * largest * sqrt(value)) + 0x1p-46 * largest * largest + 1e-30;
}

/// The label of point i, by a warp.
SIMT_DEVICE std::int32_t nearest_center(const Set& set, std::int64_t i, std::int64_t k, double largest) {
  const float* x = point(set, i);
  float best = INFINITY, second = INFINITY;
  std::int64_t label = 0;
  bool finite = true;
  for (std::int64_t c = 0; c < k; c += kTogether) {
    float sum[kTogether];
    for (int t = 0; t < kTogether; ++t) sum[t] = 0.0f;
    for (std::int64_t j = lane(); j < set.n_dims; j += 32) {
      const float mine = x[j];
      for (int t = 0; t < kTogether; ++t) {
        if (c + t >= k) continue;
        const float difference = mine - set.near[(c + t) * set.n_dims + j];
        sum[t] = fmaf(difference, difference, sum[t]);
      }
    }
    for (int t = 0; t < kTogether; ++t) {
      const float value = simt::warp_sum(sum[t]);
      if (c + t >= k) continue;
      finite = finite && value - value == 0.0f;
      if (value < best) {
        second = best;
        best = value;
        label = c + t;
      } else if (value < second) {
        second = value;
      }
    }
  }
  const double low = best, high = second;
  const bool sure = finite && low + error_of(low, largest, set.n_dims) < high - error_of(high, largest, set.n_dims);
  if (sure) return static_cast<std::int32_t>(label);  // all lanes have the same sums
  double nearest = INFINITY;
  label = -1;
  for (std::int64_t c = 0; c < k; ++c) {
    const double value = dist2(x, set.centers + c * set.n_dims, set.n_dims);
    if (label < 0 || value < nearest) {
      nearest = value;
      label = c;
    }
  }
  return static_cast<std::int32_t>(label);
}

/// moved = the means of the points of each label, summed in their order; a column belongs to one thread. The number of
/// points of each centre in n_points.
SIMT_DEVICE void average(const Set& set, std::int64_t k, std::int64_t* n_points) {
  for (std::int64_t j = thread(); j < set.n_dims; j += simt::kThreads) {
    for (std::int64_t c = 0; c < k; ++c) set.moved[c * set.n_dims + j] = 0.0;
    for (std::int64_t i = 0; i < set.m; ++i) set.moved[set.labels[i] * set.n_dims + j] += point(set, i)[j];
  }
  for (std::int64_t c = thread(); c < k; c += simt::kThreads) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < set.m; ++i) count += set.labels[i] == c ? 1 : 0;
    n_points[c] = count;
  }
  simt::sync_block();
}

/// Lloyd's algorithm as in algo/small_kmeans.cpp; the centres are in set.centers.
SIMT_DEVICE void lloyd(Set& set, const DeviceSets& sets, std::uint32_t name, std::int64_t* n_points, double* shifts) {
  SIMT_SHARED(double, largest, 1);
  const std::int64_t k = sets.n_clusters, d = set.n_dims;
  start(set, k, sets.seed, name);
  for (int t = 0; t < sets.max_iter; ++t) {
    for (std::int64_t c = simt::warp(); c < k; c += kWarps) {
      double norm2 = 0.0;
      for (std::int64_t j = lane(); j < d; j += 32) {
        const double value = set.centers[c * d + j];
        set.near[c * d + j] = static_cast<float>(value);
        norm2 += value * value;
      }
      norm2 = simt::warp_sum(norm2);
      if (lane() == 0) shifts[c] = norm2;
    }
    simt::sync_block();
    if (thread() == 0) {
      double most = 0.0;
      for (std::int64_t c = 0; c < k; ++c) most = shifts[c] > most ? shifts[c] : most;
      largest[0] = sqrt(most) * (1.0 + 1e-12);
    }
    simt::sync_block();
    for (std::int64_t i = simt::warp(); i < set.m; i += kWarps) {
      const std::int32_t label = nearest_center(set, i, k, largest[0]);
      if (lane() == 0) set.labels[i] = label;
    }
    simt::sync_block();
    average(set, k, n_points);
    for (std::int64_t c = simt::warp(); c < k; c += kWarps) {
      const double count = static_cast<double>(n_points[c]);
      const double u = philox_uniform(sets.seed, kKMeans, name, static_cast<std::uint64_t>(c * 128 + t));
      const float* other = point(set, static_cast<std::int64_t>(static_cast<double>(set.m) * u));
      for (std::int64_t j = lane(); j < d; j += 32) {
        set.moved[c * d + j] = count > 0.0 ? set.moved[c * d + j] / count : static_cast<double>(other[j]);
      }
      simt::sync_warp();
      const double moved2 = dist2(set.moved + c * d, set.centers + c * d, d);
      if (lane() == 0) shifts[c] = sqrt(moved2);
    }
    simt::sync_block();
    double shift = 0.0;
    for (std::int64_t c = 0; c < k; ++c) shift += shifts[c];
    simt::sync_block();  // the shifts have been read: norms take their place
    double* old = set.centers;
    set.centers = set.moved;
    set.moved = old;
    if (shift * shift < sets.tol) break;
  }
}

SIMT_DEVICE void mean_of_all(const Set& set, float* out) {
  for (std::int64_t j = thread(); j < set.n_dims; j += simt::kThreads) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < set.m; ++i) sum += point(set, i)[j];
    out[j] = static_cast<float>(sum / static_cast<double>(set.m));
  }
}

/// Where the parts of a block's scratch begin, in float64 numbers.
struct Layout {
  std::int64_t moved, keys, counts, shifts, near, labels, end;
};
Layout layout_of(std::int64_t k, std::int64_t d, std::int64_t most) {
  Layout at{};
  at.moved = k * d;
  at.keys = at.moved + k * d;
  at.counts = at.keys + most;
  at.shifts = at.counts + k;
  at.near = at.shifts + k;
  at.labels = at.near + (k * d + 1) / 2;
  at.end = at.labels + (most + 1) / 2;
  return at;
}

SIMT_KERNEL kmeans_kernel(DeviceSets sets, Layout at) {
  const std::int64_t k = sets.n_clusters, d = sets.n_dims;
  double* mine = sets.scratch + simt::block() * at.end;
  for (std::int64_t i = simt::block(); i < sets.n_sets; i += simt::grid_size()) {
    Set set{sets.points,
            sets.row_stride,
            d,
            0,
            nullptr,
            0,
            mine,
            mine + at.moved,
            mine + at.keys,
            reinterpret_cast<float*>(mine + at.near),
            reinterpret_cast<std::int32_t*>(mine + at.labels)};
    if (sets.kept == nullptr) {
      set.first = sets.offsets[i];
      set.m = sets.offsets[i + 1] - set.first;
    } else {
      set.first = i * sets.width;
      set.kept = sets.kept + i * sets.width;
      set.m = sets.n_kept[i];
    }
    float* out = sets.out + sets.first_out[i] * d;
    if (k >= set.m) {
      for (std::int64_t p = 0; p < set.m; ++p) {
        for (std::int64_t j = thread(); j < d; j += simt::kThreads) out[p * d + j] = point(set, p)[j];
      }
    } else if (k == 1) {
      mean_of_all(set, out);
    } else {
      lloyd(set, sets, static_cast<std::uint32_t>(sets.names[i]), reinterpret_cast<std::int64_t*>(mine + at.counts),
            mine + at.shifts);
      for (std::int64_t j = thread(); j < k * d; j += simt::kThreads) out[j] = static_cast<float>(set.centers[j]);
    }
    simt::sync_block();  // the scratch is free for the next set
  }
}

}  // namespace

std::int64_t small_kmeans_scratch(std::int64_t n_clusters, std::int64_t n_dims, std::int64_t most) {
  return layout_of(n_clusters, n_dims, most).end;
}

void small_kmeans(const DeviceSets& sets, std::uintptr_t stream) {
  const std::int64_t n_blocks = sets.n_blocks < sets.n_sets ? sets.n_blocks : sets.n_sets;
  simt::launch("small_kmeans", kmeans_kernel, simt::Geometry{n_blocks, simt::kThreads, 0}, stream, sets,
               layout_of(sets.n_clusters, sets.n_dims, sets.most));
}

}  // namespace oneglance::cuda
