#include "oneglance/metric_rows.h"

#include <cmath>

#include "bad_rows.h"
#include "oneglance/check.h"
#include "oneglance/distance_kernels.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

struct Place {
  const RowBlock* block;
  std::int64_t offset;
};

Place place_of(const MatrixView& rows, std::int64_t row) {
  const std::size_t block = rows.block_of(row);
  return {&rows.blocks()[block], (row - rows.block_start(block)) * rows.blocks()[block].row_stride};
}

bool widen_plain(const MatrixView& rows, std::int64_t row, double* out) {
  const PanelKernels& kernels = panel_kernels();
  const Place place = place_of(rows, row);
  const std::int64_t n = rows.n_dims();
  switch (place.block->dtype) {
    case DType::float16:
      return kernels.row_f16_to_f64(static_cast<const std::uint16_t*>(place.block->data) + place.offset, n, out);
    case DType::float32:
      return kernels.row_f32_to_f64(static_cast<const float*>(place.block->data) + place.offset, n, out);
    default:
      return kernels.row_f64_to_f64(static_cast<const double*>(place.block->data) + place.offset, n, out);
  }
}

/// use(row, its float64 values) for every used row, rows among the threads. Throws NonFiniteRows, Interrupted.
template <typename Use>
void for_each_row(const MetricRows& rows, const StopRequest& stop, const Use& use) {
  constexpr std::int64_t kLaneRows = 2048;
  const std::int64_t n_rows = rows.n_rows(), n_dims = rows.n_dims();
  BadRows bad;
  const int n_threads = worthwhile_threads(static_cast<double>(n_rows) * static_cast<double>(n_dims));
  for_each_lane((n_rows + kLaneRows - 1) / kLaneRows, n_threads, stop, [&](const Lane& lane) {
    std::vector<double> wide(static_cast<std::size_t>(n_dims));
    const std::int64_t end = std::min(n_rows, (lane.index + 1) * kLaneRows);
    for (std::int64_t row = lane.index * kLaneRows; row < end && lane.keep_going(); ++row) {
      if (!rows.used(row)) continue;
      if (widen_plain(rows.view(), row, wide.data())) {
        use(row, wide.data());
      } else {
        bad.add(row);
      }
    }
  });
  bad.throw_if_any<NonFiniteRows>();
}

}  // namespace

double inverse_norm(double* row, const double* zeros, std::int64_t n) {
  const double plain = distance_kernels().dist2_f64(zeros, row, 1.0, n);
  if (plain > 0x1p-380 && plain < 0x1p398) return 1.0 / std::sqrt(plain);
  double largest = 0.0;
  for (std::int64_t j = 0; j < n; ++j) largest = std::max(largest, std::abs(row[j]));
  if (largest == 0.0) return 0.0;
  int exponent = 0;
  std::frexp(largest, &exponent);
  if (std::abs(exponent) < 200) return 1.0 / std::sqrt(plain);
  for (std::int64_t j = 0; j < n; ++j) row[j] = std::ldexp(row[j], -exponent);
  const double inverse = std::ldexp(1.0 / std::sqrt(distance_kernels().dist2_f64(zeros, row, 1.0, n)), -exponent);
  return std::isfinite(inverse) ? inverse : 0.0;
}

void require_finite_dist2(double dist2) {
  require(std::isfinite(dist2),
          "squared distances between the rows exceed the range of float64. Divide the rows by a power of ten.");
}

MetricRows::MetricRows(const MatrixView& rows, Metric metric, const std::uint8_t* mask, const StopRequest& stop)
    : rows_(&rows), metric_(metric), mask_(mask) {
  if (metric != Metric::cosine) return;
  scale_.assign(static_cast<std::size_t>(rows.n_rows()), 0.0);
  const std::vector<double> zeros(static_cast<std::size_t>(rows.n_dims()));
  BadRows zero;
  for_each_row(*this, stop, [&](std::int64_t row, double* wide) {
    scale_[row] = inverse_norm(wide, zeros.data(), rows.n_dims());
    if (scale_[row] == 0.0) zero.add(row);
  });
  zero.throw_if_any<ZeroRows>();
}

void MetricRows::require_finite(const StopRequest& stop) const {
  for_each_row(*this, stop, [](std::int64_t, const double*) {});
}

bool MetricRows::widen(std::int64_t row, double* out) const {
  const bool finite = widen_plain(*rows_, row, out);
  if (!scale_.empty()) panel_kernels().scale_row_f64(out, scale_[row], n_dims());
  return finite;
}

double MetricRows::dist2(const double* wide, std::int64_t row, float* narrow) const {
  const Place place = place_of(*rows_, row);
  const DistanceKernels& kernels = distance_kernels();
  const std::int64_t n = n_dims();
  switch (place.block->dtype) {
    case DType::float16:
      panel_kernels().row_f16_to_f32(static_cast<const std::uint16_t*>(place.block->data) + place.offset, n, narrow);
      return kernels.dist2_f32(wide, narrow, scale(row), n);
    case DType::float32:
      return kernels.dist2_f32(wide, static_cast<const float*>(place.block->data) + place.offset, scale(row), n);
    default:
      return kernels.dist2_f64(wide, static_cast<const double*>(place.block->data) + place.offset, scale(row), n);
  }
}

}  // namespace oneglance
