#pragma once
#include <cstdint>
#include <vector>

#include "bad_rows.h"
#include "oneglance/bilaf.h"

namespace oneglance {

/// The members of one class, widened once. Positions are those in the class.
class ClassMembers {
 public:
  ClassMembers(const MetricRows& rows, const Classes& classes, std::int64_t number, BadRows& bad);

  /// Measures all pairs once and keeps them, when that takes at most so many bytes. Answers are the same.
  void keep_distances(std::int64_t most_bytes);

  std::int64_t size() const { return n_; }
  std::int64_t core() const { return core_; }
  std::int64_t row(std::int64_t i) const { return rows_[i]; }
  const double* wide(std::int64_t i) const { return wide_.data() + i * d_; }

  static constexpr std::int64_t kTile = 4;  // so many `from` at once keep what is measured in the first cache
  /// Euclidean distances of from[0..n_from) to to[0..n_to): (n_from, n_to), each decided in float64.
  void measure(const std::int64_t* from, std::int64_t n_from, const std::int64_t* to, std::int64_t n_to,
               double* out) const;

 private:
  void compute(const std::int64_t* from, std::int64_t n_from, const std::int64_t* to, std::int64_t n_to,
               double* out) const;

  std::int64_t d_;
  const std::int64_t* rows_;
  std::int64_t n_;
  std::int64_t core_ = 0;
  std::vector<double> wide_;  // (n, d)
  std::vector<double> kept_;  // (n, n), or empty
};

}  // namespace oneglance
