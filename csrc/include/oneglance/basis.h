#pragma once
#include <cstdint>

#include "oneglance/dense.h"
#include "oneglance/panel_pass.h"

namespace oneglance {

/// Columns that span the column space, and a triangular factor of their Gram matrix.
struct Basis {
  std::vector<std::int32_t> columns;  // independent columns, pivot order; rank = size
  std::vector<double> column_scale;   // powers of two
  dense::Square factor;               // (rank, rank) upper R: R'R ~ Gram of the scaled columns
  double condition = 1.0;             // amplification of rounding, see find_basis
  double gram_error = 0.0;            // size of the relative error of R'R: eps * condition^2
  bool float32_gram = false;          // whether the sums behind it were float32
  int passes = 0;                     // readings spent
};

/// How exact the factor must be: a bound on |R^-T G R^-1 - I|.
enum class StartPrecision { rough, exact };

/// Finds the rank and a start for the iterations.
///
/// Columns are compared at unit norm, so units do not matter. A column counts as dependent when its
/// part outside the others is below max(n, d) * eps(float64) of its norm (pinv semantics).
/// condition = sqrt(mean_j sum_k G_kk U_kj^2), U = R^-1: 1 for orthogonal columns whatever their
/// scale, about the 2-norm condition number of the scaled columns otherwise. It bounds how much
/// rounding in a_i U grows.
///
/// Passes: 1 when float32 sums are enough for `precision` or the input is float64 and well
/// conditioned; 2 when they had to be redone in float64; 3 near rank deficiency (shifted Cholesky,
/// Fukaya et al. 2020, then re-factoring in preconditioned coordinates).
/// `source.columns` and `column_scale` are ignored and recomputed.
Basis find_basis(RowSource source, StartPrecision precision);

}  // namespace oneglance
