#pragma once
#include <cstdint>
#include <deque>
#include <vector>

namespace oneglance {

/// Anderson mixing (Anderson 1965, type II) for a fixed point x = x + f(x).
class AndersonMixing {
 public:
  explicit AndersonMixing(std::size_t depth) : depth_(depth) {}

  /// Next iterate from (x, f(x)) and up to `depth` earlier ones: the combination whose linearised
  /// residual is smallest, plus `damping` times that residual. Differences that are numerically
  /// dependent on newer ones are left out. Cost O(depth * size).
  std::vector<double> next(const std::vector<double>& x, const std::vector<double>& f, double damping);

  /// Forgets all earlier iterates.
  void clear();

 private:
  struct Difference {
    std::vector<double> x, f;
  };
  std::size_t depth_;
  std::deque<Difference> history_;  // newest first
  std::vector<double> last_x_, last_f_;
};

}  // namespace oneglance
