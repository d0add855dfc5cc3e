#include <pybind11/typing.h>

#include <optional>

#include "array_in.h"
#include "bind.h"
#include "oneglance/check.h"
#include "oneglance/kmeans.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using Float64 = py::array_t<double>;
using Int64 = py::array_t<std::int64_t>;
using KMeansTuple = py::typing::Tuple<Float64, Int64, Float64, py::int_, py::float_, py::bool_, py::int_>;

KMeansTuple kmeans_binding(const std::vector<py::array>& shards, std::int64_t k, bool cosine,
                           const Float64Array& centers, int max_iter, double tol,
                           const std::optional<BoolVector>& mask) {
  const MatrixView view = matrix_view(shards);
  require(centers.ndim() == 2 && centers.shape(0) == k && centers.shape(1) == view.n_dims(),
          "centers must be (k, d) for rows of d columns.");
  const RowSource source = row_source(view, mask, std::nullopt);
  Float64 moved({k, view.n_dims()});
  std::copy_n(centers.data(), centers.size(), moved.mutable_data());
  Int64 labels(view.n_rows());
  Float64 distances(view.n_rows());
  KMeansOptions options;
  options.n_clusters = k;
  options.max_iter = max_iter;
  options.tol = tol;
  options.stop = source.stop;
  double *out_centers = moved.mutable_data(), *out_distances = distances.mutable_data();
  std::int64_t* out_labels = labels.mutable_data();
  KMeansReport report;
  {
    const py::gil_scoped_release nogil;
    const MetricRows rows(view, cosine ? Metric::cosine : Metric::sqeuclidean, source.mask, source.stop);
    report = kmeans(rows, options, out_centers, out_labels, out_distances);
  }
  return py::make_tuple(moved, labels, distances, report.n_iter, report.shift, report.converged, report.reassigned);
}

}  // namespace

void bind_cluster(py::module_& module) {
  module.def("kmeans", &kmeans_binding, py::arg("shards"), py::arg("k"), py::arg("cosine"), py::arg("centers"),
             py::arg("max_iter"), py::arg("tol"), py::arg("mask"),
             "(centers, labels, distances, n_iter, shift, converged, reassigned) of Lloyd's algorithm.");
}

}  // namespace oneglance
