#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

// The parts of ActiveFT (include/oneglance/activeft.h) around the library's products. theta_k are B unit vectors of d
// numbers; e_jk = exp((theta_j . theta_k - 1) / tau). Device pointers; every call returns before the work is done and
// throws LaunchError.

/// Running softmax of rows of products, as in flash attention: what was summed so far is scaled to the new maximum, and
/// the tile becomes exp(value - maximum), ready for its product with the thetas, which the caller adds to `out`.
///   products  (n_queries, n_keys) float32 cosines in, terms out
///   bias      (n_keys) float64 added to (cosine - 1) / tau; null: 0
///   self      position of query 0 among the keys of this tile (it may lie outside): that theta itself is left out;
///             with_self keeps it
///   most, total  (n_queries) float64: the maximum so far and the sum of terms below it; begin as -inf and 0
///   out       (n_queries, n_dims) float32 sums of terms times thetas, scaled here to the new maximum
void softmax_tile(float* products, std::int64_t n_queries, std::int64_t n_keys, float scale, const double* bias,
                  std::int64_t self, bool with_self, double* most, double* total, float* out, std::int64_t n_dims,
                  std::uintptr_t stream);

/// log_sum[k] = most[k] + log(total[k])
void softmax_log_sum(const double* most, const double* total, std::int64_t n, double* log_sum, std::uintptr_t stream);

/// What each row adds. s = cosine to its theta / tau, far = log(balance sum_j e_jk) + 1 / tau of that theta:
///   released  weight 1 / (1 + exp(s - far)), loss log(1 + exp(far - s));   paper (log_sum null)  weight 1, loss -s
///   labels, dist2  (n) theta of each row, and its squared distance to it
///   log_sum   (B) log sum_j e_jk
///   loss      (1,) the mean over rows; partial (ceil(n / kLossRows)) scratch
constexpr std::int64_t kLossRows = 1024;
void activeft_rows(const std::int64_t* labels, const double* dist2, std::int64_t n, const double* log_sum, double tau,
                   double log_balance, double* weight, double* partial, double* loss, std::uintptr_t stream);

/// pull[k] = sum of weight * scale * row over the rows of theta k, in row order, in float64; weights[k] of the weights.
///   order  (n) rows sorted by label
void activeft_pull(const DeviceRows& rows, const double* scale, const std::int64_t* labels, const std::int64_t* order,
                   const double* weight, std::int64_t n_theta, double* pull, double* weights, std::uintptr_t stream);

/// The gradient with respect to v = norm * theta, and Adam's step.
///   gradient (B, d) = the part orthogonal to theta of -row_factor * pull + apart, divided by norm, with
///     released  apart = row_factor * weights_k * mean_k                      (mean = out / total)
///     paper     apart = theta_factor * (mean_k + exp(most2_k) * out2_k)      (theta_factor 0: nothing to keep apart)
///   m, s (B, d) Adam's averages; thetas from n_fixed on move by rate, with corrections correct1, correct2 (rate 0:
///   nothing moves); v, theta (float64), narrow (theta in float32) and norm are brought up to date
struct ActiveFtStep {
  std::int64_t n_theta = 0, n_dims = 0, n_fixed = 0;
  const double *pull = nullptr, *weights = nullptr;
  double row_factor = 0.0, theta_factor = 0.0;
  const float *out = nullptr, *out2 = nullptr;
  const double *total = nullptr, *most2 = nullptr;
  double rate = 0.0, correct1 = 1.0, correct2 = 1.0;
  double *gradient = nullptr, *m = nullptr, *s = nullptr, *v = nullptr, *theta = nullptr, *norm = nullptr;
  float* narrow = nullptr;
};
void activeft_step(const ActiveFtStep& step, std::uintptr_t stream);

}  // namespace oneglance::cuda
