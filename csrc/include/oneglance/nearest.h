#pragma once
#include <cstdint>

#include "oneglance/metric_rows.h"

namespace oneglance {

/// The n_nearest rows of `data` nearest to each query, exactly, ties to the lower row; used rows and queries only.
///   indices    (n_queries, n_nearest), ascending distance; -1 where the data has too few rows, and for
///              queries that are not used
///   distances  (n_queries, n_nearest) in the metric's unit; +inf there
///   skip_self  row i of the data is no answer for query i (both are one matrix)
/// Cost n_queries * n_data * d multiply-adds in float32, and a float64 distance per candidate that float32 cannot
/// rule out. Memory beyond the answer: about 32 MB, and 5 MB per thread at d = 384; nothing (n_queries, n_data).
/// The answer does not depend on threads, panels, instruction set or BLAS (see algo/propose.h).
/// Throws NonFiniteRows (rows of the data), NonFiniteQueries, Interrupted.
void nearest(const MetricRows& queries, const MetricRows& data, std::int64_t n_nearest, bool skip_self,
             const StopRequest& stop, std::int64_t* indices, double* distances);

}  // namespace oneglance
