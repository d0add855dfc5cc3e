#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/metric_rows.h"
#include "propose.h"

namespace oneglance {

/// Blocks of the Gaussian kernel exp(-dist2 / width): float32, multiples of 2^-30, at most 1. A value does not depend
/// on which of the two rows comes first. Rows far from the others compared with the width, for which float32 products
/// would lose the exponent, are compared in float64 where the value can be more than 0.
class KernelValues {
 public:
  KernelValues(const MetricRows& rows, double width);

  /// Some rows in the frame.
  struct Side {
    Points points;
    std::vector<std::int64_t> rows;
    std::vector<float> norms2;
    double most = 0.0;  // the largest of norms2
    std::int64_t size() const { return points.size(); }
  };
  void load(const std::int64_t* rows, std::int64_t n, Side& side) const;
  /// out (a.size(), b.size())
  void block(const Side& a, const Side& b, std::vector<float>& out) const;

 private:
  struct Pair {
    std::int64_t i, j;
  };
  std::vector<Pair> far_pairs(const Side& a, const Side& b, const float* products) const;
  void measure(const Side& a, const Side& b, const std::vector<Pair>& pairs, float* out) const;

  const MetricRows& rows_;
  Frame frame_;
  double width_;
  float scale_;
};

}  // namespace oneglance
