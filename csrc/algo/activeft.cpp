#include "oneglance/activeft.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "assignment.h"
#include "oneglance/check.h"
#include "oneglance/panel_kernels.h"
#include "oneglance/philox.h"
#include "repulsion.h"

namespace oneglance {
namespace {

constexpr std::uint32_t kPurpose = 9;  // Purpose::ACTIVEFT of python/oneglance/_rng.py

class ActiveFt {
 public:
  ActiveFt(const MetricRows& rows, const ActiveFtOptions& options)
      : rows_(rows),
        options_(options),
        b_(options.n_theta),
        d_(rows.n_dims()),
        v_(static_cast<std::size_t>(b_ * d_)),
        u_(v_.size()),
        gradient_(v_.size()),
        norm_(static_cast<std::size_t>(b_)),
        labels_(static_cast<std::size_t>(rows.n_rows())),
        dist2_(static_cast<std::size_t>(rows.n_rows())),
        changed_(static_cast<std::size_t>(b_)),
        assignment_(std::make_unique<Assignment>(rows, b_, options.stop, labels_.data(), dist2_.data())),
        repulsion_(b_, d_, options.tau, options.objective == ActiveFtObjective::released, options.stop) {}

  void set(const double* v) {
    std::copy_n(v, b_ * d_, v_.begin());
    normalise();
  }

  /// Step t uses options.sample_rows rows: those with the smallest of their random numbers of this step.
  void sample(int t) {
    if (pool_.empty()) pool_ = assignment_->used();
    if (options_.sample_rows <= 0 || options_.sample_rows >= static_cast<std::int64_t>(pool_.size())) return;
    std::vector<std::pair<double, std::int64_t>> keys;
    keys.reserve(pool_.size());
    for (const std::int64_t row : pool_) {
      keys.emplace_back(
          philox_uniform(options_.seed, kPurpose, static_cast<std::uint32_t>(t), static_cast<std::uint64_t>(row)), row);
    }
    std::nth_element(keys.begin(), keys.begin() + options_.sample_rows, keys.end());
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < options_.sample_rows; ++i) rows.push_back(keys[static_cast<std::size_t>(i)].second);
    std::sort(rows.begin(), rows.end());
    assignment_ = std::make_unique<Assignment>(rows_, b_, options_.stop, labels_.data(), dist2_.data(), &rows);
  }

  /// The objective at v, and its gradient.
  double evaluate() {
    assignment_->assign(u_.data(), changed_);
    repulsion_.set(u_.data());
    const double loss = options_.objective == ActiveFtObjective::released ? released() : paper();
    project();
    return loss;
  }

  void adam(int t) {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
    if (mean_.empty()) {
      mean_.assign(v_.size(), 0.0);
      square_.assign(v_.size(), 0.0);
    }
    const double correct1 = 1.0 - std::pow(kBeta1, t), correct2 = 1.0 - std::pow(kBeta2, t);
    for (std::size_t i = static_cast<std::size_t>(options_.n_fixed * d_); i < v_.size(); ++i) {
      mean_[i] = kBeta1 * mean_[i] + (1.0 - kBeta1) * gradient_[i];
      square_[i] = kBeta2 * square_[i] + (1.0 - kBeta2) * gradient_[i] * gradient_[i];
      v_[i] -= options_.learning_rate * (mean_[i] / correct1) / (std::sqrt(square_[i] / correct2) + kEpsilon);
    }
    const std::vector<double> before = u_;
    normalise();
    std::vector<double> moved2(static_cast<std::size_t>(b_), 0.0);
    for (std::int64_t k = 0; k < b_; ++k) {
      for (std::int64_t j = k * d_; j < (k + 1) * d_; ++j) moved2[k] += (u_[j] - before[j]) * (u_[j] - before[j]);
    }
    assignment_->loosen(moved2);
  }

  bool finite() const {
    return std::all_of(u_.begin(), u_.end(), [](double value) { return std::isfinite(value); });
  }
  const std::vector<double>& theta() const { return u_; }
  const std::vector<double>& gradient() const { return gradient_; }
  double scanned() const { return assignment_->scanned(); }

 private:
  void normalise() {
    for (std::int64_t k = 0; k < b_; ++k) {
      const double* v = v_.data() + k * d_;
      norm_[k] = std::sqrt(std::inner_product(v, v + d_, v, 0.0));
      for (std::int64_t j = 0; j < d_; ++j) u_[k * d_ + j] = v[j] / norm_[k];
    }
  }

  double score(std::int64_t row) const { return (1.0 - 0.5 * dist2_[row]) / options_.tau; }

