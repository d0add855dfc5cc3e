#pragma once
#include <cstdint>

namespace oneglance {

/// Inner loops of distances, one table per instruction set. "Proposing" loops are float32 and covered by an
/// error bound (propose.h); "deciding" loops are float64 in one summation order, the same bits everywhere.
struct DistanceKernels {
  /// row[j] = row[j] * scale - shift[j]
  void (*shift_f32)(float* row, float scale, const float* shift, std::int64_t n);
  /// dst[j] = float(row[j] * scale - shift[j])
  void (*shift_f64)(const double* row, double scale, const float* shift, std::int64_t n, float* dst);

  /// Deciding: sum_j (x[j] - y[j] * scale)^2. Term j goes to sum j mod 16; the 16 sums are added as a tree.
  double (*dist2_f32)(const double* x, const float* y, double scale, std::int64_t n);
  double (*dist2_f64)(const double* x, const double* y, double scale, std::int64_t n);
  /// dist2[k] = dist2_f64(x, rows[k], 1, n), the same bits, several at once
  void (*dist2_rows_f64)(const double* x, const double* const* rows, std::int64_t n_rows, std::int64_t n,
                         double* dist2);

  /// Proposing: lower[j] = base[j] + product[j] - norm * slope[j]. The two smallest, second >= first (+inf
  /// where there are fewer).
  void (*two_lowest)(const float* product, const float* base, const float* slope, float norm, std::int64_t n,
                     float* first, float* second);
  /// Proposing: positions with lower[j] <= most, ascending, and their lower[j]; returns how many.
  std::int64_t (*collect)(const float* product, const float* base, const float* slope, float norm, float most,
                          std::int64_t n, std::int32_t* positions, float* lower);
};

/// The table of the active instruction set.
const DistanceKernels& distance_kernels();

}  // namespace oneglance
