#include <pybind11/typing.h>

#include <optional>

#include "array_in.h"
#include "bind.h"
#include "oneglance/activeft.h"
#include "oneglance/check.h"
#include "oneglance/kmeans.h"
#include "oneglance/small_kmeans.h"

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
    const MetricRows rows(view, metric_of(cosine), source.mask, source.stop);
    report = kmeans(rows, options, out_centers, out_labels, out_distances);
  }
  return py::make_tuple(moved, labels, distances, report.n_iter, report.shift, report.converged, report.reassigned);
}

py::typing::Tuple<py::array_t<float>, Int64> small_kmeans_binding(const py::array_t<float, py::array::c_style>& points,
                                                                  const Int64Vector& offsets, std::int64_t k,
                                                                  std::uint64_t seed, const Int64Vector& items,
                                                                  int max_iter, double tol) {
  require(points.ndim() == 2, "points must be 2-D (points, features).");
  require(
      offsets.size() == items.size() + 1 && offsets.data()[0] == 0 && offsets.data()[items.size()] == points.shape(0),
      "offsets must begin with 0, end with the number of points, and have one entry more than items.");
  SmallKMeansInput input;
  input.points = points.data();
  input.offsets = offsets.data();
  input.names = items.data();
  input.n_sets = items.size();
  input.n_dims = points.shape(1);
  input.n_clusters = k;
  input.seed = seed;
  input.max_iter = max_iter;
  input.tol = tol;
  input.stop = stop_on_ctrl_c();
  SmallKMeansResult result;
  {
    const py::gil_scoped_release nogil;
    result = small_kmeans(input);
  }
  py::array_t<float> patterns({result.offsets.back(), input.n_dims});
  std::copy(result.patterns.begin(), result.patterns.end(), patterns.mutable_data());
  Int64 pattern_offsets(static_cast<py::ssize_t>(result.offsets.size()), result.offsets.data());
  return py::make_tuple(patterns, pattern_offsets);
}

ActiveFtOptions activeft_options(const std::string& objective, const Float64Array& theta, std::int64_t n_dims,
                                 double tau, double balance) {
  require(theta.ndim() == 2 && theta.shape(0) >= 1 && theta.shape(1) == n_dims,
          "theta must be (B, d) for rows of d columns.");
  require(objective == "paper" || objective == "released", "objective must be 'paper' or 'released'.");
  ActiveFtOptions options;
  options.objective = objective == "paper" ? ActiveFtObjective::paper : ActiveFtObjective::released;
  options.n_theta = theta.shape(0);
  options.tau = tau;
  options.balance = balance;
  options.stop = stop_on_ctrl_c();
  return options;
}

py::typing::Tuple<Float64, Float64, py::float_> activeft_binding(
    const std::vector<py::array>& shards, const Float64Array& theta, const std::string& objective, int n_iter,
    double tau, double balance, double learning_rate, std::int64_t n_fixed, std::int64_t sample_rows,
    std::uint64_t seed, const std::optional<BoolVector>& mask) {
  const MatrixView view = matrix_view(shards);
  const RowSource source = row_source(view, mask, std::nullopt);
  ActiveFtOptions options = activeft_options(objective, theta, view.n_dims(), tau, balance);
  options.n_iter = n_iter;
  options.learning_rate = learning_rate;
  options.n_fixed = n_fixed;
  options.sample_rows = sample_rows;
  options.seed = seed;
  Float64 moved({theta.shape(0), theta.shape(1)});
  std::copy_n(theta.data(), theta.size(), moved.mutable_data());
  double* out = moved.mutable_data();
  ActiveFtReport report;
  {
    const py::gil_scoped_release nogil;
    const MetricRows rows(view, Metric::cosine, source.mask, source.stop);
    report = activeft(rows, options, out);
  }
  return py::make_tuple(moved, array_of(report.loss), report.scanned);
}

py::typing::Tuple<py::float_, Float64> activeft_gradient_binding(const std::vector<py::array>& shards,
                                                                 const Float64Array& theta,
                                                                 const std::string& objective, double tau,
                                                                 double balance) {
  const MatrixView view = matrix_view(shards);
  const ActiveFtOptions options = activeft_options(objective, theta, view.n_dims(), tau, balance);
  Float64 gradient({theta.shape(0), theta.shape(1)});
  double* out = gradient.mutable_data();
  double loss;
  {
    const py::gil_scoped_release nogil;
    const MetricRows rows(view, Metric::cosine, nullptr, options.stop);
    loss = activeft_gradient(rows, options, theta.data(), out);
  }
  return py::make_tuple(loss, gradient);
}

}  // namespace

void bind_cluster(py::module_& module) {
  module.def("kmeans", &kmeans_binding, py::arg("shards"), py::arg("k"), py::arg("cosine"), py::arg("centers"),
             py::arg("max_iter"), py::arg("tol"), py::arg("mask"),
             "(centers, labels, distances, n_iter, shift, converged, reassigned) of Lloyd's algorithm.");
  module.def("activeft", &activeft_binding, py::arg("shards"), py::arg("theta"), py::arg("objective"),
             py::arg("n_iter"), py::arg("tau"), py::arg("balance"), py::arg("learning_rate"), py::arg("n_fixed"),
             py::arg("sample_rows"), py::arg("seed"), py::arg("mask"), "(theta, loss, scanned).");
  module.def("activeft_gradient", &activeft_gradient_binding, py::arg("shards"), py::arg("theta"), py::arg("objective"),
             py::arg("tau"), py::arg("balance"), "(loss, gradient) at theta.");
  module.def("small_kmeans", &small_kmeans_binding, py::arg("points"), py::arg("offsets"), py::arg("k"),
             py::arg("seed"), py::arg("items"), py::arg("max_iter"), py::arg("tol"),
             "(patterns, offsets): k-means of every set of points on its own.");
}

}  // namespace oneglance
