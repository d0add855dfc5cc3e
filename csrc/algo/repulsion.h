#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/parallel.h"

namespace oneglance {

/// Sums of exp(u_j . u_k / tau) between unit vectors without keeping the matrix: blocks of u_k against tiles of u_j,
/// float32 products, float64 sums in tile order. No exponent is above 0, whatever tau.
class Repulsion {
 public:
  Repulsion(std::int64_t n_theta, std::int64_t n_dims, double tau, bool with_self, const StopRequest& stop);

  /// u (B, d) float64 of unit norm.
  void set(const double* u);
  /// With e_jk = exp((u_j . u_k - top[k]) / tau), top[k] the largest of row k's products (with_self: 1, which is):
  /// z[k] = sum_j e_jk, out[k] = sum_j e_jk u_j (B, d).
  void sums(std::vector<double>& top, std::vector<double>& z, std::vector<double>& out) const;
  /// out[k] = sum_j exp(u_j . u_k / tau - less[j]) u_j (B, d), less (B,) such that no exponent is above 0.
  void sums_less(const std::vector<double>& less, std::vector<double>& out) const;

 private:
  struct Scratch {
    std::vector<float> product, sum;
  };
  template <typename Exponentials>
  void run(std::vector<double>& out, const Exponentials& exponentials) const;

  std::int64_t n_, d_;
  double tau_;
  bool with_self_;
  StopRequest stop_;
  std::vector<float> u_;
};

}  // namespace oneglance
