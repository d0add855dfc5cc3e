#pragma once
#include <cstdint>

namespace oneglance {

/// Inner loops over a panel (a block of rows in cache), one table per instruction set.
/// Raw pointers in and out; a unit compiled for one instruction set exports only its table.
struct PanelKernels {
  /// dst[j] = float(src[j]); returns false when any src[j] is NaN or infinite.
  bool (*row_f16_to_f32)(const std::uint16_t* src, std::int64_t n, float* dst);
  bool (*row_f16_to_f64)(const std::uint16_t* src, std::int64_t n, double* dst);
  bool (*row_f32_to_f32)(const float* src, std::int64_t n, float* dst);
  bool (*row_f32_to_f64)(const float* src, std::int64_t n, double* dst);
  bool (*row_f64_to_f32)(const double* src, std::int64_t n, float* dst);
  bool (*row_f64_to_f64)(const double* src, std::int64_t n, double* dst);
  /// row[j] *= scale[j]
  void (*scale_columns_f32)(float* row, const float* scale, std::int64_t n);
  void (*scale_columns_f64)(double* row, const double* scale, std::int64_t n);
  /// Sum of squares of a row, added up in float64 (a float32 square would underflow below 1e-19).
  double (*sum_squares_f32)(const float* row, std::int64_t n);
  double (*sum_squares_f64)(const double* row, std::int64_t n);
  /// row[j] *= factor
  void (*scale_row_f32)(float* row, float factor, std::int64_t n);
  void (*scale_row_f64)(double* row, double factor, std::int64_t n);
  /// sum[j] += term[j]
  void (*add_f32)(double* sum, const float* term, std::int64_t n);
  void (*add_f64)(double* sum, const double* term, std::int64_t n);
  /// products[i * n_centers + c] = row i dot centre c, contiguous rows of n numbers; for a few short centres, where
  /// a BLAS call would cost more than the products.
  void (*dots_f32)(const float* rows, std::int64_t n_rows, const float* centers, std::int64_t n_centers, std::int64_t n,
                   float* products);
  /// mean[j] = (sum over i, in this order and in float64, of rows[i][j]) / n_rows
  void (*mean_rows_f32)(const float* const* rows, std::int64_t n_rows, std::int64_t n, double* mean);
  /// values[j] = exp((values[j] - shift) * scale), relative error below 3e-7; 0 below about e^-87
  void (*exp_scaled_f32)(float* values, float scale, float shift, std::int64_t n);
  /// sum of a row, added up in float64
  double (*sum_f32)(const float* row, std::int64_t n);
  /// sum of max(0, column[j] - current[j]), added up in float64
  double (*gain_f32)(const float* column, const float* current, std::int64_t n);
  /// products[j] = exp(min(0, products[j] - (norms2[j] + norm2)) * scale), a multiple of 2^-30
  void (*gauss_f32)(float* products, const float* norms2, float norm2, float scale, std::int64_t n);
  /// out[j] = values[j] * weights[j], or * weight: multiples of 2^-30, for what is about 1 at most
  void (*weigh_f32)(const float* values, const float* weights, std::int64_t n, float* out);
  void (*weigh_by_f32)(const float* values, float weight, std::int64_t n, float* out);
  /// sums[j] += max(0, values[j] - level)
  void (*add_gains_f32)(const float* values, float level, std::int64_t n, double* sums);
  /// positions[0..count) of values[j] > levels[j] + more, ascending; room for n + 1 of them. Returns the count.
  std::int64_t (*above_f32)(const float* values, const float* levels, float more, std::int64_t n,
                            std::int32_t* positions);
  /// out[i] = rows[i] dot x for n_rows rows of n numbers, products and sums in float64
  void (*times_f32)(const float* const* rows, std::int64_t n_rows, const double* x, std::int64_t n, double* out);
  void (*times_f64)(const double* const* rows, std::int64_t n_rows, const double* x, std::int64_t n, double* out);
  /// y[j] += sum over i of factors[i] * rows[i][j], in float64
  void (*add_rows_f32)(const float* const* rows, std::int64_t n_rows, const double* factors, std::int64_t n, double* y);
  void (*add_rows_f64)(const double* const* rows, std::int64_t n_rows, const double* factors, std::int64_t n,
                       double* y);
};

/// The table of the active instruction set.
const PanelKernels& panel_kernels();

}  // namespace oneglance
