#include "oneglance/kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "oneglance/check.h"
#include "oneglance/distance_kernels.h"
#include "oneglance/panel_kernels.h"
#include "propose.h"

namespace oneglance {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kLaneRows = 2048;  // the unit of sums over rows: depends on nothing

class Lloyd {
 public:
  Lloyd(const MetricRows& rows, const KMeansOptions& options, double* centers, std::int64_t* labels, double* distances)
      : rows_(rows),
        frame_(rows),
        options_(options),
        k_(options.n_clusters),
        d_(rows.n_dims()),
        centers_(centers),
        labels_(labels),
        dist2_(distances),
        other_(static_cast<std::size_t>(rows.n_rows()), 0.0),
        changed_(static_cast<std::size_t>(k_), 1) {
    for (std::int64_t row = 0; row < rows.n_rows(); ++row) {
      labels_[row] = -1;
      dist2_[row] = std::numeric_limits<double>::quiet_NaN();
      if (rows.used(row)) ids_.push_back(row);
    }
    if (spherical()) {
      for (std::int64_t c = 0; c < k_; ++c) normalise(center(c));
    }
  }

  bool spherical() const { return rows_.metric() == Metric::cosine; }
  double in_unit(double dist2) const { return spherical() ? 0.5 * dist2 : dist2; }

  /// Labels, dist2 to the own centre, and lower bounds on the distance to every other.
  void assign() {
    const std::vector<std::int64_t> unsure = measure_own();
    scanned_ += static_cast<double>(unsure.size());
    ++n_assigned_;
    if (unsure.empty()) return;
    const MatrixView view({RowBlock{centers_, k_, d_, DType::float64}}, d_);
    const MetricRows data(view, Metric::sqeuclidean, nullptr, options_.stop);
    std::vector<std::int64_t> all(static_cast<std::size_t>(k_));
    std::iota(all.begin(), all.end(), 0);
    Centers proposed(d_);
    proposed.resize(k_);
    BadRows bad;
    const auto n = static_cast<std::int64_t>(unsure.size());
    const int n_threads =
        worthwhile_threads(static_cast<double>(n) * static_cast<double>(k_) * static_cast<double>(d_));
    constexpr std::int64_t kTile = NearestSearch::kTileCenters;
    for_each_lane((k_ + kTile - 1) / kTile, n_threads, options_.stop, [&](const Lane& lane) {
      const std::int64_t first = lane.index * kTile;
      proposed.fill(data, frame_, all.data() + first, std::min(kTile, k_ - first), first, bad);
    });
    constexpr std::int64_t kPanel = NearestSearch::kPanelRows;
    std::vector<std::unique_ptr<NearestSearch>> slots(static_cast<std::size_t>(n_threads));
    for_each_lane((n + kPanel - 1) / kPanel, n_threads, options_.stop, [&](const Lane& lane) {
      auto& search = slots[static_cast<std::size_t>(lane.slot)];
      if (!search) search = std::make_unique<NearestSearch>(frame_, rows_, data, 1, false);
      const std::int64_t first = lane.index * kPanel, size = std::min(kPanel, n - first);
      search->open(unsure.data() + first, size, bad);
      for (std::int64_t c = 0; c < k_ && lane.keep_going(); c += kTile) {
        search->scan(proposed, c, std::min(c + kTile, k_));
      }
      std::int64_t label[kPanel];
      double other2[kPanel];
      search->finish_labels(label, other2);
      std::vector<double> wide(static_cast<std::size_t>(d_));
      for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t row = unsure[static_cast<std::size_t>(first + i)];
        other_[row] = std::sqrt(other2[i]) * (1.0 - 1e-12);
        if (label[i] == labels_[row]) continue;
        changed_of(labels_[row]);
        changed_of(label[i]);
        labels_[row] = label[i];
        dist2_[row] = own_dist2(row, wide.data());
      }
    });
    bad.throw_if_any<NonFiniteRows>();
  }

