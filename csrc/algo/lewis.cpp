#include "oneglance/lewis.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "anderson.h"
#include "precision_ladder.h"
#include "probed_pass.h"

namespace oneglance {
namespace {

using dense::Square;

constexpr std::size_t kDepth = 6;
// A mixed step may let the residual grow a little before it pays off; beyond this it is undone.
constexpr double kBlowUp = 4.0;

/// Symmetric (n, n) <-> packed upper triangle, off-diagonal entries times sqrt 2 so that the plain
/// dot product of packed vectors is the Frobenius product.
std::vector<double> pack(const Square& s, std::int64_t n) {
  std::vector<double> packed;
  packed.reserve(static_cast<std::size_t>(n * (n + 1) / 2));
  for (std::int64_t i = 0; i < n; ++i) {
    packed.push_back(s[i * n + i]);
    for (std::int64_t j = i + 1; j < n; ++j) packed.push_back(M_SQRT2 * s[i * n + j]);
  }
  return packed;
}

Square unpack(const std::vector<double>& packed, std::int64_t n) {
  Square s(static_cast<std::size_t>(n * n));
  std::size_t next = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    s[i * n + i] = packed[next++];
    for (std::int64_t j = i + 1; j < n; ++j) s[i * n + j] = s[j * n + i] = packed[next++] / M_SQRT2;
  }
  return s;
}

/// Whether rounding to float32 leaves an upper triangular matrix that can be inverted.
bool fits_float32(const Square& upper, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isnormal(static_cast<float>(upper[i * n + i]))) return false;
  }
  return std::all_of(upper.begin(), upper.end(), [](double value) {
    return std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max());
  });
}

/// The form G in the coordinates of the starting factor: G~ = factor' factor.
struct Iterate {
  Square factor;   // upper
  Square inverse;  // U0 * factor^-1, what the rows are multiplied by
};

struct Evidence {
  double frobenius = 0.0;                                     // |P - I|_F
  double residual = std::numeric_limits<double>::infinity();  // max |log eigenvalue of P|, a lower bound far from tol
  bool finite = true;
};

class LewisIteration {
 public:
  LewisIteration(RowSource source, const LewisOptions& options, const Basis& basis, double* weights)
      : source_(std::move(source)),
        options_(options),
        rank_(static_cast<std::int64_t>(basis.columns.size())),
        start_factor_(basis.factor),
        start_inverse_(dense::upper_inverse(basis.factor, rank_)),
        condition_(basis.condition),
        weights_(weights) {}

  void run(LewisReport& report);

 private:
  bool to_iterate(const std::vector<double>& packed, PrecisionLadder& precision);
  Evidence evaluate(bool float32, bool last);
  std::vector<double> residual_form() const;
  double damping() const { return options_.p <= 2.0 ? 1.0 : 4.0 / (options_.p + 2.0); }

  RowSource source_;
  LewisOptions options_;
  std::int64_t rank_;
  Square start_factor_, start_inverse_;
  double condition_;
  double* weights_;  // holds tau between passes
  Iterate at_;
  Square error_;  // P - I, both triangles (P itself while a pass is read and scaled)
};

/// Moves to the form `packed`, and to float64 where float32 cannot hold it; false when it is not positive definite.
bool LewisIteration::to_iterate(const std::vector<double>& packed, PrecisionLadder& precision) {
  Square form = unpack(packed, rank_);
  if (!dense::cholesky_upper(form, rank_)) return false;
  at_.factor = std::move(form);
  at_.inverse = dense::multiply_upper(start_inverse_, dense::upper_inverse(at_.factor, rank_), rank_);
  if (precision.float32() && !fits_float32(at_.inverse, rank_)) precision.to_float64();
  if (precision.float32()) {
    // The pass multiplies by the rounded inverse; let the iterate be exactly what that stands for,
    // else rounding (grown by the condition) would hide the residual.
    for (double& value : at_.inverse) value = static_cast<float>(value);
    at_.factor = dense::upper_inverse(dense::multiply_upper(start_factor_, at_.inverse, rank_), rank_);
  }
  return true;
}

/// One reading of the rows at the current iterate: tau, P, and the exact rescaling of both.
Evidence LewisIteration::evaluate(bool float32, bool last) {
  error_.resize(at_.factor.size());
  PassSpec spec;
  spec.factor_inverse = at_.inverse.data();
  spec.gram_power = 0.5 * options_.p - 1.0;
  spec.tau = weights_;
  spec.gram = error_.data();
  if (float32) {
    panel_pass<float>(source_, spec);
  } else {
    panel_pass<double>(source_, spec);
  }

  Evidence evidence;
  double trace = 0.0;
  for (std::int64_t i = 0; i < rank_; ++i) trace += error_[i * rank_ + i];
  evidence.finite = std::isfinite(trace) && trace > 0.0;
  if (!evidence.finite) return evidence;
  // G -> cG multiplies tau by 1/c and P by c^(-p/2): take the c that makes trace P = rank, which
  // solves the slowest mode of the iteration exactly.
  const double scale = std::pow(trace / static_cast<double>(rank_), 2.0 / options_.p);
  for (double& value : error_) value *= static_cast<double>(rank_) / trace;
  for (double& value : at_.factor) value *= std::sqrt(scale);
  std::for_each(weights_, weights_ + source_.rows->n_rows(), [scale](double& tau) { tau /= scale; });
  dense::mirror_upper(error_, rank_);

  for (std::int64_t i = 0; i < rank_; ++i) error_[i * rank_ + i] -= 1.0;
  double sum = 0.0;
  for (const double value : error_) sum += value * value;
  evidence.frobenius = std::sqrt(sum);
  evidence.finite = std::isfinite(sum);
  if (!evidence.finite) return evidence;
  const double at_least = dense::norm2_lower_bound(error_, rank_, 12);
  evidence.residual = std::max(at_least, evidence.frobenius / std::sqrt(static_cast<double>(rank_)));
  if (last || evidence.residual <= options_.tol) {  // worth the exact, slower answer
    double lowest = 0.0;
    double highest = 0.0;
    dense::eigen_range(error_, rank_, lowest, highest);
    evidence.residual = lowest > -1.0 ? std::max(std::abs(std::log1p(lowest)), std::abs(std::log1p(highest)))
                                      : std::numeric_limits<double>::infinity();
  }
  return evidence;
}