  /// gradient_[k] = -factor * sum over the rows of theta k of weight[row] f_row; null: weight 1.
  void pull(const double* weight, double factor) {
    const Assignment::Members of_theta = assignment_->members();
    const int n_threads = worthwhile_threads(2.0 * static_cast<double>(of_theta.rows.size()) * static_cast<double>(d_));
    for_each_lane(b_, n_threads, options_.stop, [&](const Lane& lane) {
      double* out = gradient_.data() + lane.index * d_;
      std::fill_n(out, d_, 0.0);
      std::vector<double> wide(static_cast<std::size_t>(d_));
      for (std::int64_t i = of_theta.starts[lane.index]; i < of_theta.starts[lane.index + 1]; ++i) {
        rows_.widen(of_theta.rows[i], wide.data());
        panel_kernels().scale_row_f64(wide.data(), -factor * (weight == nullptr ? 1.0 : weight[of_theta.rows[i]]), d_);
        panel_kernels().add_f64(out, wide.data(), d_);
      }
    });
  }

  double paper() {
    const auto n = static_cast<double>(assignment_->used().size());
    pull(nullptr, 1.0 / (n * options_.tau));
    double attraction = 0.0;
    for (const std::int64_t row : assignment_->used()) attraction += score(row);
    if (b_ == 1) return -attraction / n;  // nothing to keep apart from
    std::vector<double> top, z, plain, sum, log_z(static_cast<std::size_t>(b_));
    repulsion_.sums(top, z, plain);
    for (std::int64_t k = 0; k < b_; ++k) log_z[k] = std::log(z[k]) + top[k] / options_.tau;
    const double apart = std::accumulate(log_z.begin(), log_z.end(), 0.0);
    repulsion_.sums_less(log_z, sum);
    const double factor = options_.balance / (static_cast<double>(b_) * options_.tau);
    for (std::int64_t k = 0; k < b_; ++k) {
      for (std::int64_t j = k * d_; j < (k + 1) * d_; ++j) gradient_[j] += factor * (sum[j] + plain[j] / z[k]);
    }
    return -attraction / n + options_.balance * apart / static_cast<double>(b_);
  }

  double released() {
    std::vector<double> top, z, sum, weight(dist2_.size(), 0.0), of_theta(static_cast<std::size_t>(b_), 0.0);
    repulsion_.sums(top, z, sum);  // top is 1: an item at its theta has exponent 0 as well
    double loss = 0.0;
    for (const std::int64_t row : assignment_->used()) {
      const double s = score(row), far = options_.balance * z[labels_[row]];
      const double near = std::exp(s - 1.0 / options_.tau);
      weight[row] = far / (near + far);
      of_theta[labels_[row]] += weight[row];
      loss += std::log(near + far) + 1.0 / options_.tau - s;
    }
    const double factor = 1.0 / (static_cast<double>(assignment_->used().size()) * options_.tau);
    pull(weight.data(), factor);
    for (std::int64_t k = 0; k < b_; ++k) {
      for (std::int64_t j = k * d_; j < (k + 1) * d_; ++j) gradient_[j] += factor * of_theta[k] / z[k] * sum[j];
    }
    return loss / static_cast<double>(assignment_->used().size());
  }

  /// From the gradient with respect to theta to that with respect to v.
  void project() {
    for (std::int64_t k = 0; k < b_; ++k) {
      double* g = gradient_.data() + k * d_;
      const double* u = u_.data() + k * d_;
      const double along = std::inner_product(g, g + d_, u, 0.0);
      for (std::int64_t j = 0; j < d_; ++j) g[j] = (g[j] - along * u[j]) / norm_[k];
    }
  }

  const MetricRows& rows_;
  const ActiveFtOptions& options_;
  std::int64_t b_, d_;
  std::vector<double> v_, u_, gradient_, norm_, mean_, square_;
  std::vector<std::int64_t> labels_;
  std::vector<double> dist2_;
  std::vector<std::uint8_t> changed_;
  std::vector<std::int64_t> pool_;
  std::unique_ptr<Assignment> assignment_;
  Repulsion repulsion_;
};

}  // namespace

ActiveFtReport activeft(const MetricRows& rows, const ActiveFtOptions& options, double* theta) {
  ActiveFt fit(rows, options);
  fit.set(theta);
  ActiveFtReport report;
  for (int t = 1; t <= options.n_iter && fit.finite(); ++t) {
    fit.sample(t);
    report.loss.push_back(fit.evaluate());
    fit.adam(t);
  }
  report.scanned = options.n_iter > 0 ? fit.scanned() : 0.0;
  std::copy(fit.theta().begin(), fit.theta().end(), theta);
  return report;
}

double activeft_gradient(const MetricRows& rows, const ActiveFtOptions& options, const double* v, double* gradient) {
  ActiveFt fit(rows, options);
  fit.set(v);
  const double loss = fit.evaluate();
  std::copy(fit.gradient().begin(), fit.gradient().end(), gradient);
  return loss;
}

}  // namespace oneglance
