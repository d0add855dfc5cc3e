#pragma once
#include "oneglance/basis.h"

namespace oneglance {

struct LeverageReport {
  std::int64_t rank = 0;
  int passes = 0;
  bool float32_products = false;
  double condition = 1.0;
};

/// Leverage scores tau_i = a_i' (A'A)^+ a_i in [0, 1]; they sum to rank(A). Zero or masked rows get 0.
///
///   source  rows, mask, row_scale, stop; columns are found here
///   tau     (n,) out
///
/// Relative error about 1e-6 for float16/32 rows, 1e-11 for float64 rows; the arithmetic is chosen from
/// the measured condition. Two readings and 2 n d^2 flops when well conditioned.
LeverageReport leverage_scores(RowSource source, double* tau);

}  // namespace oneglance
