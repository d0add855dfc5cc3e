#pragma once
#include <cstdint>

namespace oneglance::cuda {

/// Number types of rows in device memory; the codes are those of python/oneglance/cuda/arrays.py.
enum class RowType : std::uint8_t { float16 = 0, float32 = 1, float64 = 2, bfloat16 = 3 };

/// Rows in device memory.
///   data        row 0, column 0; columns are adjacent
///   row_stride  in elements, >= n_dims
struct DeviceRows {
  const void* data = nullptr;
  RowType type = RowType::float32;
  std::int64_t n_rows = 0, n_dims = 0, row_stride = 0;
};

}  // namespace oneglance::cuda
