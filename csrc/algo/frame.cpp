#include <algorithm>
#include <cmath>
#include <limits>

#include "oneglance/distance_kernels.h"
#include "oneglance/panel_kernels.h"
#include "propose.h"

namespace oneglance {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Rows of the sample have a norm of about 1: underflow of products, at most 2^-126 per term, is far less.
constexpr double kTiny = 1e-30;

float round_down(double value) { return -round_up(-value); }

/// Row in the frame, straight from its float32 or float16 values.
bool load_narrow(const RowBlock& block, std::int64_t offset, std::int64_t n, float* out) {
  const PanelKernels& kernels = panel_kernels();
  if (block.dtype == DType::float16) {
    return kernels.row_f16_to_f32(static_cast<const std::uint16_t*>(block.data) + offset, n, out);
  }
  return kernels.row_f32_to_f32(static_cast<const float*>(block.data) + offset, n, out);
}

struct Measured {
  double norm2;
  double slack;
};

Measured load_point(const MetricRows& from, const Frame& frame, std::int64_t row, double* wide, float* out,
                    BadRows& bad) {
  const std::int64_t n = from.n_dims();
  const MatrixView& view = from.view();
  const std::size_t index = view.block_of(row);
  const RowBlock& block = view.blocks()[index];
  const auto scale = static_cast<float>(from.scale(row) * frame.power);
  const bool fits = scale >= std::numeric_limits<float>::min() && scale <= std::numeric_limits<float>::max();
  bool finite = true;
  if (block.dtype == DType::float64 || !fits) {
    finite = from.widen(row, wide);
    distance_kernels().shift_f64(wide, frame.power, frame.shift.data(), n, out);
  } else {
    finite = load_narrow(block, (row - view.block_start(index)) * block.row_stride, n, out);
    distance_kernels().shift_f32(out, scale, frame.shift.data(), n);
  }
  if (!finite) bad.add(row);
  const double norm2 = finite ? panel_kernels().sum_squares_f32(out, n) : kInfinity;
  if (!(norm2 <= kLargestNorm * kLargestNorm)) {
    std::fill_n(out, n, 0.0f);
    return {0.0, kInfinity};
  }
  const double padded = std::sqrt(norm2) + 2.0 * frame.unit;
  return {norm2, 16.0 * kRoundoff * padded * padded + kTiny};
}

}  // namespace

Frame::Frame(const MetricRows& rows) : power(1.0), power2(1.0), unit(0.0) {
  const std::int64_t n = rows.n_rows(), n_dims = rows.n_dims();
  shift.assign(static_cast<std::size_t>(n_dims), 0.0f);
  dot_error = dot_error_of(n_dims);

  constexpr std::int64_t kSample = 1024;
  const std::int64_t step = std::max<std::int64_t>(1, n / kSample);
  std::vector<double> sample, wide(static_cast<std::size_t>(n_dims)), mean(static_cast<std::size_t>(n_dims));
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < n; row += step) {
    if (!rows.used(row) || !rows.widen(row, wide.data())) continue;
    ++count;
    // A running mean: sums of huge float64 rows would overflow.
    for (std::int64_t j = 0; j < n_dims; ++j) mean[j] += (wide[j] - mean[j]) / static_cast<double>(count);
    sample.insert(sample.end(), wide.begin(), wide.end());
  }
  std::vector<double> spreads;
  for (std::int64_t i = 0; i < count; ++i) {
    double largest = 0.0;
    for (std::int64_t j = 0; j < n_dims; ++j) largest = std::max(largest, std::abs(sample[i * n_dims + j] - mean[j]));
    spreads.push_back(largest);
  }
  double spread = 0.0;
  if (count > 0) {  // the median: a few outliers must not push the others towards underflow
    std::nth_element(spreads.begin(), spreads.begin() + count / 2, spreads.end());
    spread = spreads[static_cast<std::size_t>(count / 2)];
    if (spread == 0.0) spread = *std::max_element(spreads.begin(), spreads.end());
  }
  if (spread == 0.0) {
    for (const double value : mean) spread = std::max(spread, std::abs(value));
  }
  int exponent = 0;
  if (spread > 0.0 && std::isfinite(spread)) std::frexp(spread, &exponent);
  power = std::ldexp(1.0, -std::clamp(exponent, -500, 500));
  power2 = power * power;
  unit = rows.metric() == Metric::cosine ? power : 0.0;
  for (std::int64_t j = 0; j < n_dims; ++j) {
    const double value = mean[j] * power;
    shift[j] = std::abs(value) < kLargestNorm ? static_cast<float>(value) : 0.0f;
  }
}

void load_points(const MetricRows& from, const Frame& frame, const std::int64_t* rows, std::int64_t n, Points& out,
                 BadRows& bad) {
  const std::int64_t n_dims = from.n_dims();
  out.x.resize(static_cast<std::size_t>(n * n_dims));
  out.norm2.resize(static_cast<std::size_t>(n));
  out.norm.resize(static_cast<std::size_t>(n));
  out.slack.resize(static_cast<std::size_t>(n));
  std::vector<double> wide(static_cast<std::size_t>(n_dims));
  for (std::int64_t i = 0; i < n; ++i) {
    const Measured measured = load_point(from, frame, rows[i], wide.data(), out.x.data() + i * n_dims, bad);
    out.norm2[i] = measured.norm2;
    out.norm[i] = round_up(std::sqrt(measured.norm2));
    out.slack[i] = measured.slack;
  }
}

void Centers::resize(std::int64_t n) {
  const auto count = static_cast<std::size_t>(n);
  rows.resize(count);
  x.resize(count * static_cast<std::size_t>(n_dims_));
  base.resize(count);
  slope.resize(count);
  slack.resize(count);
}

void Centers::fill(const MetricRows& from, const Frame& frame, const std::int64_t* from_rows, std::int64_t n,
                   std::int64_t first, BadRows& bad) {
  std::vector<double> wide(static_cast<std::size_t>(n_dims_));
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t place = first + i;
    const Measured measured = load_point(from, frame, from_rows[i], wide.data(), x.data() + place * n_dims_, bad);
    rows[place] = from_rows[i];
    base[place] = round_down(measured.norm2 - measured.slack);
    slope[place] = round_up(2.0 * frame.dot_error * std::sqrt(measured.norm2));
    slack[place] = round_up(measured.slack);
  }
}

}  // namespace oneglance
