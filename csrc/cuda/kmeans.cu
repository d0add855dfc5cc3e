#include "kmeans.h"

#include "row_types.h"

namespace oneglance::cuda {
namespace {

SIMT_KERNEL counts_kernel(const std::int64_t* labels, std::int64_t n_rows, std::int64_t* counts) {
  for (std::int64_t i = simt::first_of_thread(); i < n_rows; i += simt::thread_step()) {
    if (labels[i] >= 0) simt::atomic_add(counts + labels[i], std::int64_t{1});
  }
}

/// A block has a piece of the columns of one cluster: neighbouring threads read neighbouring columns, row after row.
template <typename T>
SIMT_KERNEL means_kernel(const T* rows, std::int64_t row_stride, std::int64_t n_dims, const double* scale,
                         const std::int64_t* order, const std::int64_t* starts, std::int64_t n_clusters,
                         std::int64_t n_pieces, double* means) {
  for (std::int64_t work = simt::block(); work < n_clusters * n_pieces; work += simt::grid_size()) {
    const std::int64_t c = work / n_pieces, j = work % n_pieces * simt::block_size() + simt::thread();
    const std::int64_t first = starts[c], last = starts[c + 1];
    if (first == last || j >= n_dims) continue;
    double sum = 0.0;
    for (std::int64_t place = first; place < last; ++place) {
      const std::int64_t row = order[place];
      const double factor = scale == nullptr ? 1.0 : scale[row];
      sum = simt::add_rn(sum, simt::mul_rn(simt::to_double(rows[row * row_stride + j]), factor));
    }
    means[c * n_dims + j] = sum / static_cast<double>(last - first);
  }
}

}  // namespace

void cluster_counts(const std::int64_t* labels, std::int64_t n_rows, std::int64_t* counts, std::uintptr_t stream) {
  simt::launch("cluster_counts", counts_kernel, simt::thread_per_item(n_rows), stream, labels, n_rows, counts);
}

void cluster_means(const DeviceRows& rows, const double* scale, const std::int64_t* order, const std::int64_t* starts,
                   std::int64_t n_clusters, double* means, std::uintptr_t stream) {
  constexpr int kColumns = 64;
  const std::int64_t n_pieces = (rows.n_dims + kColumns - 1) / kColumns;
  with_row_type(rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("cluster_means", means_kernel<T>, simt::block_per_item(n_clusters * n_pieces, kColumns), stream,
                 static_cast<const T*>(rows.data), rows.row_stride, rows.n_dims, scale, order, starts, n_clusters,
                 n_pieces, means);
  });
}

}  // namespace oneglance::cuda
