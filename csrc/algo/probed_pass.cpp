#include "probed_pass.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "oneglance/check.h"
#include "oneglance/philox.h"
#include "row_loader.h"

namespace oneglance {
namespace {

constexpr std::int64_t kProbes = 10;
constexpr std::uint32_t kPurpose = 19;  // Purpose::PROBE of python/oneglance/_rng.py
constexpr std::int64_t kBlockRows = 768;
constexpr std::int64_t kMostLanes = 32;

/// (rank, kProbes) standard normal numbers by Box and Muller.
std::vector<double> gaussian_probes(std::int64_t rank) {
  std::vector<double> probes(static_cast<std::size_t>(rank * kProbes));
  for (std::size_t i = 0; i < probes.size(); ++i) {
    const double radius = std::sqrt(-2.0 * std::log1p(-philox_uniform(0, kPurpose, 0, i)));
    probes[i] = radius * std::cos(2.0 * M_PI * philox_uniform(0, kPurpose, 1, i));
  }
  return probes;
}

}  // namespace

double probed_pass(const RowSource& source, const dense::Square& inverse, double* tau) {
  const std::int64_t n_rows = source.rows->n_rows();
  const auto rank = static_cast<std::int64_t>(source.columns.size());
  const std::vector<float> factor(inverse.begin(), inverse.end());
  const std::vector<double> probes = gaussian_probes(rank);
  const std::vector<float> probes32(probes.begin(), probes.end());
  // Lanes depend on n only; their sums are added in order.
  const std::int64_t n_blocks = (n_rows + kBlockRows - 1) / kBlockRows;
  const std::int64_t lane_blocks = std::max<std::int64_t>(1, (n_blocks + kMostLanes - 1) / kMostLanes);
  const std::int64_t n_lanes = (n_blocks + lane_blocks - 1) / lane_blocks;
  std::vector<double> sums(static_cast<std::size_t>(n_lanes) * probes.size(), 0.0);
  BadRows bad;

  struct Scratch {
    std::vector<float> panel, products, block_sums;
  };
  const int n_threads = worthwhile_threads(static_cast<double>(n_rows) * static_cast<double>(inverse.size()));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
  for_each_lane(n_lanes, n_threads, source.stop, [&](const Lane& lane) {
    auto& [panel, products, block_sums] = scratch[lane.slot];
    panel.resize(static_cast<std::size_t>(kBlockRows * rank));
    products.resize(static_cast<std::size_t>(kBlockRows * kProbes));
    block_sums.resize(probes.size());
    double* lane_sums = sums.data() + static_cast<std::size_t>(lane.index) * probes.size();
    Loader<float> loader(source);
    const PanelKernels& kernels = panel_kernels();
    const std::int64_t last = std::min((lane.index + 1) * lane_blocks * kBlockRows, n_rows);
    for (std::int64_t row = lane.index * lane_blocks * kBlockRows; row < last; row += kBlockRows) {
      if (!lane.keep_going()) return;
      const std::int64_t size = std::min(kBlockRows, last - row);
      loader.load(row, size, panel.data(), bad);
      dense::times_upper(size, rank, factor.data(), panel.data(), rank);
      for (std::int64_t i = 0; i < size; ++i) tau[row + i] = kernels.sum_squares_f32(panel.data() + i * rank, rank);
      std::fill(products.begin(), products.end(), 0.0f);
      std::fill(block_sums.begin(), block_sums.end(), 0.0f);
      dense::add_product(size, kProbes, rank, panel.data(), probes32.data(), products.data());
      dense::add_transposed_product(rank, kProbes, size, panel.data(), products.data(), block_sums.data());
      kernels.add_f32(lane_sums, block_sums.data(), static_cast<std::int64_t>(probes.size()));
    }
  });
  bad.throw_if_any<NonFiniteRows>();

  std::vector<double> off(probes.size());
  for (std::size_t i = 0; i < off.size(); ++i) off[i] = -static_cast<double>(probes32[i]);
  for (std::int64_t lane = 0; lane < n_lanes; ++lane) {
    panel_kernels().add_f64(off.data(), sums.data() + static_cast<std::size_t>(lane) * off.size(),
                            static_cast<std::int64_t>(off.size()));
  }
  double largest2 = 0.0;
  for (std::int64_t j = 0; j < kProbes; ++j) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < rank; ++i) sum += off[i * kProbes + j] * off[i * kProbes + j];
    if (!std::isfinite(sum)) return std::numeric_limits<double>::infinity();
    largest2 = std::max(largest2, sum);
  }
  return 10.0 * std::sqrt(2.0 / M_PI * largest2);
}

}  // namespace oneglance
