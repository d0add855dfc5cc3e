#include <pybind11/typing.h>

#include <optional>

#include "array_in.h"
#include "bind.h"
#include "oneglance/check.h"
#include "oneglance/cover.h"
#include "oneglance/kernel_coverage.h"
#include "oneglance/nearest.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using Float64 = py::array_t<double>;
using Int64 = py::array_t<std::int64_t>;
using NearestTuple = py::typing::Tuple<Int64, Float64>;
using CoverTuple = py::typing::Tuple<Int64, Int64, Float64, Int64, py::typing::Optional<Float64>,
                                     py::typing::Optional<Int64>, py::float_, py::float_>;
using Shards = std::vector<py::array>;

NearestTuple nearest_binding(const Shards& query_shards, const Shards& shards, std::int64_t k, bool cosine,
                             bool skip_self, const std::optional<BoolVector>& mask,
                             const std::optional<BoolVector>& query_mask) {
  const MatrixView query_view = matrix_view(query_shards), view = matrix_view(shards);
  const RowSource source = row_source(view, mask, std::nullopt);
  const RowSource asked = row_source(query_view, query_mask, std::nullopt);
  require(k >= 1, "k must be >= 1.");
  Int64 indices({query_view.n_rows(), k});
  Float64 distances({query_view.n_rows(), k});
  std::int64_t* out_indices = indices.mutable_data();
  double* out_distances = distances.mutable_data();
  {
    const py::gil_scoped_release nogil;
    const MetricRows data(view, metric_of(cosine), source.mask, source.stop);
    const MetricRows queries = [&] {
      try {
        return MetricRows(query_view, metric_of(cosine), asked.mask, source.stop);
      } catch (const NonFiniteRows& error) {
        throw NonFiniteQueries(error.count, error.rows);
      } catch (const ZeroRows& error) {
        throw ZeroQueries(error.count, error.rows);
      }
    }();
    nearest(queries, data, k, skip_self, source.stop, out_indices, out_distances);
  }
  return py::make_tuple(indices, distances);
}

/// The request, with the mask of items turned into one of rows for the metric.
struct CoverInput {
  CoverInput(const Shards& shards, const std::optional<Int64Vector>& offsets, std::int64_t n_picks,
             const std::optional<BoolVector>& mask, const Int64Vector& already, const Int64Vector& start, bool assign)
      : view(matrix_view(shards)) {
    if (offsets) request.offsets = vector_of(*offsets);
    const std::int64_t n_items =
        request.offsets.empty() ? view.n_rows() : static_cast<std::int64_t>(request.offsets.size()) - 1;
    require(request.offsets.empty() || (request.offsets.front() == 0 && request.offsets.back() == view.n_rows()),
            "offsets must begin with 0 and end with the number of rows.");
    request.n_picks = n_picks;
    request.already = vector_of(already);
    request.start = vector_of(start);
    request.assign = assign;
    request.stop = stop_on_ctrl_c();
    if (!mask) return;
    require(mask->size() == n_items, "mask must have one entry per item.");
    request.mask = reinterpret_cast<const std::uint8_t*>(mask->data());
    row_mask.assign(static_cast<std::size_t>(view.n_rows()), 0);
    const auto use = [&](std::int64_t item) {
      const std::int64_t first = request.offsets.empty() ? item : request.offsets[item];
      const std::int64_t last = request.offsets.empty() ? item + 1 : request.offsets[item + 1];
      std::fill(row_mask.begin() + first, row_mask.begin() + last, std::uint8_t{1});
    };
    for (std::int64_t item = 0; item < n_items; ++item) {
      if (request.mask[item] != 0) use(item);
    }
    for (const std::int64_t item : request.already) use(item);
    for (const std::int64_t item : request.start) use(item);
  }

  MetricRows rows(bool cosine) const {
    return {view, metric_of(cosine), row_mask.empty() ? nullptr : row_mask.data(), request.stop};
  }

  MatrixView view;
  CoverRequest request;
  std::vector<std::uint8_t> row_mask;
};

