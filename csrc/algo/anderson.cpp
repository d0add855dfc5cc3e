#include "anderson.h"

#include <cmath>

namespace oneglance {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void subtract(std::vector<double>& a, double factor, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= factor * b[i];
}

}  // namespace

void AndersonMixing::clear() {
  history_.clear();
  last_x_.clear();
  last_f_.clear();
}

std::vector<double> AndersonMixing::next(const std::vector<double>& x, const std::vector<double>& f, double damping) {
  if (!last_x_.empty()) {
    Difference difference{x, f};
    subtract(difference.x, 1.0, last_x_);
    subtract(difference.f, 1.0, last_f_);
    history_.push_front(std::move(difference));
    if (history_.size() > depth_) history_.pop_back();
  }
  last_x_ = x;
  last_f_ = f;

  std::vector<double> mixed_x = x, mixed_f = f;
  // Gram-Schmidt from the newest difference to the oldest: each orthogonal direction is removed from
  // the residual, and the same combination of steps from the iterate.
  constexpr double kDependent = 1e-10;
  std::vector<Difference> directions;
  for (const Difference& difference : history_) {
    Difference direction = difference;
    const double norm2_before = dot(direction.f, direction.f);
    for (int round = 0; round < 2; ++round) {  // twice is enough (Kahan)
      for (const Difference& earlier : directions) {
        const double share = dot(earlier.f, direction.f);
        subtract(direction.f, share, earlier.f);
        subtract(direction.x, share, earlier.x);
      }
    }
    const double norm2 = dot(direction.f, direction.f);
    if (!(norm2 > kDependent * kDependent * norm2_before)) continue;
    const double inverse = 1.0 / std::sqrt(norm2);
    for (std::size_t i = 0; i < direction.f.size(); ++i) {
      direction.f[i] *= inverse;
      direction.x[i] *= inverse;
    }
    const double share = dot(direction.f, mixed_f);
    subtract(mixed_f, share, direction.f);
    subtract(mixed_x, share, direction.x);
    directions.push_back(std::move(direction));
  }
  for (std::size_t i = 0; i < mixed_x.size(); ++i) mixed_x[i] += damping * mixed_f[i];
  return mixed_x;
}

}  // namespace oneglance
