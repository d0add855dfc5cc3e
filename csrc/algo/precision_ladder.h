#pragma once
#include <algorithm>
#include <cstdint>

#include "oneglance/lewis.h"
#include "oneglance/precision.h"

namespace oneglance {

/// Which arithmetic the next pass uses: float32 while it helps, float64 to finish where it must.
class PrecisionLadder {
 public:
  PrecisionLadder(const RowSource& source, std::int64_t rank, double condition, const LewisOptions& options)
      : tol_(options.tol), rounding_(float32_residual(condition, source.rows->n_rows(), rank)) {
    const bool small = is_small_work(source.rows->n_rows(), source.rows->n_dims());
    float32_to_the_end_ =
        !small && !source.rows->has_float64() && float32_products_suffice(condition) && rounding_ <= tol_;
    // At p = 2 the start is all but the answer: there is no way to go that float32 could shorten.
    float32_ = float32_to_the_end_ || (!small && options.p != 2.0 && float32_products_help(condition));
  }

  bool float32() const { return float32_; }
  /// Whether a pass as it is done now may decide convergence.
  bool decides() const { return float32_to_the_end_ || !float32_; }
  void to_float64() { float32_ = false; }

  /// After a float32 pass: chooses the next, and says whether what was seen is mostly rounding.
  bool lost_in_rounding(double residual, bool slow, int stalled) {
    if (!float32_) return false;
    const bool unforeseen = (residual < 30.0 * tol_ && slow) || stalled >= 3;
    const bool lost = unforeseen || (!float32_to_the_end_ && residual < 2.0 * rounding_);
    // Change over before rounding spoils the differences that mixing lives on.
    const bool near = !float32_to_the_end_ && residual <= std::max(10.0 * tol_, 4.0 * rounding_);
    float32_ = !lost && !near;
    return lost;
  }

 private:
  double tol_, rounding_;
  bool float32_to_the_end_ = false, float32_ = false;
};

}  // namespace oneglance