CoverTuple cover_tuple(const CoverResult& result, bool assign) {
  py::object row_distance = py::none(), row_nearest = py::none();
  if (assign) {
    row_distance = array_of(result.row_distance);
    row_nearest = array_of(result.row_nearest);
  }
  return py::make_tuple(array_of(result.items), array_of(result.rows), array_of(result.distances),
                        array_of(result.nearest), row_distance, row_nearest, result.radius, result.readings);
}

CoverTuple farthest_binding(const Shards& shards, const std::optional<Int64Vector>& offsets, std::int64_t n_picks,
                            bool cosine, const std::optional<BoolVector>& mask, const Int64Vector& already,
                            const Int64Vector& start, bool assign) {
  const CoverInput input(shards, offsets, n_picks, mask, already, start, assign);
  CoverResult result;
  {
    const py::gil_scoped_release nogil;
    result = farthest_points(input.rows(cosine), input.request);
  }
  return cover_tuple(result, assign);
}

CoverTuple weighted_draw_binding(const Shards& shards, const std::optional<Int64Vector>& offsets, std::int64_t n_picks,
                                 bool cosine, double gamma, const std::optional<BoolVector>& mask,
                                 const Int64Vector& already, const Int64Vector& start, std::uint64_t seed,
                                 bool assign) {
  const CoverInput input(shards, offsets, n_picks, mask, already, start, assign);
  CoverResult result;
  {
    const py::gil_scoped_release nogil;
    result = weighted_draw(input.rows(cosine), input.request, gamma, seed);
  }
  return cover_tuple(result, assign);
}

py::typing::Tuple<Int64, Float64, py::float_, py::float_> kernel_coverage_binding(
    const Shards& shards, std::int64_t n_picks, double width, bool cosine, const std::optional<BoolVector>& mask,
    const Int64Vector& already, const Int64Vector& evaluate, const Float64Vector& weights, const Float64Vector& costs,
    double budget, bool by_cost) {
  const MatrixView view = matrix_view(shards);
  const RowSource source = row_source(view, mask, std::nullopt);
  KernelCoverageRequest request;
  request.n_picks = n_picks;
  request.width = width;
  request.already = vector_of(already);
  request.evaluate = vector_of(evaluate);
  request.weights = vector_of(weights);
  request.costs = vector_of(costs);
  request.budget = budget;
  request.by_cost = by_cost;
  request.stop = source.stop;
  KernelCoverageResult result;
  {
    const py::gil_scoped_release nogil;
    const MetricRows rows(view, metric_of(cosine), source.mask, source.stop);
    result = kernel_coverage(rows, request);
  }
  return py::make_tuple(array_of(result.rows), array_of(result.gains), result.coverage, result.evaluated);
}

}  // namespace

void bind_search(py::module_& module) {
  module.def("nearest", &nearest_binding, py::arg("queries"), py::arg("shards"), py::arg("k"), py::arg("cosine"),
             py::arg("skip_self"), py::arg("mask"), py::arg("query_mask") = py::none(),
             "(indices (n, k), distances (n, k)) of the k nearest rows.");
  module.def("farthest", &farthest_binding, py::arg("shards"), py::arg("offsets"), py::arg("n_picks"),
             py::arg("cosine"), py::arg("mask"), py::arg("already"), py::arg("start"), py::arg("assign"),
             "(items, rows, distances, nearest, row_distance, row_nearest, radius, readings).");
  module.def("weighted_draw", &weighted_draw_binding, py::arg("shards"), py::arg("offsets"), py::arg("n_picks"),
             py::arg("cosine"), py::arg("gamma"), py::arg("mask"), py::arg("already"), py::arg("start"),
             py::arg("seed"), py::arg("assign"),
             "(items, rows, distances, nearest, row_distance, row_nearest, radius, readings).");
  module.def("kernel_coverage", &kernel_coverage_binding, py::arg("shards"), py::arg("n_picks"), py::arg("width"),
             py::arg("cosine"), py::arg("mask"), py::arg("already"), py::arg("evaluate"), py::arg("weights"),
             py::arg("costs"), py::arg("budget"), py::arg("by_cost"),
             "(rows, gains, coverage, evaluated): greedy maximum of the mean largest Gaussian kernel.");
}

}  // namespace oneglance
