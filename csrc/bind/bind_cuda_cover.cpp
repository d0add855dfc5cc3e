#include "../cuda/cover.h"
#include "../cuda/farthest.h"
#include "../cuda/weighted_draw.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using cuda::CoverArrays;
using cuda::DrawScratch;
using cuda::FarthestScratch;

CoverArrays cover_arrays(Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride,
                         Address scale, Address offsets, std::int64_t n_items, std::int64_t n_picks, Address dist2,
                         Address nearest, Address seen, Address state, Address centers, bool wide, Address control,
                         Address pick_item, Address pick_row, Address pick_nearest, Address pick_dist2) {
  CoverArrays a;
  a.rows = device_rows(rows, type, n_rows, n_dims, row_stride);
  a.scale = at<const double>(scale);
  a.offsets = at<const std::int64_t>(offsets);
  a.n_items = n_items;
  a.n_picks = n_picks;
  a.dist2 = at<double>(dist2);
  a.nearest = at<std::int64_t>(nearest);
  a.seen = at<std::int64_t>(seen);
  a.state = at<std::int32_t>(state);
  a.centers = at<std::int64_t>(centers);
  a.wide = wide;
  a.control = at<std::int64_t>(control);
  a.pick_item = at<std::int64_t>(pick_item);
  a.pick_row = at<std::int64_t>(pick_row);
  a.pick_nearest = at<std::int64_t>(pick_nearest);
  a.pick_dist2 = at<double>(pick_dist2);
  return a;
}

FarthestScratch farthest_scratch(Address pool, Address lowest, Address best_dist2, Address best_row, Address radius,
                                 std::int64_t n_blocks) {
  FarthestScratch s;
  s.pool = at<std::int64_t>(pool);
  s.lowest = at<double>(lowest);
  s.best_dist2 = at<double>(best_dist2);
  s.best_row = at<std::int64_t>(best_row);
  s.radius = at<double>(radius);
  s.n_blocks = n_blocks;
  return s;
}

DrawScratch draw_scratch(double gamma, std::uint64_t seed, Address largest, Address wasted, Address cumulative,
                         Address proposal_row, Address proposal_seen, Address proposal_weight, Address proposal_uniform,
                         std::int64_t most, std::int64_t n_splits, Address part_dist2, Address part_nearest) {
  DrawScratch s;
  s.gamma = gamma;
  s.seed = seed;
  s.largest = at<const double>(largest);
  s.wasted = at<double>(wasted);
  s.cumulative = at<double>(cumulative);
  s.proposal_row = at<std::int64_t>(proposal_row);
  s.proposal_seen = at<std::int64_t>(proposal_seen);
  s.proposal_weight = at<double>(proposal_weight);
  s.proposal_uniform = at<double>(proposal_uniform);
  s.most = most;
  s.n_splits = n_splits;
  s.part_dist2 = at<double>(part_dist2);
  s.part_nearest = at<std::int64_t>(part_nearest);
  return s;
}

void bind_state(py::module_& module) {
  py::class_<CoverArrays>(module, "CoverArrays", "Distances of rows to the chosen rows: csrc/cuda/cover_arrays.h.")
      .def(py::init(&cover_arrays), py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"),
           py::arg("row_stride"), py::kw_only(), py::arg("scale"), py::arg("offsets"), py::arg("n_items"),
           py::arg("n_picks"), py::arg("dist2"), py::arg("nearest"), py::arg("seen"), py::arg("state"),
           py::arg("centers"), py::arg("wide"), py::arg("control"), py::arg("pick_item"), py::arg("pick_row"),
           py::arg("pick_nearest"), py::arg("pick_dist2"));
  py::class_<FarthestScratch>(module, "FarthestScratch", "csrc/cuda/farthest.h")
      .def(py::init(&farthest_scratch), py::kw_only(), py::arg("pool"), py::arg("lowest"), py::arg("best_dist2"),
           py::arg("best_row"), py::arg("radius"), py::arg("n_blocks"));
  py::class_<DrawScratch>(module, "DrawScratch", "csrc/cuda/weighted_draw.h")
      .def(py::init(&draw_scratch), py::kw_only(), py::arg("gamma"), py::arg("seed"), py::arg("largest"),
           py::arg("wasted"), py::arg("cumulative"), py::arg("proposal_row"), py::arg("proposal_seen"),
           py::arg("proposal_weight"), py::arg("proposal_uniform"), py::arg("most"), py::arg("n_splits"),
           py::arg("part_dist2"), py::arg("part_nearest"));
}

}  // namespace

