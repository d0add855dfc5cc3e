#include "sinkhorn.h"

#include <cmath>

#include "row_types.h"

namespace oneglance::cuda {
namespace {

using simt::lane;

constexpr double kFloor = -1e30;  // of log weights: any finite float64 below it would change nothing
constexpr int kRowThreads = 256, kColumnThreads = 1024, kWarps = kColumnThreads / 32;

/// An order of whole numbers that is the order of the numbers, and back.
SIMT_DEVICE std::uint64_t ordered(double x) {
  const std::uint64_t bits = simt::bits_of(x), sign = std::uint64_t{1} << 63;
  return (bits & sign) != 0 ? ~bits : bits | sign;
}
SIMT_DEVICE double unordered(std::uint64_t word) {
  const std::uint64_t sign = std::uint64_t{1} << 63;
  return simt::double_of((word & sign) != 0 ? word & ~sign : ~word);
}

template <typename T>
SIMT_KERNEL largest_kernel(const T* scores, std::int64_t n_rows, std::int64_t n_columns, std::int64_t stride,
                           std::uint64_t* largest) {
  std::uint64_t mine = 0;
  for (std::int64_t i = simt::first_of_thread(); i < n_rows * n_columns; i += simt::thread_step()) {
    const std::uint64_t word = ordered(simt::to_double(scores[i / n_columns * stride + i % n_columns]));
    mine = word > mine ? word : mine;
  }
  mine = simt::warp_max(mine);
  if (lane() == 0) simt::atomic_max(largest, mine);
}

template <typename T>
SIMT_KERNEL begin_kernel(const T* scores, std::int64_t n_rows, std::int64_t n_columns, std::int64_t stride, double eps,
                         const std::uint64_t* largest, double* plan) {
  const double most = unordered(*largest);
  for (std::int64_t i = simt::first_of_thread(); i < n_rows * n_columns; i += simt::thread_step()) {
    const double value = (simt::to_double(scores[i / n_columns * stride + i % n_columns]) - most) / eps;
    plan[i] = value < kFloor ? kFloor : value;
  }
}

/// 32 columns per block, rows among the warps: the largest of each column, and the log of the sum of exp below it.
SIMT_KERNEL columns_kernel(const double* plan, std::int64_t n_rows, std::int64_t n_columns, double* column) {
  SIMT_SHARED(double, part, kColumnThreads);
  const std::int64_t n_tiles = (n_columns + 31) / 32;
  for (std::int64_t tile = simt::block(); tile < n_tiles; tile += simt::grid_size()) {
    const std::int64_t j = tile * 32 + lane();
    double most = -INFINITY;
    for (std::int64_t i = simt::warp(); j < n_columns && i < n_rows; i += kWarps) {
      const double value = plan[i * n_columns + j];
      most = value > most ? value : most;
    }
    part[simt::thread()] = most;
    simt::sync_block();
    for (int w = 0; w < kWarps; ++w) most = part[w * 32 + lane()] > most ? part[w * 32 + lane()] : most;
    simt::sync_block();
    double sum = 0.0;
    for (std::int64_t i = simt::warp(); j < n_columns && i < n_rows; i += kWarps) {
      sum += exp(plan[i * n_columns + j] - most);
    }
    part[simt::thread()] = sum;
    simt::sync_block();
    if (simt::warp() == 0 && j < n_columns) {
      sum = 0.0;
      for (int w = 0; w < kWarps; ++w) sum += part[w * 32 + lane()];
      column[j] = most;
      column[n_columns + j] = log(sum);
    }
    simt::sync_block();
  }
}

template <typename Merge>
SIMT_DEVICE double over_block(double mine, double* part, const Merge& merge) {
  for (int step = 16; step > 0; step /= 2) mine = merge(mine, simt::shuffle_xor(mine, step));
  simt::sync_block();  // the last answer has been read
  if (lane() == 0) part[simt::warp()] = mine;
  simt::sync_block();
  mine = part[0];
  for (int w = 1; w < kRowThreads / 32; ++w) mine = merge(mine, part[w]);
  return mine;
}

/// A row per block: less its columns' sums, then less its own; the last time exp of that.
SIMT_KERNEL rows_kernel(double* plan, std::int64_t n_rows, std::int64_t n_columns, const double* column, bool last) {
  SIMT_SHARED(double, part, kRowThreads / 32);
  for (std::int64_t i = simt::block(); i < n_rows; i += simt::grid_size()) {
    double* row = plan + i * n_columns;
    double most = -INFINITY;
    for (std::int64_t j = simt::thread(); j < n_columns; j += kRowThreads) {
      row[j] = (row[j] - column[j]) - column[n_columns + j];
      most = row[j] > most ? row[j] : most;
    }
    most = over_block(most, part, [](double a, double b) { return a > b ? a : b; });
    double sum = 0.0;
    for (std::int64_t j = simt::thread(); j < n_columns; j += kRowThreads) sum += exp(row[j] - most);
    const double log_sum = log(over_block(sum, part, [](double a, double b) { return a + b; }));
    for (std::int64_t j = simt::thread(); j < n_columns; j += kRowThreads) {
      const double value = (row[j] - most) - log_sum;
      row[j] = last ? exp(value) : value;
    }
  }
}

SIMT_KERNEL exp_kernel(double* plan, std::int64_t n) {
  for (std::int64_t i = simt::first_of_thread(); i < n; i += simt::thread_step()) plan[i] = exp(plan[i]);
}

}  // namespace

void sinkhorn(const DeviceRows& scores, double eps, int n_iterations, double* plan, double* column,
              std::uint64_t* largest, std::uintptr_t stream) {
  const std::int64_t n_rows = scores.n_rows, n_columns = scores.n_dims, n = n_rows * n_columns;
  const simt::Geometry all = simt::thread_per_item(n);
  with_row_type(scores.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const T* data = static_cast<const T*>(scores.data);
    simt::launch("sinkhorn_largest", largest_kernel<T>, all, stream, data, n_rows, n_columns, scores.row_stride,
                 largest);
    simt::launch("sinkhorn_begin", begin_kernel<T>, all, stream, data, n_rows, n_columns, scores.row_stride, eps,
                 largest, plan);
  });
  for (int t = 1; t <= n_iterations; ++t) {
    simt::launch("sinkhorn_columns", columns_kernel, simt::block_per_item((n_columns + 31) / 32, kColumnThreads),
                 stream, plan, n_rows, n_columns, column);
    simt::launch("sinkhorn_rows", rows_kernel, simt::block_per_item(n_rows, kRowThreads), stream, plan, n_rows,
                 n_columns, column, t == n_iterations);
  }
  if (n_iterations == 0) simt::launch("sinkhorn_exp", exp_kernel, all, stream, plan, n);
}

}  // namespace oneglance::cuda
