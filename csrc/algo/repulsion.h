#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/parallel.h"

namespace oneglance {

/// exp((u_j . u_k - 1) / tau) between unit vectors, summed without keeping the matrix: blocks of u_k against tiles of
/// u_j, float32 products, float64 sums in tile order. The factor e^(-1/tau) keeps every term at most 1.
class Repulsion {
 public:
  Repulsion(std::int64_t n_theta, std::int64_t n_dims, double tau, bool with_self, const StopRequest& stop);

  /// u (B, d) float64 of unit norm.
  void set(const double* u);
  /// z[k] = sum_j e_jk.
  void sums(std::vector<double>& z) const;
  /// z[k] = sum_j e_jk a_j and out[k] = sum_j e_jk a_j u_j (B, d); weights a (B,) or null for 1.
  void weighted(const double* weights, std::vector<double>& z, std::vector<double>& out) const;

 private:
  void run(const double* weights, std::vector<double>& z, std::vector<double>* out) const;

  std::int64_t n_, d_;
  double tau_;
  bool with_self_;
  StopRequest stop_;
  std::vector<float> u_;
};

}  // namespace oneglance
