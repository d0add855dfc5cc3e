#include "repulsion.h"

#include <algorithm>

#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

constexpr std::int64_t kBlock = 256, kTile = 512;

struct Scratch {
  std::vector<float> product, sum;
  std::vector<double> total;
};

}  // namespace

Repulsion::Repulsion(std::int64_t n_theta, std::int64_t n_dims, double tau, bool with_self, const StopRequest& stop)
    : n_(n_theta), d_(n_dims), tau_(tau), with_self_(with_self), stop_(stop) {}

void Repulsion::set(const double* u) { u_.assign(u, u + n_ * d_); }

void Repulsion::sums(std::vector<double>& z) const { run(nullptr, z, nullptr); }

void Repulsion::weighted(const double* weights, std::vector<double>& z, std::vector<double>& out) const {
  run(weights, z, &out);
}

void Repulsion::run(const double* weights, std::vector<double>& z, std::vector<double>* out) const {
  z.assign(static_cast<std::size_t>(n_), 0.0);
  if (out != nullptr) out->assign(static_cast<std::size_t>(n_ * d_), 0.0);
  const int n_threads = worthwhile_threads(static_cast<double>(n_) * static_cast<double>(n_) * static_cast<double>(d_));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
  const auto scale = static_cast<float>(1.0 / tau_);
  for_each_lane((n_ + kBlock - 1) / kBlock, n_threads, stop_, [&](const Lane& lane) {
    Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
    mine.product.resize(static_cast<std::size_t>(kBlock * kTile));
    const std::int64_t first = lane.index * kBlock, rows = std::min(kBlock, n_ - first);
    if (out != nullptr) mine.sum.assign(static_cast<std::size_t>(rows * d_), 0.0f);
    for (std::int64_t tile = 0; tile < n_ && lane.keep_going(); tile += kTile) {
      const std::int64_t columns = std::min(kTile, n_ - tile);
      dense::times_transposed(rows, columns, d_, 1.0f, u_.data() + first * d_, u_.data() + tile * d_,
                              mine.product.data());
      for (std::int64_t k = 0; k < rows; ++k) {
        float* e = mine.product.data() + k * columns;
        panel_kernels().exp_scaled_f32(e, scale, 1.0f, columns);
        const std::int64_t self = first + k - tile;
        if (!with_self_ && self >= 0 && self < columns) e[self] = 0.0f;
        if (weights != nullptr) {
          for (std::int64_t j = 0; j < columns; ++j) e[j] *= static_cast<float>(weights[tile + j]);
        }
        z[first + k] += panel_kernels().sum_f32(e, columns);
      }
      if (out != nullptr)
        dense::add_product(rows, d_, columns, mine.product.data(), u_.data() + tile * d_, mine.sum.data());
    }
    if (out != nullptr) std::copy(mine.sum.begin(), mine.sum.end(), out->begin() + first * d_);
  });
}

}  // namespace oneglance
