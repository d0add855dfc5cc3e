#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/metric_rows.h"
#include "propose.h"

namespace oneglance {

/// Blocks of the Gaussian kernel exp(-dist2 / width): float32, multiples of 2^-30. A value does not depend on which
/// of the two rows comes first.
class KernelValues {
 public:
  KernelValues(const MetricRows& rows, double width);

  /// Some rows in the frame.
  struct Side {
    Points points;
    std::vector<float> norms2;
    std::int64_t size() const { return points.size(); }
  };
  void load(const std::int64_t* rows, std::int64_t n, Side& side) const;
  /// out (a.size(), b.size())
  void block(const Side& a, const Side& b, std::vector<float>& out) const;

 private:
  const MetricRows& rows_;
  Frame frame_;
  float scale_;
};

}  // namespace oneglance
