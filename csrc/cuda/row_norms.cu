#include "row_norms.h"

#include <cmath>

#include "row_types.h"

namespace oneglance::cuda {
namespace {

/// One warp per row: neighbouring lanes read neighbouring columns.
template <typename T>
SIMT_KERNEL row_norms2_kernel(const T* rows, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride,
                              double* out, std::int64_t* n_bad) {
  for (std::int64_t i = simt::first_of_warp(); i < n_rows; i += simt::warp_step()) {
    const T* row = rows + i * row_stride;
    double sum = 0.0;
    bool finite = true;
    for (std::int64_t j = simt::lane(); j < n_dims; j += 32) {
      const double value = simt::to_double(row[j]);
      finite = finite && is_finite(value);
      sum += value * value;
    }
    sum = simt::warp_sum(sum);
    const bool bad = simt::ballot(!finite) != 0;
    if (simt::lane() == 0) {
      out[i] = bad ? NAN : sum;
      if (bad) simt::atomic_add(n_bad, std::int64_t{1});
    }
  }
}

}  // namespace

void row_norms2(const DeviceRows& rows, double* out, std::int64_t* n_bad, std::uintptr_t stream) {
  with_row_type(rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("row_norms2", row_norms2_kernel<T>, simt::warp_per_item(rows.n_rows), stream,
                 static_cast<const T*>(rows.data), rows.n_rows, rows.n_dims, rows.row_stride, out, n_bad);
  });
}

}  // namespace oneglance::cuda
