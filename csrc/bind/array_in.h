#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "oneglance/matrix_view.h"
#include "oneglance/metric_rows.h"
#include "oneglance/panel_pass.h"

namespace oneglance {

using Float64Array = pybind11::array_t<double, pybind11::array::c_style | pybind11::array::forcecast>;
using Float64Vector = pybind11::array_t<double, pybind11::array::c_style>;
using Int64Vector = pybind11::array_t<std::int64_t, pybind11::array::c_style>;
using BoolVector = pybind11::array_t<bool, pybind11::array::c_style>;

template <typename T>
std::vector<T> vector_of(const pybind11::array_t<T, pybind11::array::c_style>& values) {
  return {values.data(), values.data() + values.size()};
}

template <typename T>
pybind11::array_t<T> array_of(const std::vector<T>& values) {
  return pybind11::array_t<T>(static_cast<pybind11::ssize_t>(values.size()), values.data());
}

inline Metric metric_of(bool cosine) { return cosine ? Metric::cosine : Metric::sqeuclidean; }

/// Views 2-D float16/32/64 NumPy arrays (unit column stride, one width) without copying.
MatrixView matrix_view(const std::vector<pybind11::array>& shards);

/// A source over `rows` with optional mask (n,) and row scale (n,); asks Python for Ctrl-C.
RowSource row_source(const MatrixView& rows, const std::optional<BoolVector>& mask,
                     const std::optional<Float64Vector>& row_scale);

/// Asks Python for Ctrl-C.
StopRequest stop_on_ctrl_c();

}  // namespace oneglance
