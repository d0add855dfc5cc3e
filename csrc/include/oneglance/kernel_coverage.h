#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/metric_rows.h"

namespace oneglance {

///   evaluate  rows whose coverage counts, ascending; empty: all used rows
///   width     h > 0: the kernel is exp(-dist2 / h)
///   already   rows that cover from the start and are not picked
struct KernelCoverageRequest {
  std::int64_t n_picks = 0;
  double width = 1.0;
  std::vector<std::int64_t> evaluate, already;
  StopRequest stop;
};

///   rows      picks in order, distinct
///   gains     by how much each raised the mean coverage
///   coverage  mean over the evaluated rows of the largest kernel to a chosen row, at the end
///   evaluated kernel values computed, per (used row, evaluated row) pair: 1 for the first gains, and what lazy
///             evaluation needed after them
struct KernelCoverageResult {
  std::vector<std::int64_t> rows;
  std::vector<double> gains;
  double coverage = 0.0;
  double evaluated = 0.0;
};

/// Greedy maximum of the mean over i of max_{s chosen} k(x_i, x_s), Gaussian kernel (MaxHerding, Bae et al., ECCV
/// 2024). A gain only shrinks as others are picked (submodular), so an old one is an upper bound: candidates with the
/// largest bounds are evaluated together by one product, and greedy goes on among them while its best beats every
/// bound outside. Ties go to the lower row.
///
/// Products and kernel values are float32, sums float64 in row order: the same picks for any number of threads and
/// shards on one type of processor; at near-ties (1e-6) another type may decide otherwise.
/// Cost about n m d multiply-adds for the first gains (m evaluated rows), and m d per later evaluation. Memory
/// O(n) and at most 64 MB of kernel columns; nothing (n, n). Throws NonFiniteRows, InvalidInput, Interrupted.
KernelCoverageResult kernel_coverage(const MetricRows& rows, const KernelCoverageRequest& request);

}  // namespace oneglance
