#include "repulsion.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

constexpr std::int64_t kBlock = 256, kTile = 512;

}  // namespace

Repulsion::Repulsion(std::int64_t n_theta, std::int64_t n_dims, double tau, bool with_self, const StopRequest& stop)
    : n_(n_theta), d_(n_dims), tau_(tau), with_self_(with_self), stop_(stop) {}

void Repulsion::set(const double* u) { u_.assign(u, u + n_ * d_); }

/// out[k] = sum_j e_jk u_j; exponentials(k, tile, columns, products, sum) makes e_jk of the products of row k with rows
/// tile .. tile + columns - 1, and may rescale what has been summed so far.
template <typename Exponentials>
void Repulsion::run(std::vector<double>& out, const Exponentials& exponentials) const {
  out.assign(static_cast<std::size_t>(n_ * d_), 0.0);
  const int n_threads = worthwhile_threads(static_cast<double>(n_) * static_cast<double>(n_) * static_cast<double>(d_));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
  for_each_lane((n_ + kBlock - 1) / kBlock, n_threads, stop_, [&](const Lane& lane) {
    Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
    mine.product.resize(static_cast<std::size_t>(kBlock * kTile));
    const std::int64_t first = lane.index * kBlock, rows = std::min(kBlock, n_ - first);
    mine.sum.assign(static_cast<std::size_t>(rows * d_), 0.0f);
    for (std::int64_t tile = 0; tile < n_ && lane.keep_going(); tile += kTile) {
      const std::int64_t columns = std::min(kTile, n_ - tile);
      dense::times_transposed(rows, columns, d_, 1.0f, u_.data() + first * d_, u_.data() + tile * d_,
                              mine.product.data());
      for (std::int64_t k = 0; k < rows; ++k) {
        exponentials(first + k, tile, columns, mine.product.data() + k * columns, mine.sum.data() + k * d_);
      }
      dense::add_product(rows, d_, columns, mine.product.data(), u_.data() + tile * d_, mine.sum.data());
    }
    std::copy(mine.sum.begin(), mine.sum.end(), out.begin() + first * d_);
  });
}

void Repulsion::sums(std::vector<double>& top, std::vector<double>& z, std::vector<double>& out) const {
  top.assign(static_cast<std::size_t>(n_), with_self_ ? 1.0 : -std::numeric_limits<double>::infinity());
  z.assign(static_cast<std::size_t>(n_), 0.0);
  const auto scale = static_cast<float>(1.0 / tau_);
  run(out, [&](std::int64_t k, std::int64_t tile, std::int64_t columns, float* e, float* sum) {
    if (!with_self_) {
      if (k >= tile && k < tile + columns) e[k - tile] = -std::numeric_limits<float>::infinity();
      const double highest = *std::max_element(e, e + columns);
      if (highest > top[k]) {
        const double factor = std::exp((top[k] - highest) / tau_);
        z[k] *= factor;
        panel_kernels().scale_row_f32(sum, static_cast<float>(factor), d_);
        top[k] = highest;
      }
    }
    panel_kernels().exp_scaled_f32(e, scale, static_cast<float>(top[k]), columns);
    z[k] += panel_kernels().sum_f32(e, columns);
  });
}

void Repulsion::sums_less(const std::vector<double>& less, std::vector<double>& out) const {
  std::vector<float> shift;
  for (const double value : less) shift.push_back(static_cast<float>(tau_ * value));
  const auto scale = static_cast<float>(1.0 / tau_);
  run(out, [&](std::int64_t k, std::int64_t tile, std::int64_t columns, float* e, float*) {
    for (std::int64_t j = 0; j < columns; ++j) e[j] -= shift[static_cast<std::size_t>(tile + j)];
    panel_kernels().exp_scaled_f32(e, scale, 0.0f, columns);
    if (!with_self_ && k >= tile && k < tile + columns) e[k - tile] = 0.0f;
  });
}

}  // namespace oneglance
