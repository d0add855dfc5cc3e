#include "oneglance/kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "assignment.h"
#include "oneglance/distance_kernels.h"
#include "oneglance/panel_kernels.h"

namespace oneglance {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
class Lloyd {
 public:
  Lloyd(const MetricRows& rows, const KMeansOptions& options, double* centers, std::int64_t* labels, double* distances)
      : rows_(rows),
        stop_(options.stop),
        k_(options.n_clusters),
        d_(rows.n_dims()),
        centers_(centers),
        labels_(labels),
        dist2_(distances),
        assignment_(rows, k_, options.stop, labels, distances),
        changed_(static_cast<std::size_t>(k_), 1) {
    if (!spherical()) return;
    for (std::int64_t c = 0; c < k_; ++c) normalise(center(c));
  }

  void assign() { assignment_.assign(centers_, changed_); }

  /// Mean distance of a row to its centre, added up in row order.
  double mean_distance() const {
    double total = 0.0;
    for (const std::int64_t row : used()) total += in_unit(dist2_[row]);
    return total / static_cast<double>(used().size());
  }

  /// Empty clusters take the farthest rows; returns how many did.
  std::int64_t fill_empty() {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(k_), 0);
    for (const std::int64_t row : used()) ++counts[labels_[row]];
    std::vector<std::int64_t> empty;
    for (std::int64_t c = 0; c < k_; ++c) {
      if (counts[c] == 0) empty.push_back(c);
    }
    if (empty.empty()) return 0;
    std::vector<std::int64_t> farthest = used();
    const auto n = static_cast<std::ptrdiff_t>(empty.size());
    std::partial_sort(farthest.begin(), farthest.begin() + n, farthest.end(), [&](std::int64_t a, std::int64_t b) {
      return dist2_[a] > dist2_[b] || (dist2_[a] == dist2_[b] && a < b);
    });
    for (std::size_t i = 0; i < empty.size(); ++i) {
      const std::int64_t row = farthest[i];
      changed_[labels_[row]] = changed_[empty[i]] = 1;
      labels_[row] = empty[i];
      assignment_.forget(row);
    }
    return n;
  }

  /// Centres become means; returns the mean distance that they moved.
  double update() {
    const auto [members, starts] = assignment_.members();
    std::vector<double> moved2(static_cast<std::size_t>(k_), 0.0);
    const int n_threads = worthwhile_threads(static_cast<double>(members.size()) * static_cast<double>(d_));
    for_each_lane(k_, n_threads, stop_, [&, &members = members, &starts = starts](const Lane& lane) {
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
    assignment_.loosen(moved2);
    return in_unit(std::accumulate(moved2.begin(), moved2.end(), 0.0)) / static_cast<double>(k_);
  }

  double scanned() const { return assignment_.scanned(); }
  void to_units() {
    for (const std::int64_t row : used()) dist2_[row] = in_unit(dist2_[row]);
  }

 private:
  bool spherical() const { return rows_.metric() == Metric::cosine; }
  double in_unit(double dist2) const { return spherical() ? 0.5 * dist2 : dist2; }
  const std::vector<std::int64_t>& used() const { return assignment_.used(); }
  double* center(std::int64_t c) { return centers_ + c * d_; }

  bool normalise(double* row) const {
    const std::vector<double> zeros(static_cast<std::size_t>(d_), 0.0);
    std::vector<double> scratch(row, row + d_);
    const double inverse = inverse_norm(scratch.data(), zeros.data(), d_);
    if (inverse == 0.0) return false;
    panel_kernels().scale_row_f64(row, inverse, d_);  // the same bits as a row of the pool
    return true;
  }

  const MetricRows& rows_;
  StopRequest stop_;
  std::int64_t k_, d_;
  double* centers_;
  std::int64_t* labels_;
  double* dist2_;
  Assignment assignment_;
  std::vector<std::uint8_t> changed_;  // clusters whose members changed since the last means
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
    require_finite_dist2(mean_distance);
    report.reassigned += lloyd.fill_empty();
    const double movement = lloyd.update();
    report.shift = mean_distance > 0.0 ? std::sqrt(movement / mean_distance) : 0.0;
    ++report.n_iter;
    lloyd.assign();
  }
  report.converged = report.shift <= options.tol;
  report.scanned = lloyd.scanned();
  lloyd.to_units();
  return report;
}

}  // namespace oneglance
