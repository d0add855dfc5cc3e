#pragma once
#include <cstdint>

namespace oneglance::cuda {

/// Many small point sets on the device, as include/oneglance/small_kmeans.h describes them for the CPU.
///   points     (., d) float32, row_stride elements from row to row
///   offsets    (n_sets + 1) set i has the rows offsets[i] .. offsets[i + 1] - 1; or null, with
///   kept       (n_sets, width) and n_kept (n_sets): set i has the rows i * width + kept[i][0 .. n_kept[i] - 1]
///   most       points of the largest set
///   names      (n_sets) < 2^32: they key the random numbers
///   first_out  (n_sets) pattern j of set i becomes row first_out[i] + j of out (., d)
///   wide       scratch, small_kmeans_scratch() float64 per block; n_blocks sets are worked on at once
struct DeviceSets {
  const float* points = nullptr;
  std::int64_t row_stride = 0, n_dims = 0;
  const std::int64_t* offsets = nullptr;
  const std::int32_t* kept = nullptr;
  const std::int64_t* n_kept = nullptr;
  std::int64_t width = 0, n_sets = 0, most = 0;
  const std::int64_t *names = nullptr, *first_out = nullptr;
  std::int64_t n_clusters = 1;
  std::uint64_t seed = 0;
  int max_iter = 100;
  double tol = 1e-4;
  double* scratch = nullptr;
  std::int64_t n_blocks = 0;
  float* out = nullptr;
};

/// Numbers of float64 scratch that a block needs.
std::int64_t small_kmeans_scratch(std::int64_t n_clusters, std::int64_t n_dims, std::int64_t most);

/// The patterns of the CPU, bit for bit: labels are those of float64 (distances in float32 where their rounding cannot
/// change a label, else again in float64), sums in float64 in point order. A block per set; points are read once per
/// iteration for the labels and once for the means, from the cache where a set fits there.
/// Returns before the work is done. Throws LaunchError.
void small_kmeans(const DeviceSets& sets, std::uintptr_t stream);

}  // namespace oneglance::cuda
