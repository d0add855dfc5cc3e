#include "coverage_pool.h"

#include <algorithm>
#include <limits>

#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

constexpr std::int64_t kPanel = 512;                  // rows on either side of a block
constexpr std::int64_t kSample = 256, kSampled = 32;  // a sample has so many rows, or this part of all

}  // namespace

/// What a pass reads and fills. Two sums per candidate and set of levels, as two threads may meet at a candidate.
struct CoveragePool::Pass {
  const float *now, *then;
  NearLists& lists;
  std::vector<double> sums_now[2], sums_then[2];
};

CoveragePool::CoveragePool(const MetricRows& rows, const KernelCoverageRequest& request)
    : rows_(rows), values_(rows, request.width), stop_(request.stop) {
  for (std::int64_t row = 0; row < rows.n_rows(); ++row) {
    if (rows.used(row)) candidates_.push_back(row);
  }
  symmetric_ = request.evaluate.empty() || 2 * request.evaluate.size() >= candidates_.size();
  evaluated_ = symmetric_ ? candidates_ : request.evaluate;
  lowest_.assign(evaluated_.size(), 0.0f);
  if (symmetric_ && !request.evaluate.empty()) {
    lowest_.assign(evaluated_.size(), std::numeric_limits<float>::infinity());
    for (const std::int64_t row : request.evaluate) lowest_[static_cast<std::size_t>(candidate(row))] = 0.0f;
  }
  double largest = 0.0;
  if (!request.weights.empty()) {
    for (const std::int64_t row : evaluated_) largest = std::max(largest, request.weights[row]);
  }
  for (std::size_t place = 0; place < evaluated_.size(); ++place) {
    const double weight = largest > 0.0 ? request.weights[evaluated_[place]] / largest : 1.0;
    if (largest > 0.0) weights_.push_back(static_cast<float>(weight));
    if (lowest_[place] == 0.0f) total_ += weight;
  }
}

std::int64_t CoveragePool::candidate(std::int64_t row) const {
  return std::lower_bound(candidates_.begin(), candidates_.end(), row) - candidates_.begin();
}

int CoveragePool::threads_for(double n_values) const {
  return worthwhile_threads(n_values * static_cast<double>(rows_.n_dims()));
}

double CoveragePool::gain(const float* column, const std::vector<float>& levels) const {
  return panel_kernels().gain_f32(column, levels.data(), n_evaluated());
}

/// Values for evaluated rows first .. first + n - 1 times their weights.
const float* CoveragePool::weighted(const float* values, std::int64_t first, std::int64_t n, Scratch& scratch) const {
  if (weights_.empty()) return values;
  scratch.weighted.resize(static_cast<std::size_t>(std::max(n, kPanel)));
  panel_kernels().weigh_f32(values, weights_.data() + first, n, scratch.weighted.data());
  return scratch.weighted.data();
}

void CoveragePool::columns(const std::vector<std::int64_t>& candidates, std::vector<float>& out) {
  const auto size = static_cast<std::int64_t>(candidates.size()), m = n_evaluated();
  std::vector<std::int64_t> ids;
  for (const std::int64_t candidate : candidates) ids.push_back(row(candidate));
  KernelValues::Side side;
  values_.load(ids.data(), size, side);
  out.resize(static_cast<std::size_t>(size * m));
  const double n_values = static_cast<double>(size) * static_cast<double>(m);
  const int n_threads = threads_for(n_values);
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
  for_each_lane((m + kPanel - 1) / kPanel, n_threads, stop_, [&](const Lane& lane) {
    Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
    const std::int64_t tile = lane.index * kPanel, n = std::min(kPanel, m - tile);
    values_.load(evaluated_.data() + tile, n, mine.b);
    values_.block(side, mine.b, mine.kernel);
    for (std::int64_t k = 0; k < size; ++k) {
      std::copy_n(weighted(mine.kernel.data() + k * n, tile, n, mine), n, out.data() + k * m + tile);
    }
  });
  n_values_ += n_values;
}

std::vector<double> CoveragePool::sampled_gains(const std::vector<float>& levels) {
  const std::int64_t n = n_candidates(), m = n_evaluated();
  const std::int64_t size = std::min(m, std::max(kSample, m / kSampled));
  std::vector<std::int64_t> ids;
  std::vector<float> sample_levels, sample_weights;
  for (std::int64_t k = 0; k < size; ++k) {
    const std::int64_t place = k * m / size;
    ids.push_back(evaluated_[static_cast<std::size_t>(place)]);
    sample_levels.push_back(levels[static_cast<std::size_t>(place)]);
    if (!weights_.empty()) sample_weights.push_back(weights_[static_cast<std::size_t>(place)]);
  }
  const double n_values = static_cast<double>(n) * static_cast<double>(size);
  const int n_threads = threads_for(n_values);
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
  std::vector<double> gains(static_cast<std::size_t>(n), 0.0);
  for_each_lane((n + kPanel - 1) / kPanel, n_threads, stop_, [&](const Lane& lane) {
    Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
    const std::int64_t first = lane.index * kPanel, n_rows = std::min(kPanel, n - first);
    values_.load(candidates_.data() + first, n_rows, mine.a);
    for (std::int64_t tile = 0; tile < size && lane.keep_going(); tile += kPanel) {
      const std::int64_t n_columns = std::min(kPanel, size - tile);
      values_.load(ids.data() + tile, n_columns, mine.b);
      values_.block(mine.a, mine.b, mine.kernel);
      for (std::int64_t i = 0; i < n_rows; ++i) {
        float* values = mine.kernel.data() + i * n_columns;
        if (!sample_weights.empty()) {
          panel_kernels().weigh_f32(values, sample_weights.data() + tile, n_columns, values);
        }
        gains[static_cast<std::size_t>(first + i)] +=
            panel_kernels().gain_f32(values, sample_levels.data() + tile, n_columns);
      }
    }
  });
  n_values_ += n_values;
  return gains;
}

