#include "oneglance/kernel_coverage.h"

#include <algorithm>
#include <queue>
#include <set>
#include <unordered_map>

#include "oneglance/check.h"
#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"
#include "propose.h"

namespace oneglance {
namespace {

constexpr std::int64_t kPanel = 512, kTile = 512;
constexpr std::int64_t kColumnNumbers = 16 << 20;  // float32 kernel values kept at a time
constexpr std::int64_t kNewColumns = 64;           // computed per round; a product of fewer would run slower

/// A candidate with an upper bound on its gain; larger first, then the lower row.
struct Bound {
  double gain;
  std::int64_t row;
  bool operator<(const Bound& other) const { return gain < other.gain || (gain == other.gain && row > other.row); }
};

class Coverage {
 public:
  Coverage(const MetricRows& rows, const KernelCoverageRequest& request)
      : rows_(rows),
        frame_(rows),
        stop_(request.stop),
        scale_(static_cast<float>(1.0 / (request.width * frame_.power2))),
        evaluate_(request.evaluate) {
    const std::set<std::int64_t> before(request.already.begin(), request.already.end());
    for (std::int64_t row = 0; row < rows.n_rows(); ++row) {
      if (!rows.used(row)) continue;
      if (before.count(row) == 0) bounds_.push_back({0.0, row});
      if (request.evaluate.empty()) evaluate_.push_back(row);
    }
    current_.assign(evaluate_.size(), 0.0f);
    const std::int64_t n_slots = std::clamp<std::int64_t>(kColumnNumbers / n_evaluated(), 16, 1024);
    slot_row_.assign(static_cast<std::size_t>(n_slots), -1);
    cover(request.already);
  }

  /// Rows chosen before: their columns raise what is covered.
  void cover(const std::vector<std::int64_t>& chosen) {
    const auto n = static_cast<std::int64_t>(chosen.size()), step = std::min(kNewColumns, n_slots());
    for (std::int64_t first = 0; first < n; first += step) {
      pool_.assign(chosen.begin() + first, chosen.begin() + std::min(n, first + step));
      fill_columns();
      for (const std::int64_t row : pool_) raise(slot_of_[row]);
    }
  }

  /// Gains of all candidates: panels of candidates among the threads, each against all evaluated rows.
  void first_gains() {
    const auto n = static_cast<std::int64_t>(bounds_.size());
    const int n_threads = threads_for(n);
    std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
    BadRows checked_before;
    for_each_lane((n + kPanel - 1) / kPanel, n_threads, stop_, [&](const Lane& lane) {
      Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
      const std::int64_t first = lane.index * kPanel, size = std::min(kPanel, n - first);
      std::vector<std::int64_t> ids;
      for (std::int64_t i = 0; i < size; ++i) ids.push_back(bounds_[static_cast<std::size_t>(first + i)].row);
      load_points(rows_, frame_, ids.data(), size, mine.candidates, checked_before);
      for (std::int64_t tile = 0; tile < n_evaluated() && lane.keep_going(); tile += kTile) {
        const std::int64_t columns = std::min(kTile, n_evaluated() - tile);
        load_points(rows_, frame_, evaluate_.data() + tile, columns, mine.evaluated, checked_before);
        mine.kernel.resize(static_cast<std::size_t>(size * columns));
        kernel_block(mine.candidates, mine.evaluated, mine.kernel.data());
        for (std::int64_t i = 0; i < size; ++i) {
          bounds_[static_cast<std::size_t>(first + i)].gain +=
              panel_kernels().gain_f32(mine.kernel.data() + i * columns, current_.data() + tile, columns);
        }
      }
    });
    n_values_ += static_cast<double>(n) * static_cast<double>(n_evaluated());
  }

