#include "array_in.h"
#include "bind.h"
#include "oneglance/rng.h"

namespace py = pybind11;

namespace oneglance {

void bind_random(py::module_& module) {
  module.def(
      "philox_uniforms",
      [](std::uint64_t seed, std::uint32_t purpose, const py::array_t<std::int64_t, py::array::c_style>& items,
         std::uint32_t draw) {
        py::array_t<double> uniforms(items.size());
        philox_uniforms(seed, purpose, draw, items.data(), items.size(), uniforms.mutable_data());
        return uniforms;
      },
      py::arg("seed"), py::arg("purpose"), py::arg("items"), py::arg("draw"),
      "Uniforms in [0, 1), one per item: a pure function of the four arguments.");
}

}  // namespace oneglance
