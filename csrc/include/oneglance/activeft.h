#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/metric_rows.h"

namespace oneglance {

/// ActiveFT (arXiv 2303.14382): unit vectors theta_1 .. theta_B whose distribution comes near that of the rows f_i
/// (unit norm) while they keep apart. With c_i the theta of largest cosine to f_i, s_i = f_i . theta_{c_i} / tau and
/// e_jk = exp(theta_j . theta_k / tau), minimised by Adam over v_k with theta_k = v_k / |v_k|:
///   paper     L = -mean_i s_i + balance * mean_j log sum_{k != j} e_jk
///   released  L = mean_i [ -s_i + log(e^{s_i} + balance * Z_{c_i}) ],  Z_k = sum_j e_jk without gradient through j
enum class ActiveFtObjective : std::uint8_t { paper, released };

struct ActiveFtOptions {
  ActiveFtObjective objective = ActiveFtObjective::paper;
  std::int64_t n_theta = 0;
  std::int64_t n_fixed = 0;  // the first so many stay where they are (labelled items)
  int n_iter = 300;
  double tau = 0.07, balance = 1.0, learning_rate = 1e-3;
  std::int64_t sample_rows = 0;  // rows per iteration, drawn without replacement by Philox; 0 = all
  std::uint64_t seed = 0;
  StopRequest stop;
};

/// loss  value of the objective before each step (of that step's rows)
/// scanned  rows compared with all thetas, per row and iteration (bounds save the others; 1 with sample_rows)
struct ActiveFtReport {
  std::vector<double> loss;
  double scanned = 0.0;
};

/// theta (B, d) in and out, float64: starting vectors of any norm but 0; of unit norm afterwards. It ends at the step
/// that drives a theta out of float64 (tau, lambda or the rate too far off), with theta as it is then.
///
/// Per iteration: the exact assignment of rows to thetas (one N x B product at most), weighted sums of the rows of
/// each theta, and the B x B softmax term in blocks, two products (three for `paper`); nothing of size N x B or
/// B x B is kept. Products of the softmax term are float32, all sums float64 in a fixed order: same build and
/// processor type, same bytes for any number of threads. Memory O(N + B d). rows: cosine metric.
/// Throws NonFiniteRows, Interrupted.
ActiveFtReport activeft(const MetricRows& rows, const ActiveFtOptions& options, double* theta);

/// The objective at v (B, d) for all rows, and its gradient (B, d) with respect to v.
double activeft_gradient(const MetricRows& rows, const ActiveFtOptions& options, const double* v, double* gradient);

}  // namespace oneglance
