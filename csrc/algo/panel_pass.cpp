#include "oneglance/panel_pass.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <type_traits>

#include "oneglance/check.h"
#include "oneglance/dense.h"
#include "oneglance/panel_kernels.h"
#include "row_loader.h"

namespace oneglance {
namespace {

std::atomic<std::int64_t> wanted_panel_rows{0};

/// How rows are cut. Blocks and lanes are the unit of arithmetic and depend on n only.
struct Cut {
  explicit Cut(std::int64_t n_rows) {
    // Measured with OpenBLAS at 384, 768 and 1280 columns: 512 to 1024 rows are alike, fewer cost up to
    // 10 % more in packing.
    block_rows = 768;
    n_blocks = (n_rows + block_rows - 1) / block_rows;
    // A lane ends with adding r^2 partial sums to the total: thousands of rows make that cheap, and
    // some two dozen lanes keep the cores equally busy to the end.
    constexpr std::int64_t kMostLaneRows = 8192;
    lane_blocks = std::clamp<std::int64_t>(n_blocks / 24, 1, kMostLaneRows / block_rows);
    n_lanes = (n_blocks + lane_blocks - 1) / lane_blocks;
  }
  std::int64_t block_rows, n_blocks, lane_blocks, n_lanes;
};

/// Adds the lanes' upper triangles to a float64 total in lane order, whatever order they finish in.
/// Lanes start in order, so only about as many wait as there are threads.
template <typename Real>
class OrderedSum {
 public:
  OrderedSum(std::int64_t rank, double* total) : rank_(rank), total_(total) {
    if (total != nullptr) std::fill_n(total, rank * rank, 0.0);
  }

  /// Takes the lane's sums; `partial` comes back with unspecified content, perhaps another buffer.
  void add(std::int64_t lane, std::vector<Real>& partial) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (lane != next_) {
      waiting_.emplace(lane, std::move(partial));
      partial = take_spare();
      return;
    }
    add_now(partial);
    for (auto found = waiting_.find(next_); found != waiting_.end(); found = waiting_.find(next_)) {
      add_now(found->second);
      spare_.push_back(std::move(found->second));
      waiting_.erase(found);
    }
  }

 private:
  std::vector<Real> take_spare() {
    if (spare_.empty()) return std::vector<Real>(static_cast<std::size_t>(rank_ * rank_));
    std::vector<Real> buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }

  void add_now(const std::vector<Real>& partial) {
    const PanelKernels& kernels = panel_kernels();
    for (std::int64_t i = 0; i < rank_; ++i) {
      const std::int64_t start = i * rank_ + i;
      if constexpr (std::is_same_v<Real, float>) {
        kernels.add_f32(total_ + start, partial.data() + start, rank_ - i);
      } else {
        kernels.add_f64(total_ + start, partial.data() + start, rank_ - i);
      }
    }
    ++next_;
  }

  std::int64_t rank_;
  double* total_;
  std::mutex mutex_;
  std::int64_t next_ = 0;
  std::map<std::int64_t, std::vector<Real>> waiting_;
  std::vector<std::vector<Real>> spare_;
};

/// tau and the factor by which each row enters the Gram sum.
template <typename Real>
void reweight(Real* y, std::int64_t n_rows, std::int64_t rank, const PassSpec& spec, double* tau) {
  const PanelKernels& kernels = panel_kernels();
  for (std::int64_t i = 0; i < n_rows; ++i) {
    Real* row = y + i * rank;
    double norm2;
    if constexpr (std::is_same_v<Real, float>) {
      norm2 = kernels.sum_squares_f32(row, rank);
    } else {
      norm2 = kernels.sum_squares_f64(row, rank);
    }
    if (tau != nullptr) tau[i] = norm2;
    if (spec.gram == nullptr || spec.gram_power == 0.0 || norm2 == 0.0) continue;
    const double factor =
        std::min(std::pow(norm2, 0.5 * spec.gram_power), static_cast<double>(std::numeric_limits<Real>::max()));
    if constexpr (std::is_same_v<Real, float>) {
      kernels.scale_row_f32(row, static_cast<float>(factor), rank);
    } else {
      kernels.scale_row_f64(row, factor, rank);
    }
  }
}

}  // namespace

template <typename Real>
void panel_pass(const RowSource& source, const PassSpec& spec) {
  const std::int64_t n_rows = source.rows->n_rows();
  const auto rank = static_cast<std::int64_t>(source.columns.size());
  const Cut cut(n_rows);
  const std::int64_t square = rank * rank;
  const std::int64_t panel_blocks =
      std::clamp<std::int64_t>((wanted_panel_rows.load() + cut.block_rows - 1) / cut.block_rows, 1, cut.lane_blocks);

  std::vector<Real> factor_inverse;
  if (spec.factor_inverse != nullptr) factor_inverse.assign(spec.factor_inverse, spec.factor_inverse + square);
  OrderedSum<Real> total(rank, spec.gram);
  BadRows bad;

  // Scratch memory per thread: fresh pages for every lane would cost more than reading the rows.
  struct Scratch {
    std::vector<Real> panel, partial;
  };
  const int n_threads = worthwhile_threads(static_cast<double>(n_rows) * static_cast<double>(square));
  std::vector<Scratch> scratch(static_cast<std::size_t>(n_threads));

  for_each_lane(cut.n_lanes, n_threads, source.stop, [&](const Lane& lane) {
    auto& [panel, partial] = scratch[lane.slot];
    panel.resize(static_cast<std::size_t>(panel_blocks * cut.block_rows * rank));
    if (spec.gram != nullptr) partial.resize(static_cast<std::size_t>(square));
    Loader<Real> loader(source);
    const std::int64_t first_block = lane.index * cut.lane_blocks;
    const std::int64_t end_block = std::min(first_block + cut.lane_blocks, cut.n_blocks);
    for (std::int64_t block = first_block; block < end_block; block += panel_blocks) {
      if (!lane.keep_going()) return;
      const std::int64_t first = block * cut.block_rows;
      const std::int64_t last = std::min(std::min(block + panel_blocks, end_block) * cut.block_rows, n_rows);
      loader.load(first, last - first, panel.data(), bad);
      for (std::int64_t row = first; row < last; row += cut.block_rows) {
        const std::int64_t size = std::min(cut.block_rows, last - row);
        Real* y = panel.data() + (row - first) * rank;
        if (!factor_inverse.empty()) dense::times_upper(size, rank, factor_inverse.data(), y, rank);
        if (spec.tau != nullptr || spec.gram_power != 0.0) {
          reweight(y, size, rank, spec, spec.tau == nullptr ? nullptr : spec.tau + row);
        }
        const bool starts_lane = row == first_block * cut.block_rows;
        if (spec.gram != nullptr) dense::add_gram(size, rank, y, rank, starts_lane ? Real(0) : Real(1), partial.data());
      }
    }
    if (spec.gram != nullptr) total.add(lane.index, partial);
  });
  bad.throw_if_any<NonFiniteRows>();
}

template void panel_pass<float>(const RowSource&, const PassSpec&);
template void panel_pass<double>(const RowSource&, const PassSpec&);

void set_panel_rows(std::int64_t n_rows) {
  require(n_rows >= 0, "panel_rows must be >= 0 (0 = default), got " + std::to_string(n_rows) + ".");
  wanted_panel_rows.store(n_rows);
}

}  // namespace oneglance
