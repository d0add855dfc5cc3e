#include <pybind11/typing.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "array_in.h"
#include "bind.h"
#include "oneglance/check.h"
#include "oneglance/dense.h"
#include "oneglance/row_products.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using Matrix = py::array_t<double>;
using ProductTuple = py::typing::Tuple<Matrix, Matrix>;

ProductTuple row_products_binding(const std::vector<py::array>& shards, const std::optional<BoolVector>& mask,
                                  const std::optional<Float64Array>& coef, const std::optional<Float64Array>& values,
                                  bool want_sums) {
  const MatrixView rows = matrix_view(shards);
  const RowSource source = row_source(rows, mask, std::nullopt);
  const std::int64_t n_rows = rows.n_rows(), n_dims = rows.n_dims();
  require(coef.has_value() || values.has_value(), "coef or values must be given.");
  ProductSpec spec;
  spec.width = coef ? coef->shape(coef->ndim() - 1) : values->shape(values->ndim() - 1);
  if (coef) {
    require(coef->ndim() == 2 && coef->shape(0) == n_dims, "coef must be (d, c) for rows of d columns.");
    spec.coef = coef->data();
  }
  if (values) {
    require(values->ndim() == 2 && values->shape(0) == n_rows && values->shape(1) == spec.width,
            "values must be (n, c) for n rows.");
    spec.values = values->data();
  }
  py::array_t<double> products({coef ? n_rows : std::int64_t{0}, spec.width});
  py::array_t<double> sums({want_sums ? n_dims : std::int64_t{0}, spec.width});
  if (coef) spec.products = products.mutable_data();
  if (want_sums) spec.sums = sums.mutable_data();
  {
    const py::gil_scoped_release nogil;
    row_products(source, spec);
  }
  return py::make_tuple(products, sums);
}

Matrix weighted_gram_binding(const std::vector<py::array>& shards, const std::optional<BoolVector>& mask,
                             const Float64Vector& row_scale) {
  const MatrixView rows = matrix_view(shards);
  const RowSource source = row_source(rows, mask, row_scale);
  py::array_t<double> gram({rows.n_dims(), rows.n_dims()});
  double* out = gram.mutable_data();
  {
    const py::gil_scoped_release nogil;
    weighted_gram(source, out);
  }
  return gram;
}

/// A copy of a square matrix as the algorithms want it.
dense::Square square_of(const Float64Array& matrix, const char* name) {
  require(matrix.ndim() == 2 && matrix.shape(0) == matrix.shape(1), std::string(name) + " must be square.");
  return dense::Square(matrix.data(), matrix.data() + matrix.size());
}

Matrix as_matrix(const dense::Square& square, std::int64_t n) {
  Matrix out({n, n});
  std::copy(square.begin(), square.end(), out.mutable_data());
  return out;
}

std::optional<Matrix> cholesky_inverse_binding(const Float64Array& matrix) {
  dense::Square square = square_of(matrix, "matrix");
  const std::int64_t n = matrix.shape(0);
  bool definite = false;
  {
    const py::gil_scoped_release nogil;
    definite = dense::cholesky_upper(square, n);
    if (definite) square = dense::upper_inverse(std::move(square), n);
  }
  if (!definite) return std::nullopt;
  return as_matrix(square, n);
}

Matrix congruence_binding(const Float64Array& matrix, const Float64Array& upper) {
  const dense::Square square = square_of(matrix, "matrix"), right = square_of(upper, "upper");
  require(square.size() == right.size(), "matrix and upper must be of one size.");
  const std::int64_t n = matrix.shape(0);
  dense::Square out;
  {
    const py::gil_scoped_release nogil;
    out = dense::congruence(square, right, n);
  }
  return as_matrix(out, n);
}

}  // namespace

void bind_heads(py::module_& module) {
  module.def("row_products", &row_products_binding, py::arg("shards"), py::arg("mask"), py::arg("coef"),
             py::arg("values"), py::arg("want_sums"),
             "(products (n, c) = A coef, sums (d, c) = A' (values * products)); without coef the sums are A' values, "
             "without values they are A' products.");
  module.def("weighted_gram", &weighted_gram_binding, py::arg("shards"), py::arg("mask"), py::arg("row_scale"),
             "(d, d): sum_i row_scale_i^2 a_i a_i', float64.");
  module.def(
      "cholesky_inverse", &cholesky_inverse_binding, py::arg("matrix"),
      "Upper triangular (n, n) U with matrix^-1 = U U' for a symmetric positive definite matrix; None for others.");
  module.def("congruence", &congruence_binding, py::arg("matrix"), py::arg("upper"),
             "upper' matrix upper for a symmetric matrix and an upper triangular one, both (n, n).");
}

}  // namespace oneglance
