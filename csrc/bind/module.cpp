#include <pybind11/stl.h>

#include "bind.h"
#include "oneglance/check.h"
#include "oneglance/isa.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, module) {
  using namespace oneglance;
  module.doc() = "Compiled core of oneglance. Use the public functions of the package instead.";

  const py::object invalid_input = py::module_::import("oneglance.errors").attr("InvalidInput");
  static py::object invalid_input_type;
  invalid_input_type = invalid_input;
  static py::exception<NonFiniteRows> non_finite_rows(module, "NonFiniteRows", PyExc_ValueError);
  static py::exception<NonFiniteQueries> non_finite_queries(module, "NonFiniteQueries", non_finite_rows);
  static py::exception<ZeroRows> zero_rows(module, "ZeroRows", PyExc_ValueError);
  static py::exception<ZeroQueries> zero_queries(module, "ZeroQueries", zero_rows);
  // NOLINTNEXTLINE(performance-unnecessary-value-param): the signature is pybind11's
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const InvalidInput& error) {
      PyErr_SetString(invalid_input_type.ptr(), error.what());
    } catch (const NonFiniteQueries& error) {
      PyErr_SetObject(non_finite_queries.ptr(), py::make_tuple(error.count, error.rows).ptr());
    } catch (const NonFiniteRows& error) {
      PyErr_SetObject(non_finite_rows.ptr(), py::make_tuple(error.count, error.rows).ptr());
    } catch (const ZeroQueries& error) {
      PyErr_SetObject(zero_queries.ptr(), py::make_tuple(error.count, error.rows).ptr());
    } catch (const ZeroRows& error) {
      PyErr_SetObject(zero_rows.ptr(), py::make_tuple(error.count, error.rows).ptr());
    } catch (const Interrupted&) {
      if (PyErr_Occurred() == nullptr) PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
  });
  active_isa();  // an unusable ONEGLANCE_ISA fails here, at import, with its message

  bind_bilaf(module);
  bind_build(module);
  bind_cluster(module);
  bind_heads(module);
  bind_linalg(module);
  bind_masks(module);
  bind_pictures(module);
  bind_random(module);
  bind_search(module);
}
