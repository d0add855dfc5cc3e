#pragma once
#include <cstdint>
#include <vector>

#include "oneglance/metric_rows.h"

namespace oneglance {

struct KMeansOptions {
  std::int64_t n_clusters = 0;
  int max_iter = 100;
  double tol = 1e-4;
  StopRequest stop;
};

///   shift       root of (mean distance between old and new centre) / (mean distance of a row to its old centre);
///               0 when every row lies on its old centre
///   converged   shift <= tol
///   reassigned  times an empty cluster was given a row
///   scanned     rows compared with all centres, per used row and assignment: 1 when bounds saved nothing
struct KMeansReport {
  int n_iter = 0;
  double shift = 0.0;
  bool converged = false;
  std::int64_t reassigned = 0;
  double scanned = 0.0;
};

/// Lloyd's algorithm from the centres given; cosine: on the sphere (rows and centres of unit norm).
///   centers    (k, d) in and out, float64; finite, for cosine not zero
///   labels     (n,) out: nearest of the centres returned, ties to the lower; -1 for rows that are not used
///   distances  (n,) out: to it, in the metric's unit; NaN there
/// An empty cluster takes the row farthest from its own centre (ties to the lower row); several, in order, take the
/// next farthest. A cluster left without a row (or, for cosine, whose rows cancel) keeps its centre.
///
/// Assignments are exact: those of float64 (algo/propose.h). Rows that the triangle inequality shows to keep their
/// label are not compared again (Hamerly 2010). Sums are float64 in row order. The answer does not depend on
/// threads, panels, instruction set or BLAS. Cost <= n k d multiply-adds per iteration and about 3 n d more; memory
/// O(n + k d). Throws NonFiniteRows, Interrupted.
KMeansReport kmeans(const MetricRows& rows, const KMeansOptions& options, double* centers, std::int64_t* labels,
                    double* distances);

}  // namespace oneglance
