#include "../cuda/nearest.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {
namespace {

/// Rows with what they are multiplied by.
struct ScaledRows {
  cuda::DeviceRows rows;
  const double* scale;
  const std::uint8_t* mask;
};

cuda::Points points(Address x, Address norm2, Address slack, Address base, Address slope) {
  return {at<float>(x), at<double>(norm2), at<double>(slack), at<float>(base), at<float>(slope)};
}

}  // namespace

void bind_cuda_nearest(py::module_& module) {
  py::class_<ScaledRows>(module, "ScaledRows", "Rows, the factor of each (0: 1) and which are used (0: all).")
      .def(py::init([](Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride,
                       Address scale, Address mask) {
             return ScaledRows{device_rows(rows, type, n_rows, n_dims, row_stride), at<const double>(scale),
                               at<const std::uint8_t>(mask)};
           }),
           py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"), py::arg("row_stride"),
           py::arg("scale"), py::arg("mask"));
  py::class_<cuda::Points>(module, "Points", "Rows in a frame: float32 numbers, norms and bounds.")
      .def(py::init(&points), py::arg("x"), py::arg("norm2"), py::arg("slack"), py::arg("base"), py::arg("slope"));
  py::class_<cuda::Frame>(module, "Frame", "How rows are brought into float32, and what that costs.")
      .def(py::init([](double power, double unit, double dot_error, double row_error, Address shift) {
             return cuda::Frame{power, unit, dot_error, row_error, at<const float>(shift)};
           }),
           py::arg("power"), py::arg("unit"), py::arg("dot_error"), py::arg("row_error"), py::arg("shift"));
  py::class_<cuda::Candidates>(module, "Candidates", "The few rows that may be nearest to each query.")
      .def(py::init([](Address lower, Address row, Address upper, Address dropped, int slots) {
             return cuda::Candidates{at<float>(lower), at<std::int64_t>(row), at<float>(upper), at<float>(dropped),
                                     slots};
           }),
           py::arg("lower"), py::arg("row"), py::arg("upper"), py::arg("dropped"), py::arg("slots"));
  module.def(
      "prepare_points",
      [](const ScaledRows& from, const cuda::Frame& frame, int parts, unsigned low, bool tf32, const cuda::Points& out,
         Address stream) {
        cuda::prepare_points(from.rows, from.scale, from.mask, frame, cuda::PointLayout{parts, low, tf32}, out, stream);
      },
      py::arg("rows"), py::arg("frame"), py::arg("parts"), py::arg("low"), py::arg("tf32"), py::arg("out"),
      py::arg("stream"), WithoutGil(),
      "Rows in a frame, `parts` times; the bits of `low` say which have the lower bits.");
  module.def(
      "scan_tile",
      [](Address products, std::int64_t n_queries, std::int64_t n_rows, std::int64_t first_row,
         const cuda::Points& queries, const cuda::Points& rows, Address query_rows, std::int64_t n_nearest,
         const cuda::Candidates& candidates, Address stream) {
        cuda::scan_tile(at<const float>(products), n_queries, n_rows, first_row, queries, rows,
                        at<const std::int64_t>(query_rows), n_nearest, candidates, stream);
      },
      py::arg("products"), py::arg("n_queries"), py::arg("n_rows"), py::arg("first_row"), py::arg("queries"),
      py::arg("rows"), py::arg("query_rows"), py::arg("n_nearest"), py::arg("candidates"), py::arg("stream"),
      WithoutGil(), "Takes up a tile of products of queries and rows.");
  module.def(
      "decide_nearest",
      [](const ScaledRows& queries, const ScaledRows& rows, const cuda::Points& query_points, double power2,
         std::int64_t n_nearest, const cuda::Candidates& candidates, Address indices, Address dist2, Address crowded,
         Address stream) {
        cuda::decide_nearest(queries.rows, queries.scale, rows.rows, rows.scale, query_points, power2, n_nearest,
                             candidates, at<std::int64_t>(indices), at<double>(dist2), at<std::uint8_t>(crowded),
                             stream);
      },
      py::arg("queries"), py::arg("rows"), py::arg("query_points"), py::arg("power2"), py::arg("n_nearest"),
      py::arg("candidates"), py::arg("indices"), py::arg("dist2"), py::arg("crowded"), py::arg("stream"), WithoutGil(),
      "float64 distances of the candidates, and the nearest of them.");
  module.def(
      "exact_distances",
      [](const ScaledRows& queries, Address chosen, std::int64_t n_chosen, const ScaledRows& rows, Address query_rows,
         Address dist2, Address stream) {
        cuda::exact_distances(queries.rows, queries.scale, at<const std::int64_t>(chosen), n_chosen, rows.rows,
                              rows.scale, rows.mask, at<const std::int64_t>(query_rows), at<double>(dist2), stream);
      },
      py::arg("queries"), py::arg("chosen"), py::arg("n_chosen"), py::arg("rows"), py::arg("query_rows"),
      py::arg("dist2"), py::arg("stream"), WithoutGil(),
      "float64 dist2 (n_chosen, n_rows) of some queries to all rows.");
}

}  // namespace oneglance
