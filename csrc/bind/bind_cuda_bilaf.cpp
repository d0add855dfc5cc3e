#include "../cuda/bilaf.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using cuda::DeviceClasses;

DeviceClasses device_classes(Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride,
                             Address scale, Address members, Address offsets, Address cores, Address by_size,
                             std::int64_t n_classes) {
  DeviceClasses classes;
  classes.rows = device_rows(rows, type, n_rows, n_dims, row_stride);
  classes.scale = at<const double>(scale);
  classes.members = at<const std::int64_t>(members);
  classes.offsets = at<const std::int64_t>(offsets);
  classes.cores = at<const std::int64_t>(cores);
  classes.by_size = at<const std::int64_t>(by_size);
  classes.n_classes = n_classes;
  return classes;
}

void denoise_binding(const DeviceClasses& classes, std::int64_t n_neighbors, std::int64_t width, double growth,
                     double removal, Address order, Address waiting, Address kept, Address mean_distance,
                     Address nearest, Address density, Address stream) {
  cuda::DenoiseWork work;
  work.n_neighbors = n_neighbors;
  work.width = width;
  work.growth = growth;
  work.removal = removal;
  work.order = at<std::int64_t>(order);
  work.waiting = at<std::int64_t>(waiting);
  work.kept = at<std::int64_t>(kept);
  work.mean_distance = at<double>(mean_distance);
  work.nearest = at<double>(nearest);
  work.density = at<double>(density);
  cuda::denoise(classes, work, stream);
}

void boundary_binding(const DeviceClasses& classes, Address near_core, Address near_distance, std::int64_t n_near,
                      Address mean_distance, Address budget, Address starts, double penalty, std::int64_t n_blocks,
                      Address power, Address least, Address distance, Address left, Address exact, Address rows,
                      Address opponent, Address scores, Address stream) {
  cuda::BoundaryWork work;
  work.near_core = at<const std::int64_t>(near_core);
  work.near_distance = at<const double>(near_distance);
  work.n_near = n_near;
  work.mean_distance = at<const double>(mean_distance);
  work.budget = at<const std::int64_t>(budget);
  work.starts = at<const std::int64_t>(starts);
  work.penalty = penalty;
  work.n_blocks = n_blocks;
  work.power = at<double>(power);
  work.least = at<double>(least);
  work.distance = at<double>(distance);
  work.left = at<std::int64_t>(left);
  work.exact = at<std::int64_t>(exact);
  work.rows = at<std::int64_t>(rows);
  work.opponent = at<std::int64_t>(opponent);
  work.scores = at<double>(scores);
  cuda::boundary_picks(classes, work, stream);
}

}  // namespace

void bind_cuda_bilaf(py::module_& module) {
  py::class_<DeviceClasses>(module, "DeviceClasses", "Rows in classes: csrc/cuda/bilaf.h.")
      .def(py::init(&device_classes), py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"),
           py::arg("row_stride"), py::kw_only(), py::arg("scale"), py::arg("members"), py::arg("offsets"),
           py::arg("cores"), py::arg("by_size"), py::arg("n_classes"));
  module.def("bilaf_denoise", &denoise_binding, py::arg("classes"), py::kw_only(), py::arg("n_neighbors"),
             py::arg("width"), py::arg("growth"), py::arg("removal"), py::arg("order"), py::arg("waiting"),
             py::arg("kept"), py::arg("mean_distance"), py::arg("nearest"), py::arg("density"), py::arg("stream"),
             WithoutGil(), "The density order of every class, and mean distances.");
  module.def("bilaf_boundary", &boundary_binding, py::arg("classes"), py::kw_only(), py::arg("near_core"),
             py::arg("near_distance"), py::arg("n_near"), py::arg("mean_distance"), py::arg("budget"),
             py::arg("starts"), py::arg("penalty"), py::arg("n_blocks"), py::arg("power"), py::arg("least"),
             py::arg("distance"), py::arg("left"), py::arg("exact"), py::arg("rows"), py::arg("opponent"),
             py::arg("scores"), py::arg("stream"), WithoutGil(), "Boundary samples of every class.");
}

}  // namespace oneglance
