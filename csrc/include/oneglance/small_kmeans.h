#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/parallel.h"

namespace oneglance {

/// Many small point sets (the patches of images), each clustered on its own: FreeSel's semantic patterns
/// (arXiv 2309.17342).
///   points   (n, d) float32, contiguous; set i owns rows offsets[i] .. offsets[i+1]-1
///   offsets  (n_sets + 1)
///   names    (n_sets) < 2^32, the item of each set: random numbers are keyed by it, not by the position
struct SmallKMeansInput {
  const float* points = nullptr;
  const std::int64_t* offsets = nullptr;
  const std::int64_t* names = nullptr;
  std::int64_t n_sets = 0, n_dims = 0;
  std::int64_t n_clusters = 1;
  std::uint64_t seed = 0;
  int max_iter = 100;
  double tol = 1e-4;
  StopRequest stop;
};

/// Patterns of the sets in order, flat (m, d), with the offsets of the sets.
struct SmallKMeansResult {
  std::vector<float> patterns;
  std::vector<std::int64_t> offsets;
};

/// A set of m points gives min(n_clusters, m) patterns: its points when n_clusters >= m, their mean when n_clusters
/// is 1, else the centres of Lloyd's algorithm: from n_clusters distinct random points, until
/// (sum of the centres' moves)^2 < tol or max_iter; a centre without points becomes a random point of the set.
/// Labels are those of float64, ties to the lower centre; sums are float64 in point order. The answer of a set
/// depends on its points, its name and the seed only.
/// Cost m K d multiply-adds in float32 per iteration, sets among the threads. Memory O(m d) per thread.
/// Throws NonFiniteRows, Interrupted.
SmallKMeansResult small_kmeans(const SmallKMeansInput& input);

}  // namespace oneglance
