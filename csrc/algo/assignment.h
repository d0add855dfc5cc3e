#pragma once
#include <cstdint>
#include <vector>

#include "propose.h"

namespace oneglance {

/// Nearest of k moving centres for every row, kept up to date exactly. Rows that the triangle inequality shows to
/// keep their label are not compared again (Hamerly 2010): each carries a lower bound on its distance to every
/// centre but its own, which loosens by what the centres move.
class Assignment {
 public:
  /// labels, dist2 (n,): filled here; rows that are not used, or not among `only`, keep -1 and NaN. Centres are
  /// float64 (k, d), of unit norm for cosine.
  Assignment(const MetricRows& rows, std::int64_t n_centers, const StopRequest& stop, std::int64_t* labels,
             double* dist2, const std::vector<std::int64_t>* only = nullptr);

  /// Labels (ties to the lower centre) and dist2 for these centres, in float64; `changed[c]` is set for every
  /// centre that won or lost a row. Throws NonFiniteRows, Interrupted.
  void assign(const double* centers, std::vector<std::uint8_t>& changed);
  /// The centres moved, by the square root of moved2[c].
  void loosen(const std::vector<double>& moved2);
  /// The label was changed by hand: compare again next time.
  void forget(std::int64_t row) { other_[row] = 0.0; }

  /// Rows used, centre after centre, ascending within: those of centre c are rows[starts[c]] .. rows[starts[c+1] - 1].
  struct Members {
    std::vector<std::int64_t> rows, starts;
  };
  Members members() const;

  /// Positions of the rows used, ascending.
  const std::vector<std::int64_t>& used() const { return used_; }
  /// Rows compared with all centres, per used row and assignment: 1 when bounds saved nothing.
  double scanned() const;

 private:
  double own_dist2(const double* centers, std::int64_t row, double* wide) const;
  std::vector<std::int64_t> measure_own(const double* centers);

  const MetricRows& rows_;
  Frame frame_;
  std::int64_t k_, d_;
  StopRequest stop_;
  std::int64_t* labels_;
  double* dist2_;
  std::vector<double> other_;  // lower bound on the distance to every centre but the own one
  std::vector<std::int64_t> used_;
  double n_scanned_ = 0.0;
  std::int64_t n_assigned_ = 0;
};

}  // namespace oneglance
