#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

/// counts[c] += rows with label c; labels below 0 count nowhere.
///   labels  (n_rows,), counts (n_clusters,) zeroed before
void cluster_counts(const std::int64_t* labels, std::int64_t n_rows, std::int64_t* counts, std::uintptr_t stream);

/// means (n_clusters, n_dims): float64 sums in the order of `order`, divided by the count: the bits of the CPU when the
/// rows of a cluster ascend there. A cluster without rows keeps what is there.
///   scale   (n_rows,) factor of each row; null: 1
///   order   rows, cluster after cluster
///   starts  (n_clusters + 1,) places in `order`
void cluster_means(const DeviceRows& rows, const double* scale, const std::int64_t* order, const std::int64_t* starts,
                   std::int64_t n_clusters, double* means, std::uintptr_t stream);

}  // namespace oneglance::cuda
