#include "kernel_values.h"

#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {

KernelValues::KernelValues(const MetricRows& rows, double width)
    : rows_(rows), frame_(rows), scale_(static_cast<float>(1.0 / (width * frame_.power2))) {}

void KernelValues::load(const std::int64_t* rows, std::int64_t n, Side& side) const {
  BadRows checked_before;
  load_points(rows_, frame_, rows, n, side.points, checked_before);
  side.norms2.assign(side.points.norm2.begin(), side.points.norm2.end());
}

void KernelValues::block(const Side& a, const Side& b, std::vector<float>& out) const {
  const std::int64_t n = a.size(), m = b.size();
  out.resize(static_cast<std::size_t>(n * m));
  dense::times_transposed(n, m, rows_.n_dims(), 2.0f, a.points.x.data(), b.points.x.data(), out.data());
  for (std::int64_t i = 0; i < n; ++i) {
    panel_kernels().gauss_f32(out.data() + i * m, b.norms2.data(), a.norms2[static_cast<std::size_t>(i)], scale_, m);
  }
}

}  // namespace oneglance
