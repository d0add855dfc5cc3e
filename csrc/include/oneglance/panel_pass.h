#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/matrix_view.h"
#include "oneglance/parallel.h"

namespace oneglance {

/// Which rows and columns of a matrix a pass reads, and how they are scaled on the way in.
struct RowSource {
  const MatrixView* rows = nullptr;
  const std::uint8_t* mask = nullptr;  // (n,) 0 = leave this row out: never read, tau = 0. May be null
  const double* row_scale = nullptr;   // (n,) each row is multiplied by it. May be null
  std::vector<std::int32_t> columns;   // columns used, in this order
  std::vector<double> column_scale;    // one per used column; powers of two, so exact
  StopRequest stop;                    // may be empty
};

/// What a pass does with each row a_i (as scaled and selected by the source).
///   factor_inverse  (r, r) upper U; b_i = a_i U. Null: b_i = a_i
///   tau             (n,) out: |b_i|^2. May be null
///   gram            (r, r) out, upper: sum_i s_i b_i b_i', s_i = tau_i^gram_power (0 for tau_i = 0). May be null
struct PassSpec {
  const double* factor_inverse = nullptr;
  double gram_power = 0.0;
  double* tau = nullptr;
  double* gram = nullptr;
};

/// One reading of all rows. `Real` is the arithmetic of the products (float or double); row norms
/// and sums over panels are float64 either way.
///
/// Cost 2 n r^2 flops (n r^2 without factor_inverse or without gram). Memory: one panel and about two
/// times r^2 numbers per thread. Rows are cut into fixed blocks and lanes that depend on n only:
/// the bytes of the result do not depend on threads, shards or `panel_rows`.
/// Throws NonFiniteRows after the reading, Interrupted.
template <typename Real>
void panel_pass(const RowSource& source, const PassSpec& spec);

extern template void panel_pass<float>(const RowSource&, const PassSpec&);
extern template void panel_pass<double>(const RowSource&, const PassSpec&);

/// Rows read at a time by one thread, rounded to whole blocks; 0 = default. For tuning and tests:
/// the answer does not depend on it.
void set_panel_rows(std::int64_t n_rows);

}  // namespace oneglance
