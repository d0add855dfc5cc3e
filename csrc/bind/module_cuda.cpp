#include "bind_cuda.h"
#include "oneglance/check.h"
#if defined(ONEGLANCE_CUDA_EMULATED)
#include "../cuda/emulation.h"
#endif
#include "../cuda/geometry.h"

namespace py = pybind11;

// ONEGLANCE_CUDA_MODULE: _cuda, or _cuda_emulated for the tests.
PYBIND11_MODULE(ONEGLANCE_CUDA_MODULE, module) {
  using namespace oneglance;
  module.doc() = "CUDA part of oneglance. Addresses in, on the current device; the caller's stream.";
  py::register_exception<simt::LaunchError>(module, "LaunchError", PyExc_RuntimeError);
  static py::object invalid_input;
  invalid_input = py::module_::import("oneglance.errors").attr("InvalidInput");
  // NOLINTNEXTLINE(performance-unnecessary-value-param): the signature is pybind11's
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const InvalidInput& error) {
      PyErr_SetString(invalid_input.ptr(), error.what());
    }
  });
  bind_cuda_activeft(module);
  bind_cuda_bilaf(module);
  bind_cuda_card(module);
  bind_cuda_cover(module);
  bind_cuda_kmeans(module);
  bind_cuda_linalg(module);
  bind_cuda_masks(module);
  bind_cuda_nearest(module);
  bind_cuda_patterns(module);
  bind_cuda_rows(module);
#if defined(ONEGLANCE_CUDA_EMULATED)
  module.def("set_descending", &simt::emulated::set_descending, py::arg("descending"),
             "Run threads and blocks in descending order: an answer that depends on it has a race.");
  module.def("miss_a_barrier", &simt::emulated::miss_a_barrier, py::arg("how"),
             "Runs a wrong kernel: 0 some threads leave before a barrier, 1 lanes part, 2 an index outside.");
#endif
}
