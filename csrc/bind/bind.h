#pragma once
#include <pybind11/pybind11.h>

namespace oneglance {

void bind_bilaf(pybind11::module_& module);
void bind_build(pybind11::module_& module);
void bind_cluster(pybind11::module_& module);
void bind_heads(pybind11::module_& module);
void bind_linalg(pybind11::module_& module);
void bind_masks(pybind11::module_& module);
void bind_pictures(pybind11::module_& module);
void bind_random(pybind11::module_& module);
void bind_search(pybind11::module_& module);

}  // namespace oneglance
