#include "kernel_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

constexpr double kFar = 64.0;     // r^2 / width above which float32 may miss 4e-6 of the value
constexpr double kNone = 23.0;    // exp(-23) is less than an eighth of 2^-30
constexpr float kBeyond = 1e38f;  // r^2 of rows that have no float32 products

float as_scale(double value) {
  return static_cast<float>(std::min(value, static_cast<double>(std::numeric_limits<float>::max())));
}

}  // namespace

KernelValues::KernelValues(const MetricRows& rows, double width)
    : rows_(rows), frame_(rows), width_(width), scale_(as_scale(1.0 / (width * frame_.power2))) {}

void KernelValues::load(const std::int64_t* rows, std::int64_t n, Side& side) const {
  BadRows checked_before;
  load_points(rows_, frame_, rows, n, side.points, checked_before);
  side.rows.assign(rows, rows + n);
  side.norms2.resize(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < side.norms2.size(); ++i) {
    side.norms2[i] = std::isinf(side.points.slack[i]) ? kBeyond : static_cast<float>(side.points.norm2[i]);
  }
  side.most = n > 0 ? *std::max_element(side.norms2.begin(), side.norms2.end()) : 0.0;
}

/// Pairs whose products say too little, and whose values may be more than 0.
std::vector<KernelValues::Pair> KernelValues::far_pairs(const Side& a, const Side& b, const float* products) const {
  std::vector<Pair> pairs;
  const double far = kFar / scale_, none = kNone / scale_;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double norm2 = a.norms2[static_cast<std::size_t>(i)];
    if (!(norm2 + b.most > far)) continue;
    for (std::int64_t j = 0; j < b.size(); ++j) {
      const auto at = static_cast<std::size_t>(j);
      const double both = norm2 + b.norms2[at];
      if (!(both > far)) continue;
      const double error = a.points.slack[static_cast<std::size_t>(i)] + b.points.slack[at] +
                           2.0 * frame_.dot_error * std::sqrt(norm2 * b.norms2[at]);
      if (both - products[i * b.size() + j] <= none + error) pairs.push_back({i, j});
    }
  }
  return pairs;
}

void KernelValues::measure(const Side& a, const Side& b, const std::vector<Pair>& pairs, float* out) const {
  std::vector<double> row(static_cast<std::size_t>(rows_.n_dims()));
  std::vector<float> narrow(row.size());
  std::int64_t in_row = -1;
  for (const Pair& pair : pairs) {
    if (pair.i != in_row) rows_.widen(a.rows[static_cast<std::size_t>(pair.i)], row.data());
    in_row = pair.i;
    const double dist2 = rows_.dist2(row.data(), b.rows[static_cast<std::size_t>(pair.j)], narrow.data());
    const double value = std::exp(-dist2 / width_);
    out[pair.i * b.size() + pair.j] = static_cast<float>(std::nearbyint(value * 0x1p30) * 0x1p-30);
  }
}

void KernelValues::block(const Side& a, const Side& b, std::vector<float>& out) const {
  const std::int64_t n = a.size(), m = b.size();
  out.resize(static_cast<std::size_t>(n * m));
  dense::times_transposed(n, m, rows_.n_dims(), 2.0f, a.points.x.data(), b.points.x.data(), out.data());
  const std::vector<Pair> pairs = far_pairs(a, b, out.data());
  for (std::int64_t i = 0; i < n; ++i) {
    panel_kernels().gauss_f32(out.data() + i * m, b.norms2.data(), a.norms2[static_cast<std::size_t>(i)], scale_, m);
  }
  measure(a, b, pairs, out.data());
}

}  // namespace oneglance
