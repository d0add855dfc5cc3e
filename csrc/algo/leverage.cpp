#include "oneglance/leverage.h"

#include <algorithm>
#include <cmath>

#include "oneglance/precision.h"

namespace oneglance {

LeverageReport leverage_scores(RowSource source, double* tau) {
  const std::int64_t n_rows = source.rows->n_rows();
  const Basis basis = find_basis(source, StartPrecision::exact);
  const auto rank = static_cast<std::int64_t>(basis.columns.size());
  source.columns = basis.columns;
  source.column_scale = basis.column_scale;

  LeverageReport report;
  report.rank = rank;
  report.passes = basis.passes;
  report.condition = basis.condition;
  std::fill_n(tau, n_rows, 0.0);
  if (rank == 0) return report;

  const bool float64_rows = source.rows->has_float64();
  const bool small = is_small_work(n_rows, source.rows->n_dims());
  dense::Square inverse = dense::upper_inverse(basis.factor, rank);
  if (basis.gram_error > (float64_rows ? 1e-12 : basis.float32_gram ? kExactGramError : 1e-8)) {
    // One correction in coordinates where the Gram matrix is near the identity (Cholesky QR 2).
    dense::Square correction(basis.factor.size());
    PassSpec spec;
    spec.factor_inverse = inverse.data();
    spec.gram = correction.data();
    panel_pass<double>(source, spec);
    ++report.passes;
    if (dense::cholesky_upper(correction, rank)) {
      inverse = dense::multiply_upper(inverse, dense::upper_inverse(correction, rank), rank);
    }
  }

  PassSpec spec;
  spec.factor_inverse = inverse.data();
  spec.tau = tau;
  report.float32_products = !float64_rows && !small && float32_products_suffice(basis.condition);
  if (report.float32_products) {
    panel_pass<float>(source, spec);
    ++report.passes;
    // Columns or weights that are ordinary in float64 may lie outside of float32.
    report.float32_products = std::all_of(tau, tau + n_rows, [](double score) { return std::isfinite(score); });
  }
  if (!report.float32_products) {
    panel_pass<double>(source, spec);
    ++report.passes;
  }
  std::for_each(tau, tau + n_rows, [](double& score) { score = std::min(score, 1.0); });
  return report;
}

}  // namespace oneglance