  /// One round; false when no candidate is left.
  bool round(std::int64_t n_picks, KernelCoverageResult& result) {
    if (bounds_.empty()) return false;
    const Bound outside = gather_pool();
    fill_columns();
    const auto size = static_cast<std::int64_t>(pool_.size());
    std::vector<Fresh> fresh(static_cast<std::size_t>(size));
    for_each_lane(size, threads_for(size), stop_, [&](const Lane& lane) {
      const std::int64_t row = pool_[static_cast<std::size_t>(lane.index)];
      fresh[static_cast<std::size_t>(lane.index)] = {{gain_of(row), row}, 0};
    });
    std::priority_queue<Fresh> heap(std::less<Fresh>(), std::move(fresh));
    std::int64_t picked = 0;
    while (!heap.empty() && static_cast<std::int64_t>(result.rows.size()) < n_picks) {
      Fresh top = heap.top();
      if (top.bound < outside) break;
      heap.pop();
      if (top.seen < picked) {
        heap.push({{gain_of(top.bound.row), top.bound.row}, picked});
        continue;
      }
      result.rows.push_back(top.bound.row);
      result.gains.push_back(top.bound.gain / static_cast<double>(n_evaluated()));
      raise(slot_of_[top.bound.row]);
      ++picked;
    }
    for (; !heap.empty(); heap.pop()) bounds_.push_back(heap.top().bound);
    return true;
  }

  double covered() const {
    return panel_kernels().sum_f32(current_.data(), n_evaluated()) / static_cast<double>(n_evaluated());
  }
  double evaluated() const {
    double used = 0.0;
    for (std::int64_t row = 0; row < rows_.n_rows(); ++row) used += rows_.used(row) ? 1.0 : 0.0;
    return n_values_ / (used * static_cast<double>(n_evaluated()));
  }

 private:
  struct Scratch {
    Points candidates, evaluated;
    std::vector<float> kernel;
  };
  /// A gain that was computed after `seen` picks of this round.
  struct Fresh {
    Bound bound;
    std::int64_t seen;
    bool operator<(const Fresh& other) const { return bound < other.bound; }
  };

  std::int64_t n_slots() const { return static_cast<std::int64_t>(slot_row_.size()); }

  /// Moves the candidates with the largest bounds to the pool, until kNewColumns of them lack a column or the slots
  /// are full; returns the largest bound that is left out.
  Bound gather_pool() {
    const auto larger = [](const Bound& a, const Bound& b) { return b < a; };
    const auto n = static_cast<std::int64_t>(bounds_.size());
    const std::int64_t most = std::min({n, n_slots(), std::int64_t{256}});
    std::partial_sort(bounds_.begin(), bounds_.begin() + std::min(n, most + 1), bounds_.end(), larger);
    pool_.clear();
    std::int64_t n_new = 0, size = 0;
    for (; size < most; ++size) {
      const std::int64_t row = bounds_[static_cast<std::size_t>(size)].row;
      if (slot_of_.count(row) == 0 && ++n_new > kNewColumns) break;
      pool_.push_back(row);
    }
    const Bound outside = size < n ? bounds_[static_cast<std::size_t>(size)] : Bound{-1.0, -1};
    bounds_.erase(bounds_.begin(), bounds_.begin() + size);
    return outside;
  }

  /// Slots for the pool's rows, taken from rows outside it; returns the rows that have no column yet.
  std::vector<std::int64_t> take_slots() {
    std::vector<std::int64_t> missing;
    std::vector<std::uint8_t> wanted(slot_row_.size(), 0);
    for (const std::int64_t row : pool_) {
      const auto found = slot_of_.find(row);
      if (found == slot_of_.end()) {
        missing.push_back(row);
      } else {
        wanted[static_cast<std::size_t>(found->second)] = 1;
      }
    }
    for (const std::int64_t row : missing) {
      while (wanted[static_cast<std::size_t>(hand_)] != 0) hand_ = (hand_ + 1) % n_slots();
      slot_of_.erase(slot_row_[static_cast<std::size_t>(hand_)]);
      slot_row_[static_cast<std::size_t>(hand_)] = row;
      slot_of_[row] = hand_;
      wanted[static_cast<std::size_t>(hand_)] = 1;
    }
    return missing;
  }

  std::int64_t n_evaluated() const { return static_cast<std::int64_t>(evaluate_.size()); }
  int threads_for(std::int64_t n_candidates) const {
    return worthwhile_threads(static_cast<double>(n_candidates) * static_cast<double>(n_evaluated()) *
                              static_cast<double>(rows_.n_dims()));
  }

