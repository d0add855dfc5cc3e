#include <pybind11/typing.h>

#include <optional>

#include "array_in.h"
#include "bind.h"
#include "oneglance/bilaf.h"
#include "oneglance/check.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using Int64 = py::array_t<std::int64_t>;
using Float64 = py::array_t<double>;
using Shards = std::vector<py::array>;

Classes classes_of(const MatrixView& view, const Int64Vector& members, const Int64Vector& offsets,
                   const Int64Vector& cores) {
  Classes classes{vector_of(members), vector_of(offsets), vector_of(cores)};
  require(
      offsets.size() == cores.size() + 1 && classes.offsets.front() == 0 && classes.offsets.back() == members.size(),
      "offsets must begin with 0, end with the number of members, and have one entry more than cores.");
  for (const std::int64_t row : classes.members) require(row >= 0 && row < view.n_rows(), "members must be rows.");
  for (const std::int64_t row : classes.cores) require(row >= 0 && row < view.n_rows(), "cores must be rows.");
  return classes;
}

/// Only rows of the classes are read.
std::vector<std::uint8_t> rows_of(const MatrixView& view, const Classes& classes) {
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(view.n_rows()), 0);
  for (const std::int64_t row : classes.members) mask[static_cast<std::size_t>(row)] = 1;
  for (const std::int64_t row : classes.cores) mask[static_cast<std::size_t>(row)] = 1;
  return mask;
}

py::typing::Tuple<Int64, Float64> denoise_binding(const Shards& shards, const Int64Vector& members,
                                                  const Int64Vector& offsets, const Int64Vector& cores,
                                                  std::int64_t n_neighbors, double growth, double removal,
                                                  bool cosine) {
  const MatrixView view = matrix_view(shards);
  const Classes classes = classes_of(view, members, offsets, cores);
  const DenoiseOptions options{n_neighbors, growth, removal, stop_on_ctrl_c()};
  Denoised found;
  {
    const py::gil_scoped_release nogil;
    const std::vector<std::uint8_t> mask = rows_of(view, classes);
    const MetricRows rows(view, metric_of(cosine), mask.data(), options.stop);
    found = denoise(rows, classes, options);
  }
  return py::make_tuple(array_of(found.order), array_of(found.mean_distance));
}

py::typing::Tuple<Int64, Float64, Int64> boundary_picks_binding(
    const Shards& shards, const Int64Vector& members, const Int64Vector& offsets, const Int64Vector& cores,
    const Int64Vector& near_core, const Float64Vector& near_distance, const Float64Vector& mean_distance,
    const Int64Vector& budget, double penalty, bool cosine) {
  const MatrixView view = matrix_view(shards);
  const Classes classes = classes_of(view, members, offsets, cores);
  require(budget.size() == cores.size() && near_core.size() == near_distance.size() &&
              near_core.size() % std::max<py::ssize_t>(1, members.size()) == 0 &&
              mean_distance.size() == members.size(),
          "budget must have one entry per class, mean_distance one per member, near_core and near_distance as many "
          "per member.");
  BoundaryOptions options;
  options.near_core = vector_of(near_core);
  options.near_distance = vector_of(near_distance);
  options.n_near = near_core.size() / std::max<py::ssize_t>(1, members.size());
  options.mean_distance = vector_of(mean_distance);
  options.penalty = penalty;
  options.budget = vector_of(budget);
  options.stop = stop_on_ctrl_c();
  BoundaryPicks picks;
  {
    const py::gil_scoped_release nogil;
    const std::vector<std::uint8_t> mask = rows_of(view, classes);
    const MetricRows rows(view, metric_of(cosine), mask.data(), options.stop);
    picks = boundary_picks(rows, classes, options);
  }
  return py::make_tuple(array_of(picks.rows), array_of(picks.scores), array_of(picks.opponent));
}

}  // namespace

void bind_bilaf(py::module_& module) {
  module.def("denoise", &denoise_binding, py::arg("shards"), py::arg("members"), py::arg("offsets"), py::arg("cores"),
             py::arg("n_neighbors"), py::arg("growth"), py::arg("removal"), py::arg("cosine"),
             "(order, mean distances): members of every class in the order in which density lets them join, and the "
             "mean distance of each member to those that stay.");
  module.def("boundary_picks", &boundary_picks_binding, py::arg("shards"), py::arg("members"), py::arg("offsets"),
             py::arg("cores"), py::arg("near_core"), py::arg("near_distance"), py::arg("mean_distance"),
             py::arg("budget"), py::arg("penalty"), py::arg("cosine"),
             "(rows, scores, opponents): boundary samples of every class.");
}

}  // namespace oneglance
