#include <pybind11/typing.h>

#include "bind.h"
#include "oneglance/dense.h"
#include "oneglance/isa.h"
#include "oneglance/panel_pass.h"
#include "oneglance/parallel.h"
#include "oneglance/precision.h"

namespace py = pybind11;

namespace oneglance {
namespace {

py::list names(const std::vector<Isa>& isas) {
  py::list list;
  for (const Isa isa : isas) list.append(isa_name(isa));
  return list;
}

}  // namespace

void bind_build(py::module_& module) {
  module.def(
      "build_info",
      []() -> py::typing::Dict<py::str, py::object> {
        py::dict info;
        info["compiler"] = ONEGLANCE_COMPILER;
        info["build_type"] = ONEGLANCE_BUILD_TYPE;
        info["sanitizers"] = ONEGLANCE_SANITIZERS;
        info["isa_compiled"] = names(compiled_isas());
        info["isa_runnable"] = names(runnable_isas());
        info["isa_active"] = isa_name(active_isa());
        info["blas"] = dense::blas_description();
        info["threads"] = active_threads();
        return info;
      },
      "How this module was built and what it uses on this machine.");
  module.def("set_threads", &set_threads, py::arg("n_threads"),
             "Threads for this process, 1..64; 0 = default. Results do not depend on it.");
  module.def("set_small_work", &set_small_work, py::arg("n_multiply_adds"),
             "Problems with n d^2 below this are computed in float64 whatever the input; default 2^31.");
  module.def("set_panel_rows", &set_panel_rows, py::arg("n_rows"),
             "Rows read at a time; 0 = default. Results do not depend on it.");
}

}  // namespace oneglance