  /// out (candidates, evaluated): exp((2 s - r_j^2 - r_i^2) / h)
  void kernel_block(const Points& candidates, const Points& evaluated, float* out) const {
    const std::int64_t n = candidates.size(), m = evaluated.size();
    dense::times_transposed(n, m, rows_.n_dims(), 2.0f, candidates.x.data(), evaluated.x.data(), out);
    for (std::int64_t i = 0; i < n; ++i) {
      float* row = out + i * m;
      for (std::int64_t j = 0; j < m; ++j) row[j] -= static_cast<float>(evaluated.norm2[j]);
      panel_kernels().exp_scaled_f32(row, scale_, static_cast<float>(candidates.norm2[i]), m);
    }
  }

  /// Kernel columns of the pool's rows that lack them: tiles of the evaluated rows among the threads.
  void fill_columns() {
    const std::vector<std::int64_t> missing = take_slots();
    const auto size = static_cast<std::int64_t>(missing.size());
    if (size == 0) return;
    columns_.resize(static_cast<std::size_t>(n_slots() * n_evaluated()));
    BadRows checked_before;
    Points points;
    load_points(rows_, frame_, missing.data(), size, points, checked_before);
    const int n_threads = threads_for(size);
    std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));
    for_each_lane((n_evaluated() + kTile - 1) / kTile, n_threads, stop_, [&](const Lane& lane) {
      Scratch& mine = scratch[static_cast<std::size_t>(lane.slot)];
      const std::int64_t tile = lane.index * kTile, n = std::min(kTile, n_evaluated() - tile);
      load_points(rows_, frame_, evaluate_.data() + tile, n, mine.evaluated, checked_before);
      mine.kernel.resize(static_cast<std::size_t>(size * n));
      kernel_block(points, mine.evaluated, mine.kernel.data());
      for (std::int64_t k = 0; k < size; ++k) {
        const std::int64_t slot = slot_of_.find(missing[static_cast<std::size_t>(k)])->second;
        std::copy_n(mine.kernel.data() + k * n, n, columns_.data() + slot * n_evaluated() + tile);
      }
    });
    n_values_ += static_cast<double>(size) * static_cast<double>(n_evaluated());
  }

  double gain_of(std::int64_t row) const {
    const float* column = columns_.data() + slot_of_.find(row)->second * n_evaluated();
    double gain = 0.0;  // tile by tile, as in first_gains
    for (std::int64_t tile = 0; tile < n_evaluated(); tile += kTile) {
      gain += panel_kernels().gain_f32(column + tile, current_.data() + tile, std::min(kTile, n_evaluated() - tile));
    }
    return gain;
  }
  void raise(std::int64_t slot) {
    const float* mine = columns_.data() + slot * n_evaluated();
    for (std::int64_t i = 0; i < n_evaluated(); ++i) current_[i] = std::max(current_[i], mine[i]);
  }

  const MetricRows& rows_;
  Frame frame_;
  StopRequest stop_;
  float scale_;
  std::vector<std::int64_t> evaluate_;
  std::vector<Bound> bounds_;
  std::vector<float> current_;  // largest kernel to a chosen row, per evaluated row
  std::vector<std::int64_t> pool_;
  // Kernel columns of candidates, kept from round to round while there is room: a candidate that was near the top
  // will be again, and its gain then needs no product.
  std::vector<float> columns_;          // (slots, evaluated)
  std::vector<std::int64_t> slot_row_;  // -1: free
  std::unordered_map<std::int64_t, std::int64_t> slot_of_;
  std::int64_t hand_ = 0;  // next slot to give away
  double n_values_ = 0.0;
};

}  // namespace

KernelCoverageResult kernel_coverage(const MetricRows& rows, const KernelCoverageRequest& request) {
  KernelCoverageResult result;
  rows.require_finite(request.stop);
  Coverage coverage(rows, request);
  if (request.n_picks > 0) coverage.first_gains();
  while (static_cast<std::int64_t>(result.rows.size()) < request.n_picks && coverage.round(request.n_picks, result)) {
  }
  require(static_cast<std::int64_t>(result.rows.size()) == request.n_picks,
          "n_picks exceeds the number of rows that may be picked.");
  result.coverage = coverage.covered();
  result.evaluated = coverage.evaluated();
  return result;
}

}  // namespace oneglance