void bind_cuda_cover(py::module_& module) {
  bind_state(module);
  module.def(
      "cover_measure",
      [](Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride, Address state,
         Address scale, Address status, Address range, Address stream) {
        cuda::cover_measure(device_rows(rows, type, n_rows, n_dims, row_stride), at<const std::int32_t>(state),
                            at<double>(scale), at<std::uint8_t>(status), at<std::uint32_t>(range), stream);
      },
      py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"), py::arg("row_stride"), py::arg("state"),
      py::arg("scale"), py::arg("status"), py::arg("range"), py::arg("stream"), WithoutGil(),
      "Which rows in use can be measured, what they are scaled by, and how large their elements are.");
  module.def(
      "cover_open",
      [](const CoverArrays& arrays, Address mask, Address stream) {
        cuda::cover_open(arrays, at<const std::uint8_t>(mask), stream);
      },
      py::arg("arrays"), py::arg("mask"), py::arg("stream"), WithoutGil(), "States of rows by the mask of items.");
  module.def(
      "cover_choose",
      [](const CoverArrays& arrays, Address rows, std::int64_t n, std::int64_t first_place, Address stream) {
        cuda::cover_choose(arrays, at<const std::int64_t>(rows), n, first_place, stream);
      },
      py::arg("arrays"), py::arg("rows"), py::arg("n"), py::arg("first_place"), py::arg("stream"), WithoutGil(),
      "These rows become centres.");
  module.def(
      "cover_refresh",
      [](const CoverArrays& arrays, Address stream) {
        cuda::cover_refresh(arrays, nullptr, nullptr, arrays.rows.n_rows, nullptr, 1, nullptr, nullptr, stream);
      },
      py::arg("arrays"), py::arg("stream"), WithoutGil(), "Brings all open rows up to date with all centres.");
  module.def(
      "cover_largest",
      [](const CoverArrays& arrays, Address largest, Address stream) {
        cuda::cover_largest(arrays, at<std::uint64_t>(largest), stream);
      },
      py::arg("arrays"), py::arg("largest"), py::arg("stream"), WithoutGil(), "The largest dist2 of open rows.");
  module.def(
      "cover_assignment",
      [](const CoverArrays& arrays, double factor, Address distance, Address nearest, Address stream) {
        cuda::cover_assignment(arrays, factor, at<double>(distance), at<std::int64_t>(nearest), stream);
      },
      py::arg("arrays"), py::arg("factor"), py::arg("distance"), py::arg("nearest"), py::arg("stream"), WithoutGil(),
      "Every row's distance to its nearest chosen row, and that row.");
  module.def("farthest_pool", &cuda::farthest_pool, py::arg("arrays"), py::arg("scratch"), py::arg("share"),
             py::arg("number"), py::arg("stream"), WithoutGil(), "The open rows with the largest bounds, up to date.");
  module.def("farthest_steps", &cuda::farthest_steps, py::arg("arrays"), py::arg("scratch"), py::arg("n_steps"),
             py::arg("stream"), WithoutGil(), "Up to n_steps picks inside the pool.");
  module.def("farthest_close", &cuda::farthest_close, py::arg("arrays"), py::arg("scratch"), py::arg("stream"),
             WithoutGil(), "The rows of the pool know all centres.");
  module.def("draw_rounds", &cuda::draw_rounds, py::arg("arrays"), py::arg("scratch"), py::arg("n_rounds"),
             py::arg("stream"), WithoutGil(), "Rounds of proposals, accepted one after the other.");
}

}  // namespace oneglance
