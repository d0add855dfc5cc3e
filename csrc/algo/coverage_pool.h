#pragma once
#include <cstdint>
#include <vector>

#include "kernel_values.h"
#include "near_lists.h"
#include "oneglance/kernel_coverage.h"

namespace oneglance {

/// Candidates and evaluated rows of a kernel coverage, and the kernel between them. Candidates are all used rows;
/// where half of them or more are evaluated, all are, and those that do not count have an infinite level, so that a
/// pass computes every pair once.
///
/// A level is what an evaluated row has already; a candidate's gain is the sum over the evaluated rows of
/// max(0, weight * kernel - level). Weights are in units of the largest.
class CoveragePool {
 public:
  CoveragePool(const MetricRows& rows, const KernelCoverageRequest& request);

  std::int64_t n_candidates() const { return static_cast<std::int64_t>(candidates_.size()); }
  std::int64_t n_evaluated() const { return static_cast<std::int64_t>(evaluated_.size()); }
  std::int64_t row(std::int64_t candidate) const { return candidates_[static_cast<std::size_t>(candidate)]; }
  /// The candidate that is this row, which is used.
  std::int64_t candidate(std::int64_t row) const;
  /// Levels before anything is chosen: 0, or infinite where a row does not count.
  const std::vector<float>& lowest_levels() const { return lowest_; }
  /// Sum of the weights: what gains are divided by.
  double total() const { return total_; }
  /// Kernel values computed, per (used row, evaluated row).
  double work() const { return n_values_ / (static_cast<double>(n_candidates()) * static_cast<double>(n_evaluated())); }
  /// Work of a pass.
  double pass_work() const { return symmetric_ ? 0.5 : 1.0; }

  /// Columns of these candidates: out (their number, n_evaluated).
  void columns(const std::vector<std::int64_t>& candidates, std::vector<float>& out);
  double gain(const float* column, const std::vector<float>& levels) const;
  /// Gains of all candidates over the levels of a sample of the evaluated rows: (n_candidates,).
  std::vector<double> sampled_gains(const std::vector<float>& levels);
  /// Gains of all candidates over two sets of levels, `then` nowhere below `now`, and their lists over `then`, which
  /// were opened before: (n_candidates,) each.
  void pass(const std::vector<float>& now, const std::vector<float>& then, NearLists& lists,
            std::vector<double>& gains_now, std::vector<double>& gains_then);

 private:
  struct Scratch {
    KernelValues::Side a, b;
    std::vector<float> kernel, weighted;
    std::vector<std::int32_t> positions;
  };
  struct Pass;

  int threads_for(double n_values) const;
  const float* weighted(const float* values, std::int64_t first, std::int64_t n, Scratch& scratch) const;
  void rows_gain(Pass& pass, std::int64_t first, std::int64_t tile, Scratch& scratch) const;
  void columns_gain(Pass& pass, std::int64_t first, std::int64_t tile, Scratch& scratch) const;

  const MetricRows& rows_;
  KernelValues values_;
  StopRequest stop_;
  bool symmetric_;
  std::vector<std::int64_t> candidates_, evaluated_;
  std::vector<float> weights_;  // (n_evaluated,), or empty: all 1
  std::vector<float> lowest_;
  double total_ = 0.0;
  double n_values_ = 0.0;
};

}  // namespace oneglance
