#include <pybind11/pybind11.h>

#include "../cuda/rng.h"

namespace py = pybind11;

PYBIND11_MODULE(_cuda, module) {
  using namespace oneglance;
  module.doc() = "CUDA part of oneglance. Pointers in, on the current device; the caller's stream.";
  module.def("device_count", &cuda::device_count, "Devices this process can use; 0 without a driver or a card.");
  module.def(
      "philox_uniforms",
      [](std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, std::uintptr_t items, std::int64_t n_items,
         std::uintptr_t out, std::uintptr_t stream) {
        cuda::philox_uniforms(seed, purpose, draw, reinterpret_cast<const std::int64_t*>(items), n_items,
                              reinterpret_cast<double*>(out), stream);
      },
      py::arg("seed"), py::arg("purpose"), py::arg("draw"), py::arg("items"), py::arg("n_items"), py::arg("out"),
      py::arg("stream"), "Uniforms in [0, 1) for int64 items: device pointers as integers.");
}
