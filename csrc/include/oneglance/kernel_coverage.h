#pragma once
#include <cstdint>
#include <limits>
#include <vector>

#include "oneglance/metric_rows.h"

namespace oneglance {

///   evaluate  rows whose coverage counts, ascending; empty: all used rows
///   width     h > 0: the kernel is exp(-dist2 / h)
///   already   rows that cover from the start and are not picked
///   weights   (n_rows,) >= 0, some row that counts has more: how much it counts. Empty: all alike
///   costs     (n_rows,) > 0, and the money there is: greedy takes what it can still pay, and stops where that is
///             nothing. Empty: n_picks rows
///   by_cost   the largest gain per cost, not the largest gain
struct KernelCoverageRequest {
  std::int64_t n_picks = 0;
  double width = 1.0;
  std::vector<std::int64_t> evaluate, already;
  std::vector<double> weights, costs;
  double budget = std::numeric_limits<double>::infinity();
  bool by_cost = false;
  StopRequest stop;
};

///   rows      picks in order, distinct
///   gains     by how much each raised the mean coverage
///   coverage  mean over the evaluated rows of the largest kernel to a chosen row, at the end
///   evaluated kernel values computed, per (used row, evaluated row) pair
struct KernelCoverageResult {
  std::vector<std::int64_t> rows;
  std::vector<double> gains;
  double coverage = 0.0;
  double evaluated = 0.0;
};

/// Greedy maximum of the (weighted) mean over i of max_{s chosen} k(x_i, x_s), Gaussian kernel (MaxHerding, Bae et
/// al., ECCV 2024). A gain only shrinks as others are picked (submodular), so an old one is an upper bound, and only
/// candidates whose bound is the largest need a new one. Ties go to the lower row.
///
/// After the first picks few rows are served better by a given candidate than by what is chosen. Candidates keep
/// lists of these, so that most gains need no product (near_lists.h); others come from columns of the kernel, several
/// at once. One pass over all pairs, each computed once, gives the first gains, the gains after a first pick that a
/// sample of the rows has foretold, and the lists; another pass follows when half as much was spent on columns.
///
/// Products and kernel values are float32, and kernel values are multiples of 2^-30, so that float64 sums of up to
/// 2^23 of them are exact in any order: the same picks for any number of threads and shards on one type of
/// processor; at near-ties (1e-6) another type may decide otherwise.
/// Cost: n^2 d / 2 multiply-adds for a pass (n m d where m < n / 2 rows are evaluated), usually one to three of them,
/// and m d per column. Memory 64 MB and about 1 kB per row; nothing (n, n).
/// Throws NonFiniteRows, InvalidInput, Interrupted.
KernelCoverageResult kernel_coverage(const MetricRows& rows, const KernelCoverageRequest& request);

}  // namespace oneglance
