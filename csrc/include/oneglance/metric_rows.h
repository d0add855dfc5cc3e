#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/matrix_view.h"
#include "oneglance/parallel.h"

namespace oneglance {

enum class Metric : std::uint8_t { sqeuclidean, cosine };

/// 1 / |row|, or 0 for a row of zeros, and of numbers so small that it is beyond float64. Rows far from 1 are brought
/// near it by a power of two, so that squares neither overflow nor vanish: `row` is not what it was then. zeros (n,).
double inverse_norm(double* row, const double* zeros, std::int64_t n);

/// Throws InvalidInput when a squared distance has left float64.
void require_finite_dist2(double dist2);

/// Rows with a metric. Every distance between two rows is defined in float64 on the stored values:
///   sqeuclidean  sum_j (x_j - y_j)^2
///   cosine       half of that for the rows times 1 / |row|; so 1 - cos, and exactly 0 for equal rows
/// Inside the core cosine distances go without the half: `dist2` is the sum of squares in both cases.
class MetricRows {
 public:
  /// Cosine measures every row that the mask (n,) keeps: one reading. Throws NonFiniteRows, ZeroRows, Interrupted.
  MetricRows(const MatrixView& rows, Metric metric, const std::uint8_t* mask, const StopRequest& stop);

  /// Reads every used row once. Throws NonFiniteRows, Interrupted.
  void require_finite(const StopRequest& stop) const;

  std::int64_t n_rows() const { return rows_->n_rows(); }
  std::int64_t n_dims() const { return rows_->n_dims(); }
  Metric metric() const { return metric_; }
  const MatrixView& view() const { return *rows_; }
  bool used(std::int64_t row) const { return mask_ == nullptr || mask_[row] != 0; }
  /// What a row is multiplied by: 1, or 1 / |row|.
  double scale(std::int64_t row) const { return scale_.empty() ? 1.0 : scale_[row]; }

  /// row (d,) float64, scaled. False when it has NaN or infinity.
  bool widen(std::int64_t row, double* out) const;
  /// dist2 between a widened row and a row of this matrix; `narrow` is scratch (d,).
  double dist2(const double* wide, std::int64_t row, float* narrow) const;

 private:
  const MatrixView* rows_;
  Metric metric_;
  const std::uint8_t* mask_;
  std::vector<double> scale_;
};

}  // namespace oneglance
