#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

/// Codes of a batch by Sinkhorn's rescaling in the logarithm (masks/sinkhorn.py has the definition), in float64.
///   scores      (B, K) finite
///   n_iterations  rescalings of columns, then rows
///   plan        (B, K) float64 scratch; on return the codes, rows of sum 1
///   column      (2, K) float64 scratch
///   largest     (1,) uint64 scratch, 0 at the start
/// Device pointers; returns before the work is done. 2 n_iterations + 2 launches; plan is read three times and written
/// once per iteration. Sums in an order that depends on B and K only. Throws LaunchError.
void sinkhorn(const DeviceRows& scores, double eps, int n_iterations, double* plan, double* column,
              std::uint64_t* largest, std::uintptr_t stream);

}  // namespace oneglance::cuda
