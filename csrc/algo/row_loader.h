#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "bad_rows.h"
#include "oneglance/panel_kernels.h"
#include "oneglance/panel_pass.h"

namespace oneglance {

/// Brings rows into a panel: converted, columns selected and scaled, left-out rows as zeros.
template <typename Real>
class Loader {
 public:
  explicit Loader(const RowSource& source)
      : source_(source),
        kernels_(panel_kernels()),
        all_columns_(is_identity(source.columns, source.rows->n_dims())),
        scale_(source.column_scale.begin(), source.column_scale.end()),
        scaled_(std::any_of(scale_.begin(), scale_.end(), [](Real s) { return s != Real(1); })),
        whole_row_(all_columns_ ? 0 : static_cast<std::size_t>(source.rows->n_dims())),
        wide_row_(scaled_ && std::is_same_v<Real, float> ? static_cast<std::size_t>(source.rows->n_dims()) : 0) {}

  void load(std::int64_t first_row, std::int64_t n_rows, Real* panel, BadRows& bad) {
    const auto rank = static_cast<std::int64_t>(source_.columns.size());
    const MatrixView& rows = *source_.rows;
    std::size_t block = rows.block_of(first_row);
    for (std::int64_t i = 0; i < n_rows; ++i) {
      const std::int64_t row = first_row + i;
      Real* out = panel + i * rank;
      while (row >= rows.block_start(block) + rows.blocks()[block].n_rows) ++block;
      if (source_.mask != nullptr && source_.mask[row] == 0) {
        std::fill_n(out, rank, Real(0));
        continue;
      }
      if (!convert(rows.blocks()[block], row - rows.block_start(block), out)) bad.add(row);
      if (source_.row_scale != nullptr) scale_row(out, static_cast<Real>(source_.row_scale[row]), rank);
    }
  }

 private:
  static bool is_identity(const std::vector<std::int32_t>& columns, std::int64_t n_dims) {
    if (static_cast<std::int64_t>(columns.size()) != n_dims) return false;
    for (std::int64_t j = 0; j < n_dims; ++j) {
      if (columns[j] != j) return false;
    }
    return true;
  }

  bool convert(const RowBlock& block, std::int64_t row, Real* out) {
    const std::int64_t offset = row * block.row_stride;
    const std::size_t rank = source_.columns.size();
    if (block.dtype == DType::float64 && !wide_row_.empty()) {
      // Scale before rounding to float32: the numbers may be far outside its range.
      const auto* from = static_cast<const double*>(block.data) + offset;
      const bool finite = kernels_.row_f64_to_f64(from, source_.rows->n_dims(), wide_row_.data());
      for (std::size_t j = 0; j < rank; ++j) {
        out[j] = static_cast<Real>(wide_row_[source_.columns[j]] * source_.column_scale[j]);
      }
      return finite;
    }
    Real* target = all_columns_ ? out : whole_row_.data();
    const bool finite = convert_whole(block, offset, target);
    if (!all_columns_) {
      for (std::size_t j = 0; j < rank; ++j) out[j] = whole_row_[source_.columns[j]];
    }
    if (scaled_) scale_columns(out, static_cast<std::int64_t>(rank));
    return finite;
  }

  bool convert_whole(const RowBlock& block, std::int64_t offset, Real* target) {
    const std::int64_t n = source_.rows->n_dims();
    constexpr bool single = std::is_same_v<Real, float>;
    if (block.dtype == DType::float16) {
      const auto* from = static_cast<const std::uint16_t*>(block.data) + offset;
      if constexpr (single) return kernels_.row_f16_to_f32(from, n, target);
      if constexpr (!single) return kernels_.row_f16_to_f64(from, n, target);
    }
    if (block.dtype == DType::float32) {
      const auto* from = static_cast<const float*>(block.data) + offset;
      if constexpr (single) return kernels_.row_f32_to_f32(from, n, target);
      if constexpr (!single) return kernels_.row_f32_to_f64(from, n, target);
    }
    const auto* from = static_cast<const double*>(block.data) + offset;
    if constexpr (single) return kernels_.row_f64_to_f32(from, n, target);
    if constexpr (!single) return kernels_.row_f64_to_f64(from, n, target);
  }

  void scale_columns(Real* row, std::int64_t n) const {
    if constexpr (std::is_same_v<Real, float>) {
      kernels_.scale_columns_f32(row, scale_.data(), n);
    } else {
      kernels_.scale_columns_f64(row, scale_.data(), n);
    }
  }
  void scale_row(Real* row, Real factor, std::int64_t n) const {
    if constexpr (std::is_same_v<Real, float>) {
      kernels_.scale_row_f32(row, factor, n);
    } else {
      kernels_.scale_row_f64(row, factor, n);
    }
  }

  const RowSource& source_;
  const PanelKernels& kernels_;
  bool all_columns_;
  std::vector<Real> scale_;
  bool scaled_;
  std::vector<Real> whole_row_;
  std::vector<double> wide_row_;
};

}  // namespace oneglance
