#pragma once
#include "oneglance/basis.h"

namespace oneglance {

struct LewisOptions {
  double p = 2.0;
  double tol = 1e-6;     // on the residual
  int max_passes = 100;  // readings of the rows, at least 2
};

struct LewisReport {
  std::int64_t rank = 0;
  int passes = 0;    // readings of the rows, all counted
  int restarts = 0;  // times the safeguard threw the acceleration history away
  double residual = 0.0;
  bool converged = false;
  bool float32_products = false;  // of the last pass
  double condition = 1.0;
};

/// l_p Lewis weights, any p > 0 (Cohen and Peng 2015): w_i^(2/p) = a_i' (A' W^(1-2/p) A)^-1 a_i.
///
/// Iterates on the d x d form G = sum_i w_i^(1-2/p) a_i a_i' alone: with G = R'R one reading gives
/// b_i = R^-T a_i, tau_i = |b_i|^2 and P = sum_i tau_i^(p/2-1) b_i b_i'; the map is G -> R' P R. Steps are
/// damped by 4/(p+2) for p > 2, mixed over the last 6 (Anderson 1965) and safeguarded: a mix that is not
/// positive definite or lets the residual grow falls back to the plain damped step.
///
///   weights   (n,) out: tau_i^(p/2), scaled so that they sum to the rank. Zero or masked rows get 0
///   residual  max |log eigenvalue of P| at the last pass (P scaled to trace = rank). It bounds
///             |log r_i| of every row, r_i = a_i' G(w)^-1 a_i / w_i^(2/p): the certificate of the paper's
///             Lemma 3.5, so for p < 4 each weight is within exp(+-c residual) of the true one with
///             c = (p/2) / (1 - |p/2 - 1|).
///             p = 2 with a tol that float32 meets by far: a bound from 10 random probes of P instead, above the
///             former with probability 1 - 1e-10 and by about 4 sqrt(rank), plus the rounding of the scores.
/// Stops when residual <= tol or max_passes readings were spent; the caller decides what that means.
/// State between passes is d x d. Cost per pass 2 n d^2 + O(d^3); n d^2 of
/// the first, and of the probed one.
LewisReport lewis_weights(RowSource source, const LewisOptions& options, double* weights);

}  // namespace oneglance
