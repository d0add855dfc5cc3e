#include "oneglance/basis.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "oneglance/precision.h"

namespace oneglance {
namespace {

using dense::Square;

constexpr double kEps32 = std::numeric_limits<float>::epsilon();
constexpr double kEps64 = std::numeric_limits<double>::epsilon();
// A column with a smaller share outside the others is looked at again in shifted coordinates: the
// float64 Gram matrix itself is only known to about 1e-15 of the squared norms.
constexpr double kDoubtfulPivot = 1e-11;
// Relative error of R'R allowed for a rough start: any positive definite start will do.
constexpr double kRoughError = 0.1;
// Rows, spread over the pool, that the scale of a column is judged by at first.
constexpr std::int64_t kJudgedRows = 2048;

/// Powers of two that bring each column near 1, judged by every stride-th row.
/// They keep float32 sums of squares in range; they are exact, so they change no digit.
std::vector<double> power_of_two_scales(const RowSource& source, std::int64_t stride) {
  const MatrixView& rows = *source.rows;
  std::vector<double> largest(static_cast<std::size_t>(rows.n_dims()), 0.0);
  for (std::int64_t row = 0; row < rows.n_rows(); row += stride) {
    if (source.mask != nullptr && source.mask[row] == 0) continue;
    const std::size_t index = rows.block_of(row);
    const RowBlock& block = rows.blocks()[index];
    const std::int64_t offset = (row - rows.block_start(index)) * block.row_stride;
    if (block.dtype == DType::float16) continue;  // no float16 is near the limits of float32
    const double factor = source.row_scale == nullptr ? 1.0 : source.row_scale[row];
    for (std::int64_t j = 0; j < rows.n_dims(); ++j) {
      const double value = block.dtype == DType::float32 ? static_cast<const float*>(block.data)[offset + j]
                                                         : static_cast<const double*>(block.data)[offset + j];
      const double size = std::abs(value * factor);
      if (std::isfinite(size)) largest[j] = std::max(largest[j], size);
    }
  }
  std::vector<double> scales(largest.size(), 1.0);
  for (std::size_t j = 0; j < largest.size(); ++j) {
    const int exponent = largest[j] > 0.0 ? std::ilogb(largest[j]) : 0;
    // Leave ordinary ranges alone: scaling costs a multiplication per element.
    if (std::abs(exponent) > 12) scales[j] = std::ldexp(1.0, -exponent);
  }
  return scales;
}

template <typename Real>
Square gram_of(const RowSource& source) {
  Square gram(source.columns.size() * source.columns.size());
  PassSpec spec;
  spec.gram = gram.data();
  panel_pass<Real>(source, spec);
  return gram;
}

bool finite(const Square& gram) {
  return std::all_of(gram.begin(), gram.end(), [](double value) { return std::isfinite(value); });
}

bool usable(const Square& gram, std::int64_t n, double smallest_diagonal) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (!(gram[i * n + i] > smallest_diagonal)) return false;
  }
  return finite(gram);
}

/// condition = sqrt(mean_j sum_k G_kk U_kj^2), with G_kk the squared column norms of the factor.
double condition_of(const Square& factor, std::int64_t n) {
  const Square inverse = dense::upper_inverse(factor, n);
  std::vector<double> norm2(static_cast<std::size_t>(n), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = i; k < n; ++k) norm2[k] += factor[i * n + k] * factor[i * n + k];
  }
  double sum = 0.0;
  for (std::int64_t k = 0; k < n; ++k) {
    for (std::int64_t j = k; j < n; ++j) sum += norm2[k] * inverse[k * n + j] * inverse[k * n + j];
  }
  return std::sqrt(sum / static_cast<double>(n));
}

/// Square of unit-diagonal form of the upper triangle; fills `norms` with the square roots taken out.
Square unit_diagonal(const Square& gram, std::int64_t n, std::vector<double>& norms) {
  norms.resize(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) norms[i] = std::sqrt(gram[i * n + i]);
  Square unit(gram.size());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) unit[i * n + j] = gram[i * n + j] / (norms[i] * norms[j]);
  }
  return unit;
}

/// Fills factor, condition and gram_error from a Gram matrix computed with precision `eps`.
bool factor_gram(Square gram, double eps, Basis& basis) {
  const auto n = static_cast<std::int64_t>(basis.columns.size());
  if (!dense::cholesky_upper(gram, n)) return false;
  basis.factor = std::move(gram);
  basis.condition = condition_of(basis.factor, n);
  basis.gram_error = eps * basis.condition * basis.condition;
  return std::isfinite(basis.condition);
}

void keep_columns(RowSource& source, const std::vector<std::int32_t>& kept) {
  RowSource all = source;
  source.columns.clear();
  source.column_scale.clear();
  for (const std::int32_t index : kept) {
    source.columns.push_back(all.columns[index]);
    source.column_scale.push_back(all.column_scale[index]);
  }
}

Square permuted_upper(const Square& upper, std::int64_t n, const std::vector<std::int32_t>& order) {
  Square full = upper;
  dense::mirror_upper(full, n);
  Square result(full.size(), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) result[i * n + j] = full[order[i] * n + order[j]];
  }
  return result;
}

