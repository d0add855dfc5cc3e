#pragma once
#include <string>
#include <type_traits>

#include "device_rows.h"
#include "oneglance/check.h"
#include "simt.h"

namespace oneglance::cuda {

template <typename T>
struct TypeTag {
  using Type = T;
};

/// Calls `f(TypeTag<T>())` with the number type of the rows.
template <typename F>
void with_row_type(RowType type, F&& f) {
  switch (type) {
    case RowType::float16:
      return f(TypeTag<simt::Half>());
    case RowType::float32:
      return f(TypeTag<float>());
    case RowType::float64:
      return f(TypeTag<double>());
    case RowType::bfloat16:
      return f(TypeTag<simt::BFloat16>());
  }
  throw InvalidInput("row type must be 0..3, got " + std::to_string(static_cast<int>(type)) + ".");
}

/// The narrowest arithmetic that loses no digit of a number type.
template <typename T>
using Exact = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <typename T>
SIMT_DEVICE Exact<T> exact(T value) {
  if constexpr (std::is_same_v<T, double>) {
    return value;
  } else {
    return simt::to_float(value);
  }
}

template <typename Real>
SIMT_DEVICE bool is_finite(Real x) {
  return x - x == Real(0);
}

}  // namespace oneglance::cuda
