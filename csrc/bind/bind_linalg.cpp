#include <pybind11/typing.h>

#include <numeric>

#include "array_in.h"
#include "bind.h"
#include "oneglance/check.h"
#include "oneglance/leverage.h"
#include "oneglance/lewis.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using Vector = py::array_t<double>;
using LeverageTuple = py::typing::Tuple<Vector, py::int_, py::int_, py::str, py::float_>;
using LewisTuple = py::typing::Tuple<Vector, py::int_, py::int_, py::float_, py::bool_, py::int_, py::str, py::float_>;
using PassTuple = py::typing::Tuple<Vector, Vector>;

const char* precision_name(bool float32_products) { return float32_products ? "float32" : "float64"; }

LeverageTuple leverage_scores_binding(const std::vector<py::array>& shards, const std::optional<BoolVector>& mask,
                                      const std::optional<Float64Vector>& row_scale) {
  const MatrixView rows = matrix_view(shards);
  py::array_t<double> scores(rows.n_rows());
  const RowSource source = row_source(rows, mask, row_scale);
  double* out = scores.mutable_data();
  LeverageReport report;
  {
    const py::gil_scoped_release nogil;
    report = leverage_scores(source, out);
  }
  return py::make_tuple(scores, report.rank, report.passes, precision_name(report.float32_products), report.condition);
}

LewisTuple lewis_weights_binding(const std::vector<py::array>& shards, double p, double tol, int max_passes,
                                 const std::optional<BoolVector>& mask) {
  const MatrixView rows = matrix_view(shards);
  py::array_t<double> weights(rows.n_rows());
  const RowSource source = row_source(rows, mask, std::nullopt);
  LewisOptions options;
  options.p = p;
  options.tol = tol;
  options.max_passes = max_passes;
  double* out = weights.mutable_data();
  LewisReport report;
  {
    const py::gil_scoped_release nogil;
    report = lewis_weights(source, options, out);
  }
  return py::make_tuple(weights, report.rank, report.passes, report.residual, report.converged, report.restarts,
                        precision_name(report.float32_products), report.condition);
}

PassTuple lewis_pass_binding(const std::vector<py::array>& shards, const Float64Array& factor_inverse, double p,
                             bool float32) {
  const MatrixView rows = matrix_view(shards);
  const std::int64_t n_dims = rows.n_dims();
  require(factor_inverse.ndim() == 2 && factor_inverse.shape(0) == n_dims && factor_inverse.shape(1) == n_dims,
          "factor_inverse must be (d, d) for rows of d columns.");
  py::array_t<double> tau(rows.n_rows());
  py::array_t<double> form({n_dims, n_dims});
  RowSource source = row_source(rows, std::nullopt, std::nullopt);
  source.columns.resize(static_cast<std::size_t>(n_dims));
  std::iota(source.columns.begin(), source.columns.end(), 0);
  source.column_scale.assign(static_cast<std::size_t>(n_dims), 1.0);
  PassSpec spec;
  spec.factor_inverse = factor_inverse.data();
  spec.gram_power = 0.5 * p - 1.0;
  spec.tau = tau.mutable_data();
  spec.gram = form.mutable_data();
  {
    const py::gil_scoped_release nogil;
    if (float32) {
      panel_pass<float>(source, spec);
    } else {
      panel_pass<double>(source, spec);
    }
  }
  double* p_form = form.mutable_data();
  for (std::int64_t i = 0; i < n_dims; ++i) {
    for (std::int64_t j = i + 1; j < n_dims; ++j) p_form[j * n_dims + i] = p_form[i * n_dims + j];
  }
  return py::make_tuple(tau, form);
}

}  // namespace

void bind_linalg(py::module_& module) {
  module.def("leverage_scores", &leverage_scores_binding, py::arg("shards"), py::arg("mask"), py::arg("row_scale"),
             "(scores, rank, passes, precision, condition) of the rows of all shards together.");
  module.def("lewis_weights", &lewis_weights_binding, py::arg("shards"), py::arg("p"), py::arg("tol"),
             py::arg("max_passes"), py::arg("mask"),
             "(weights, rank, passes, residual, converged, restarts, precision, condition).");
  module.def("lewis_pass", &lewis_pass_binding, py::arg("shards"), py::arg("factor_inverse"), py::arg("p"),
             py::arg("float32"),
             "(tau, P) of one reading: b_i = a_i U, tau_i = |b_i|^2, P = sum_i tau_i^(p/2-1) b_i b_i'. U upper "
             "triangular.");
}

}  // namespace oneglance
