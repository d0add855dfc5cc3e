#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>

#include "../cuda/device_rows.h"

// One line per bind_cuda_<family>.cpp; module_cuda.cpp calls them all. Functions take addresses in device memory as
// integers, sizes, strides in elements, a row type and the stream as an integer. They return before the work is done
// and check nothing that only Python knows: python/oneglance/cuda/ does.
namespace oneglance {

using Address = std::uintptr_t;

/// (address, type code, n_rows, n_dims, row_stride) as Python gives rows.
inline cuda::DeviceRows device_rows(Address data, int type, std::int64_t n_rows, std::int64_t n_dims,
                                    std::int64_t row_stride) {
  return {reinterpret_cast<const void*>(data), static_cast<cuda::RowType>(type), n_rows, n_dims, row_stride};
}

template <typename T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// Python threads may prepare other work meanwhile.
using WithoutGil = pybind11::call_guard<pybind11::gil_scoped_release>;

void bind_cuda_activeft(pybind11::module_& module);
void bind_cuda_bilaf(pybind11::module_& module);
void bind_cuda_card(pybind11::module_& module);
void bind_cuda_cover(pybind11::module_& module);
void bind_cuda_kmeans(pybind11::module_& module);
void bind_cuda_linalg(pybind11::module_& module);
void bind_cuda_masks(pybind11::module_& module);
void bind_cuda_nearest(pybind11::module_& module);
void bind_cuda_patterns(pybind11::module_& module);
void bind_cuda_rows(pybind11::module_& module);

}  // namespace oneglance