/// Candidates `first` .. against evaluated rows `tile` .., for the candidates.
void CoveragePool::rows_gain(Pass& pass, std::int64_t first, std::int64_t tile, Scratch& scratch) const {
  const PanelKernels& kernels = panel_kernels();
  const std::int64_t n = scratch.a.size(), m = scratch.b.size();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t candidate = first + i;
    const float* values = weighted(scratch.kernel.data() + i * m, tile, m, scratch);
    pass.sums_now[0][static_cast<std::size_t>(candidate)] += kernels.gain_f32(values, pass.now + tile, m);
    pass.sums_then[0][static_cast<std::size_t>(candidate)] += kernels.gain_f32(values, pass.then + tile, m);
    const std::int64_t found =
        kernels.above_f32(values, pass.then + tile, pass.lists.floors(0)[candidate], m, scratch.positions.data());
    for (std::int64_t k = 0; k < found; ++k) {
      const std::int64_t at = scratch.positions[static_cast<std::size_t>(k)];
      pass.lists.add(candidate, 0, tile + at, values[at], pass.then);
    }
  }
}

/// The same block with the roles exchanged: candidates `tile` .. gain from the evaluated rows `first` ..
void CoveragePool::columns_gain(Pass& pass, std::int64_t first, std::int64_t tile, Scratch& scratch) const {
  const PanelKernels& kernels = panel_kernels();
  const std::int64_t n = scratch.a.size(), m = scratch.b.size();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t place = first + i;
    const float* values = scratch.kernel.data() + i * m;
    if (!weights_.empty()) {
      scratch.weighted.resize(static_cast<std::size_t>(kPanel));
      kernels.weigh_by_f32(values, weights_[static_cast<std::size_t>(place)], m, scratch.weighted.data());
      values = scratch.weighted.data();
    }
    kernels.add_gains_f32(values, pass.now[place], m, pass.sums_now[1].data() + tile);
    kernels.add_gains_f32(values, pass.then[place], m, pass.sums_then[1].data() + tile);
    const std::int64_t found =
        kernels.above_f32(values, pass.lists.floors(1) + tile, pass.then[place], m, scratch.positions.data());
    for (std::int64_t k = 0; k < found; ++k) {
      const std::int64_t at = scratch.positions[static_cast<std::size_t>(k)];
      pass.lists.add(tile + at, 1, place, values[at], pass.then);
    }
  }
}

void CoveragePool::pass(const std::vector<float>& now, const std::vector<float>& then, NearLists& lists,
                        std::vector<double>& gains_now, std::vector<double>& gains_then) {
  const std::int64_t n = n_candidates(), m = n_evaluated(), n_panels = (n + kPanel - 1) / kPanel;
  Pass pass{now.data(), then.data(), lists, {}, {}};
  for (const int half : {0, 1}) {
    pass.sums_now[half].assign(static_cast<std::size_t>(n), 0.0);
    pass.sums_then[half].assign(static_cast<std::size_t>(n), 0.0);
  }
  const int n_threads = threads_for(static_cast<double>(n) * static_cast<double>(m));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
  const auto load = [&](const std::vector<std::int64_t>& rows, std::int64_t first, KernelValues::Side& side) {
    values_.load(rows.data() + first, std::min(kPanel, static_cast<std::int64_t>(rows.size()) - first), side);
  };
  if (symmetric_) {
    // Step s has the blocks (I, I + s): in a step no two of them meet in a half of a candidate, whose sums and
    // lists therefore grow in one order.
    for (std::int64_t step = 0; 2 * step <= n_panels; ++step) {
      const std::int64_t n_lanes = step > 0 && 2 * step == n_panels ? step : n_panels;
      for_each_lane(n_lanes, n_threads, stop_, [&](const Lane& lane) {
        Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
        mine.positions.resize(static_cast<std::size_t>(kPanel));
        const std::int64_t first = lane.index * kPanel, tile = (lane.index + step) % n_panels * kPanel;
        load(candidates_, first, mine.a);
        load(candidates_, tile, mine.b);
        values_.block(mine.a, mine.b, mine.kernel);
        rows_gain(pass, first, tile, mine);
        if (step > 0) columns_gain(pass, first, tile, mine);
      });
    }
  } else {
    for_each_lane(n_panels, n_threads, stop_, [&](const Lane& lane) {
      Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
      mine.positions.resize(static_cast<std::size_t>(kPanel));
      load(candidates_, lane.index * kPanel, mine.a);
      for (std::int64_t tile = 0; tile < m && lane.keep_going(); tile += kPanel) {
        load(evaluated_, tile, mine.b);
        values_.block(mine.a, mine.b, mine.kernel);
        rows_gain(pass, lane.index * kPanel, tile, mine);
      }
    });
  }
  gains_now.resize(static_cast<std::size_t>(n));
  gains_then.resize(static_cast<std::size_t>(n));
  for (std::size_t c = 0; c < gains_now.size(); ++c) {
    gains_now[c] = pass.sums_now[0][c] + pass.sums_now[1][c];
    gains_then[c] = pass.sums_then[0][c] + pass.sums_then[1][c];
    lists.close(static_cast<std::int64_t>(c), gains_then[c], then.data());
  }
  n_values_ += pass_work() * static_cast<double>(n) * static_cast<double>(m);
}

}  // namespace oneglance
