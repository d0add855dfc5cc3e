#include "assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "oneglance/check.h"
#include "oneglance/distance_kernels.h"

namespace oneglance {
namespace {

constexpr std::int64_t kTile = NearestSearch::kTileCenters, kPanel = NearestSearch::kPanelRows;
// Roundings of the distances and bounds are far below it.
constexpr double kMargin = 1e-9;

// Several threads may set the same flag, to the same value.
void set_flag(std::vector<std::uint8_t>& flags, std::int64_t index) {
  if (index >= 0) __atomic_store_n(&flags[static_cast<std::size_t>(index)], 1, __ATOMIC_RELAXED);
}

}  // namespace

Assignment::Assignment(const MetricRows& rows, std::int64_t n_centers, const StopRequest& stop, std::int64_t* labels,
                       double* dist2, const std::vector<std::int64_t>* only)
    : rows_(rows),
      frame_(rows),
      k_(n_centers),
      d_(rows.n_dims()),
      stop_(stop),
      labels_(labels),
      dist2_(dist2),
      other_(static_cast<std::size_t>(rows.n_rows()), 0.0) {
  for (std::int64_t row = 0; row < rows.n_rows(); ++row) {
    labels_[row] = -1;
    dist2_[row] = std::numeric_limits<double>::quiet_NaN();
    if (only == nullptr && rows.used(row)) used_.push_back(row);
  }
  if (only != nullptr) used_ = *only;
}

double Assignment::scanned() const {
  return n_scanned_ / (static_cast<double>(n_assigned_) * static_cast<double>(std::max<std::size_t>(1, used_.size())));
}

double Assignment::own_dist2(const double* centers, std::int64_t row, double* wide) const {
  rows_.widen(row, wide);
  return distance_kernels().dist2_f64(wide, centers + labels_[row] * d_, 1.0, d_);
}

/// dist2 of every row to its own centre as it is now; returns the rows that may have a nearer one.
std::vector<std::int64_t> Assignment::measure_own(const double* centers) {
  if (n_assigned_ == 0) return used_;
  constexpr std::int64_t kLaneRows = 2048;
  const auto n = static_cast<std::int64_t>(used_.size());
  const std::int64_t n_lanes = (n + kLaneRows - 1) / kLaneRows;
  std::vector<std::vector<std::int64_t>> unsure(static_cast<std::size_t>(n_lanes));
  const int n_threads = worthwhile_threads(4.0 * static_cast<double>(n) * static_cast<double>(d_));
  for_each_lane(n_lanes, n_threads, stop_, [&](const Lane& lane) {
    std::vector<double> wide(static_cast<std::size_t>(d_));
    for (std::int64_t i = lane.index * kLaneRows; i < std::min(n, (lane.index + 1) * kLaneRows); ++i) {
      const std::int64_t row = used_[static_cast<std::size_t>(i)];
      dist2_[row] = own_dist2(centers, row, wide.data());
      const bool sure = std::sqrt(dist2_[row]) * (1.0 + kMargin) < other_[row];  // NaN is unsure
      if (!sure) unsure[static_cast<std::size_t>(lane.index)].push_back(row);
    }
  });
  std::vector<std::int64_t> all;
  for (const auto& part : unsure) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void Assignment::assign(const double* centers, std::vector<std::uint8_t>& changed) {
  const std::vector<std::int64_t> unsure = measure_own(centers);
  n_scanned_ += static_cast<double>(unsure.size());
  ++n_assigned_;
  if (unsure.empty()) return;
  const MatrixView view({RowBlock{centers, k_, d_, DType::float64}}, d_);
  const MetricRows data(view, Metric::sqeuclidean, nullptr, stop_);
  std::vector<std::int64_t> all(static_cast<std::size_t>(k_));
  std::iota(all.begin(), all.end(), 0);
  Centers proposed(d_);
  proposed.resize(k_);
  BadRows bad;
  const auto n = static_cast<std::int64_t>(unsure.size());
  const int n_threads = worthwhile_threads(static_cast<double>(n) * static_cast<double>(k_) * static_cast<double>(d_));
  for_each_lane((k_ + kTile - 1) / kTile, n_threads, stop_, [&](const Lane& lane) {
    const std::int64_t first = lane.index * kTile;
    proposed.fill(data, frame_, all.data() + first, std::min(kTile, k_ - first), first, bad);
  });
  bad.throw_if_any<NonFiniteRows>();
  std::vector<std::unique_ptr<NearestSearch>> slots(static_cast<std::size_t>(n_threads));
  for_each_lane((n + kPanel - 1) / kPanel, n_threads, stop_, [&](const Lane& lane) {
    auto& search = slots[static_cast<std::size_t>(lane.slot)];
    if (!search) search = std::make_unique<NearestSearch>(frame_, rows_, data, 1, false);
    const std::int64_t first = lane.index * kPanel, size = std::min(kPanel, n - first);
    search->open(unsure.data() + first, size, bad);
    for (std::int64_t c = 0; c < k_; c += kTile) {
      if (!lane.keep_going()) return;
      search->scan(proposed, c, std::min(c + kTile, k_));
    }
    std::int64_t label[kPanel];
    double other2[kPanel];
    search->finish_labels(label, other2);
    std::vector<double> wide(static_cast<std::size_t>(d_));
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t row = unsure[static_cast<std::size_t>(first + i)];
      if (label[i] < 0) {  // no distance of it is a number
        bad.add(row);
        continue;
      }
      other_[row] = std::sqrt(other2[i]) * (1.0 - kMargin);
      if (label[i] == labels_[row]) continue;
      set_flag(changed, labels_[row]);
      set_flag(changed, label[i]);
      labels_[row] = label[i];
      dist2_[row] = own_dist2(centers, row, wide.data());
    }
  });
  bad.throw_if_any<NonFiniteRows>();
}

Assignment::Members Assignment::members() const {
  Members found;
  found.starts.assign(static_cast<std::size_t>(k_ + 1), 0);
  for (const std::int64_t row : used_) ++found.starts[labels_[row] + 1];
  std::partial_sum(found.starts.begin(), found.starts.end(), found.starts.begin());
  found.rows.resize(used_.size());
  std::vector<std::int64_t> next(found.starts.begin(), found.starts.end() - 1);
  for (const std::int64_t row : used_) found.rows[next[labels_[row]]++] = row;
  return found;
}

void Assignment::loosen(const std::vector<double>& moved2) {
  // Every other centre may have come nearer by the largest of their moves.
  std::int64_t farthest = 0;
  for (std::int64_t c = 1; c < k_; ++c) {
    if (moved2[c] > moved2[farthest]) farthest = c;
  }
  double second = 0.0;
  for (std::int64_t c = 0; c < k_; ++c) {
    if (c != farthest) second = std::max(second, moved2[c]);
  }
  const double most = std::sqrt(moved2[farthest]) * (1.0 + kMargin), less = std::sqrt(second) * (1.0 + kMargin);
  for (const std::int64_t row : used_) other_[row] -= labels_[row] == farthest ? less : most;
}

}  // namespace oneglance