/// Phi(G) - G in the starting coordinates: factor' (P - I) factor.
std::vector<double> LewisIteration::residual_form() const {
  return pack(dense::congruence(error_, at_.factor, rank_), rank_);
}

void LewisIteration::run(LewisReport& report) {
  PrecisionLadder precision(source_, rank_, condition_, options_);
  AndersonMixing mixing(kDepth);
  Square identity(start_factor_.size(), 0.0);
  for (std::int64_t i = 0; i < rank_; ++i) identity[i * rank_ + i] = 1.0;
  std::vector<double> x = pack(identity, rank_);
  std::vector<double> best_x, best_f;
  double best = std::numeric_limits<double>::infinity();
  double step = damping();
  int stalled = 0;
  to_iterate(x, precision);

  while (true) {
    const bool last = report.passes + 1 >= options_.max_passes;
    const Evidence evidence = evaluate(precision.float32(), last);
    ++report.passes;
    report.residual = evidence.residual;
    report.float32_products = precision.float32();
    report.converged = precision.decides() && evidence.finite && evidence.residual <= options_.tol;
    if (report.converged || last) return;

    const bool grew = !evidence.finite || evidence.frobenius > kBlowUp * best;
    if (grew && best_x.empty()) {  // even the start overflows float32 (or is not a form at all)
      if (!precision.float32()) return;
      precision.to_float64();
      to_iterate(x, precision);
      continue;
    }
    if (grew) {
      // Back to the best point seen, with a plain and shorter step.
      ++report.restarts;
      mixing.clear();
      step = std::max(0.5 * step, 0.05);
      x = best_x;
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += step * best_f[i];
    } else {
      x = pack(dense::congruence(identity, at_.factor, rank_), rank_);
      const std::vector<double> f = residual_form();
      const bool slow = evidence.frobenius > 0.4 * best;
      stalled = evidence.frobenius < 0.7 * best ? 0 : stalled + 1;
      if (evidence.frobenius < best) {
        best = evidence.frobenius;
        best_x = x;
        best_f = f;
      }
      // Differences that are mostly rounding are not mixed, now or later.
      const bool lost = precision.lost_in_rounding(evidence.residual, slow, stalled);
      if (lost) mixing.clear();
      const std::vector<double> mixed = mixing.next(x, f, step);
      if (lost) mixing.clear();
      if (to_iterate(mixed, precision)) continue;
      ++report.restarts;
      mixing.clear();
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += step * f[i];
    }
    if (!to_iterate(x, precision)) return;  // x + step f with step < 1 is a mean of two positive forms
  }
}

/// p = 2: the Gram matrix is the form, there is nothing to iterate. Where float32 is exact enough for tol by far,
/// scores and evidence come from one reading that does not form P. False where that is not so, or turns out otherwise.
bool squares_at_once(const RowSource& source, const LewisOptions& options, const Basis& basis, double* tau,
                     LewisReport& report) {
  if (options.p != 2.0 || !basis.float32_gram || source.rows->has_float64() || report.passes >= options.max_passes) {
    return false;
  }
  const double rounding = float32_score_error(basis.condition);
  const double expected = std::sqrt(static_cast<double>(report.rank)) *
                          (float32_residual(basis.condition, source.rows->n_rows(), report.rank) + basis.gram_error);
  if (!(8.0 * expected + 2.0 * rounding <= options.tol)) return false;
  const double apart = probed_pass(source, dense::upper_inverse(basis.factor, report.rank), tau);
  ++report.passes;
  // Twice, because the weights are scaled to the right sum in the end.
  report.residual = apart < 1.0 ? 2.0 * (rounding - std::log1p(-apart)) : std::numeric_limits<double>::infinity();
  report.float32_products = true;
  report.converged = report.residual <= options.tol;
  return report.converged || report.passes >= options.max_passes;
}

}  // namespace

LewisReport lewis_weights(RowSource source, const LewisOptions& options, double* weights) {
  const std::int64_t n_rows = source.rows->n_rows();
  const Basis basis = find_basis(source, StartPrecision::rough);
  source.columns = basis.columns;
  source.column_scale = basis.column_scale;

  LewisReport report;
  report.rank = static_cast<std::int64_t>(basis.columns.size());
  report.passes = basis.passes;
  report.condition = basis.condition;
  if (report.rank == 0) {
    std::fill_n(weights, n_rows, 0.0);
    report.converged = true;
    return report;
  }
  if (!squares_at_once(source, options, basis, weights, report)) {
    LewisIteration(source, options, basis, weights).run(report);
  }
  const double power = 0.5 * options.p;
  double sum = 0.0;
  std::for_each(weights, weights + n_rows, [&](double& tau) {
    tau = std::pow(tau, power);
    sum += tau;
  });
  // The trace that scaled tau was summed in the arithmetic of the pass; beside a coherent row float32
  // loses a few 1e-6 of it.
  const double scale = static_cast<double>(report.rank) / sum;
  if (std::isfinite(scale)) std::for_each(weights, weights + n_rows, [scale](double& weight) { weight *= scale; });
  return report;
}

}  // namespace oneglance
