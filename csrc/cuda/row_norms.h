#pragma once
#include <cstdint>

#include "device_rows.h"

namespace oneglance::cuda {

/// out[i] = |row i|^2, float64 sums. Rows with NaN or infinity get NaN and are counted in n_bad.
///   out     (n_rows,) device
///   n_bad   one device counter, added to
///   stream  a cudaStream_t as an integer; the call returns before the work is done
/// One reading of the rows. Throws LaunchError.
void row_norms2(const DeviceRows& rows, double* out, std::int64_t* n_bad, std::uintptr_t stream);

}  // namespace oneglance::cuda