  /// Mean distance of a row to its centre, and the rows that empty clusters take.
  double mean_distance() const {
    double total = 0.0;
    for (const std::int64_t row : ids_) total += in_unit(dist2_[row]);
    return total / static_cast<double>(ids_.size());
  }

  std::int64_t fill_empty() {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(k_), 0);
    for (const std::int64_t row : ids_) ++counts[labels_[row]];
    std::vector<std::int64_t> empty;
    for (std::int64_t c = 0; c < k_; ++c) {
      if (counts[c] == 0) empty.push_back(c);
    }
    if (empty.empty()) return 0;
    std::vector<std::int64_t> farthest = ids_;
    const auto n = static_cast<std::ptrdiff_t>(empty.size());
    std::partial_sort(farthest.begin(), farthest.begin() + n, farthest.end(), [&](std::int64_t a, std::int64_t b) {
      return dist2_[a] > dist2_[b] || (dist2_[a] == dist2_[b] && a < b);
    });
    for (std::size_t i = 0; i < empty.size(); ++i) {
      const std::int64_t row = farthest[i];
      changed_of(labels_[row]);
      changed_of(empty[i]);
      labels_[row] = empty[i];
      other_[row] = 0.0;
    }
    return n;
  }

  /// Centres become means; returns the mean distance that they moved, and loosens the bounds by it.
  double update() {
    std::vector<std::int64_t> starts(static_cast<std::size_t>(k_ + 1), 0);
    for (const std::int64_t row : ids_) ++starts[labels_[row] + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    std::vector<std::int64_t> members(ids_.size()), next(starts.begin(), starts.end() - 1);
    for (const std::int64_t row : ids_) members[next[labels_[row]]++] = row;

    std::vector<double> moved2(static_cast<std::size_t>(k_), 0.0);
    const int n_threads = worthwhile_threads(static_cast<double>(ids_.size()) * static_cast<double>(d_));
    for_each_lane(k_, n_threads, options_.stop, [&](const Lane& lane) {
      const std::int64_t c = lane.index;
      if (changed_[c] == 0 || starts[c] == starts[c + 1] || !lane.keep_going()) return;
      std::vector<double> mean(static_cast<std::size_t>(d_), 0.0), wide(static_cast<std::size_t>(d_));
      for (std::int64_t i = starts[c]; i < starts[c + 1]; ++i) {
        rows_.widen(members[i], wide.data());
        panel_kernels().add_f64(mean.data(), wide.data(), d_);
      }
      const auto count = static_cast<double>(starts[c + 1] - starts[c]);
      for (double& value : mean) value /= count;
      if (spherical() && !normalise(mean.data())) return;
      moved2[c] = distance_kernels().dist2_f64(mean.data(), center(c), 1.0, d_);
      std::copy(mean.begin(), mean.end(), center(c));
    });
    std::fill(changed_.begin(), changed_.end(), std::uint8_t{0});
    loosen(moved2);
    return in_unit(std::accumulate(moved2.begin(), moved2.end(), 0.0)) / static_cast<double>(k_);
  }

  double scanned() const {
    return scanned_ / (static_cast<double>(n_assigned_) * static_cast<double>(std::max<std::size_t>(1, ids_.size())));
  }
  void to_units() {
    for (const std::int64_t row : ids_) dist2_[row] = in_unit(dist2_[row]);
  }

 private:
  double* center(std::int64_t c) { return centers_ + c * d_; }

  void changed_of(std::int64_t cluster) {
    // Several threads may set the same flag to the same value.
    if (cluster >= 0) __atomic_store_n(&changed_[static_cast<std::size_t>(cluster)], 1, __ATOMIC_RELAXED);
  }

  bool normalise(double* row) const {
    const std::vector<double> zeros(static_cast<std::size_t>(d_), 0.0);
    const double norm = std::sqrt(distance_kernels().dist2_f64(zeros.data(), row, 1.0, d_));
    if (norm == 0.0) return false;
    for (std::int64_t j = 0; j < d_; ++j) row[j] /= norm;
    return true;
  }

  double own_dist2(std::int64_t row, double* wide) const {
    rows_.widen(row, wide);
    return distance_kernels().dist2_f64(wide, centers_ + labels_[row] * d_, 1.0, d_);
  }

  /// dist2 of every row to its own centre as it is now; returns the rows that may have a nearer one.
  std::vector<std::int64_t> measure_own() {
    if (n_assigned_ == 0) return ids_;
    const auto n = static_cast<std::int64_t>(ids_.size());
    const std::int64_t n_lanes = (n + kLaneRows - 1) / kLaneRows;
    std::vector<std::vector<std::int64_t>> unsure(static_cast<std::size_t>(n_lanes));
    const int n_threads = worthwhile_threads(4.0 * static_cast<double>(n) * static_cast<double>(d_));
    for_each_lane(n_lanes, n_threads, options_.stop, [&](const Lane& lane) {
      std::vector<double> wide(static_cast<std::size_t>(d_));
      for (std::int64_t i = lane.index * kLaneRows; i < std::min(n, (lane.index + 1) * kLaneRows); ++i) {
        const std::int64_t row = ids_[static_cast<std::size_t>(i)];
        dist2_[row] = own_dist2(row, wide.data());
        // Rounding of either side is far below the margin; written so that NaN is unsure.
        const bool sure = std::sqrt(dist2_[row]) * (1.0 + 1e-9) < other_[row];
        if (!sure) unsure[static_cast<std::size_t>(lane.index)].push_back(row);
      }
    });
    std::vector<std::int64_t> all;
    for (const auto& part : unsure) all.insert(all.end(), part.begin(), part.end());
    return all;
  }

  /// Centres moved: every other centre may have come nearer by the largest of their moves.
  void loosen(const std::vector<double>& moved2) {
    std::int64_t farthest = 0;
    for (std::int64_t c = 1; c < k_; ++c) {
      if (moved2[c] > moved2[farthest]) farthest = c;
    }
    double second = 0.0;
    for (std::int64_t c = 0; c < k_; ++c) {
      if (c != farthest) second = std::max(second, moved2[c]);
    }
    const double most = std::sqrt(moved2[farthest]) * (1.0 + 1e-9), less = std::sqrt(second) * (1.0 + 1e-9);
    for (const std::int64_t row : ids_) other_[row] -= labels_[row] == farthest ? less : most;
  }

  const MetricRows& rows_;
  Frame frame_;
  const KMeansOptions& options_;
  std::int64_t k_, d_;
  double* centers_;
  std::int64_t* labels_;
  double* dist2_;
  std::vector<double> other_;          // lower bound on the distance to every centre but the own one
  std::vector<std::uint8_t> changed_;  // clusters whose members changed since the last means
  std::vector<std::int64_t> ids_;
  double scanned_ = 0.0;
  std::int64_t n_assigned_ = 0;
};

}  // namespace

KMeansReport kmeans(const MetricRows& rows, const KMeansOptions& options, double* centers, std::int64_t* labels,
                    double* distances) {
  Lloyd lloyd(rows, options, centers, labels, distances);
  KMeansReport report;
  report.shift = kInfinity;
  lloyd.assign();
  while (report.n_iter < options.max_iter && report.shift > options.tol) {
    const double mean_distance = lloyd.mean_distance();
    report.reassigned += lloyd.fill_empty();
    const double movement = lloyd.update();
    report.shift = movement == 0.0 ? 0.0 : mean_distance > 0.0 ? std::sqrt(movement / mean_distance) : kInfinity;
    ++report.n_iter;
    lloyd.assign();
  }
  report.converged = report.shift <= options.tol;
  report.scanned = lloyd.scanned();
  lloyd.to_units();
  return report;
}

}  // namespace oneglance
