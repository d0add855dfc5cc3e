#pragma once
#include <cmath>
#include <cstdint>

namespace oneglance {

/// Below this many multiply-adds in a product (n d^2) float64 costs some 20 ms and is simply used.
/// 2^31 unless changed by set_small_work (tests do, to see the float32 paths on small matrices).
bool is_small_work(std::int64_t n_rows, std::int64_t n_dims);
void set_small_work(std::int64_t n_multiply_adds);

/// Largest bound eps * condition^2 on the error of a Gram matrix for which float32 rows need no
/// correction. The bound is pessimistic: at 1.5e-5 the scores are off by 8e-6 at most, at 2e-6 by 1e-6.
constexpr double kExactGramError = 3e-6;

/// Relative error of a_i' G^-1 a_i by float32 products. Measured: its maximum over 20000 rows grows like
/// 1e-7 * condition (tests/contract/test_linalg.py).
inline double float32_score_error(double condition) { return 2e-7 * condition; }

/// Whether float32 products keep that error near 3e-6.
inline bool float32_products_suffice(double condition) { return condition <= 32.0; }

/// The residual (|P - I|_2 of lewis.h) that rounding alone leaves in float32 passes: between half and
/// twice this on real features from 7x to 130x as many rows as columns, up to thrice on coherent rows.
inline double float32_residual(double condition, std::int64_t n_rows, std::int64_t rank) {
  return 2e-6 * condition * std::sqrt(static_cast<double>(rank) / static_cast<double>(n_rows));
}

/// Whether float32 products are good enough to come near the fixed point before float64 finishes.
inline bool float32_products_help(double condition) { return condition <= 3e3; }

}  // namespace oneglance