/// Near rank deficiency: factor G + shift, read the rows once in those coordinates (where the
/// doubtful directions stand out clearly), decide the rank there, and combine both factors by QR.
/// Shifted Cholesky QR, Fukaya, Kannan, Nakatsukasa, Yamamoto, Yanagisawa 2020.
void resolve_rank(RowSource& source, const Square& gram, Basis& basis) {
  const auto n = static_cast<std::int64_t>(source.columns.size());
  std::vector<double> norms;
  Square unit = unit_diagonal(gram, n, norms);
  Square scratch = unit;
  std::vector<std::int32_t> order;
  dense::pivoted_order(scratch, n, kDoubtfulPivot, order);
  unit = permuted_upper(unit, n, order);
  keep_columns(source, order);

  double shift = 1e-14 * static_cast<double>(n);
  Square first;
  do {
    shift *= 10.0;
    if (!(shift < 1e3)) throw std::runtime_error("a Gram matrix of unit diagonal has no shifted factor");
    first = unit;
    for (std::int64_t i = 0; i < n; ++i) first[i * n + i] += shift;
  } while (!dense::cholesky_upper(first, n));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) first[i * n + j] *= norms[order[j]];
  }

  const Square inverse = dense::upper_inverse(first, n);
  Square second(gram.size());
  PassSpec spec;
  spec.factor_inverse = inverse.data();
  spec.gram = second.data();
  panel_pass<double>(source, spec);
  ++basis.passes;

  // A direction with share s outside the others shows up as s^2 / (s^2 + shift).
  const double share = kEps64 * static_cast<double>(std::max(source.rows->n_rows(), source.rows->n_dims()));
  const double tol = std::max(share * share / (share * share + shift), 1e-13);
  scratch = second;
  std::vector<std::int32_t> kept;
  const std::int64_t rank = dense::pivoted_order(scratch, n, tol, kept);
  // pivoted_order leaves C, second ~ C'C up to that order of columns, in the first `rank` rows.
  std::vector<std::int32_t> chosen(kept.begin(), kept.begin() + rank);
  std::sort(chosen.begin(), chosen.end());
  Square product(static_cast<std::size_t>(rank * n), 0.0);
  for (std::int64_t i = 0; i < rank; ++i) {
    for (std::int64_t k = i; k < n; ++k) product[i * n + kept[k]] = scratch[i * n + k];
  }
  dense::times_upper(rank, n, first.data(), product.data(), n);
  Square combined(static_cast<std::size_t>(rank * rank));
  for (std::int64_t i = 0; i < rank; ++i) {
    for (std::int64_t j = 0; j < rank; ++j) combined[i * rank + j] = product[i * n + chosen[j]];
  }
  keep_columns(source, chosen);
  basis.factor = dense::qr_upper(combined, rank);
  basis.condition = condition_of(basis.factor, rank);
  basis.gram_error = kEps64 * basis.condition;
}

}  // namespace

Basis find_basis(RowSource source, StartPrecision precision) {
  const std::int64_t n_dims = source.rows->n_dims();
  source.columns.resize(static_cast<std::size_t>(n_dims));
  std::iota(source.columns.begin(), source.columns.end(), 0);
  source.column_scale = power_of_two_scales(source, std::max<std::int64_t>(1, source.rows->n_rows() / kJudgedRows));

  Basis basis;
  const bool rough = precision == StartPrecision::rough;
  const bool small = is_small_work(source.rows->n_rows(), n_dims);
  if (!small && (rough || !source.rows->has_float64())) {
    const Square gram = gram_of<float>(source);
    ++basis.passes;
    basis.columns = source.columns;
    if (usable(gram, n_dims, 1e-30) && factor_gram(gram, kEps32, basis) &&
        basis.gram_error <= (rough ? kRoughError : kExactGramError)) {
      basis.column_scale = source.column_scale;
      basis.float32_gram = true;
      return basis;
    }
  }

  Square gram = gram_of<double>(source);
  ++basis.passes;
  if (!finite(gram)) {  // a row that was not judged is far larger than those that were
    source.column_scale = power_of_two_scales(source, 1);
    gram = gram_of<double>(source);
    ++basis.passes;
  }
  std::vector<std::int32_t> nonzero;
  for (std::int64_t j = 0; j < n_dims; ++j) {
    if (gram[j * n_dims + j] > 0.0) nonzero.push_back(static_cast<std::int32_t>(j));
  }
  const auto rank = static_cast<std::int64_t>(nonzero.size());
  Square kept_gram(static_cast<std::size_t>(rank * rank), 0.0);
  for (std::int64_t i = 0; i < rank; ++i) {
    for (std::int64_t j = i; j < rank; ++j) kept_gram[i * rank + j] = gram[nonzero[i] * n_dims + nonzero[j]];
  }
  keep_columns(source, nonzero);
  basis.columns = source.columns;
  if (rank > 0) {
    std::vector<double> norms;
    Square unit = unit_diagonal(kept_gram, rank, norms);
    std::vector<std::int32_t> order;
    const bool clear = dense::pivoted_order(unit, rank, kDoubtfulPivot, order) == rank;
    if (!clear || !factor_gram(kept_gram, kEps64, basis)) resolve_rank(source, kept_gram, basis);
  }
  basis.columns = source.columns;
  basis.column_scale = source.column_scale;
  return basis;
}

}  // namespace oneglance
