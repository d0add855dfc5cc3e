#include "../cuda/panel.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {

void bind_cuda_linalg(py::module_& module) {
  module.def(
      "load_panel",
      [](Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride, Address columns,
         Address column_scale, Address row_scale, Address mask, std::int64_t rank, int panel_type, Address panel,
         Address rest, Address n_bad, Address stream) {
        const cuda::PanelSource source{at<const std::int32_t>(columns), at<const double>(column_scale),
                                       at<const double>(row_scale), at<const std::uint8_t>(mask)};
        cuda::load_panel(device_rows(rows, type, n_rows, n_dims, row_stride), source, rank,
                         static_cast<cuda::PanelType>(panel_type), at<void>(panel), at<float>(rest),
                         at<std::int64_t>(n_bad), stream);
      },
      py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"), py::arg("row_stride"), py::arg("columns"),
      py::arg("column_scale"), py::arg("row_scale"), py::arg("mask"), py::arg("rank"), py::arg("panel_type"),
      py::arg("panel"), py::arg("rest"), py::arg("n_bad"), py::arg("stream"), WithoutGil(),
      "Rows selected, scaled and converted (0 float32, 1 float64, 2 tf32, with the rest); 0 for what is not given.");
  module.def(
      "reweight_panel",
      [](Address panel, std::int64_t n_rows, std::int64_t rank, int panel_type, double gram_power, bool keep,
         Address tau, Address rest, Address stream) {
        cuda::reweight_panel(at<void>(panel), n_rows, rank, static_cast<cuda::PanelType>(panel_type), gram_power, keep,
                             at<double>(tau), at<float>(rest), stream);
      },
      py::arg("panel"), py::arg("n_rows"), py::arg("rank"), py::arg("panel_type"), py::arg("gram_power"),
      py::arg("keep"), py::arg("tau"), py::arg("rest"), py::arg("stream"), WithoutGil(),
      "tau = |row|^2 of a panel; keep: each row times tau^(gram_power / 2), in place.");
  module.def(
      "split_tf32",
      [](Address values, std::int64_t n, Address high, Address rest, Address stream) {
        cuda::split_tf32(at<const double>(values), n, at<float>(high), at<float>(rest), stream);
      },
      py::arg("values"), py::arg("n"), py::arg("high"), py::arg("rest"), py::arg("stream"), WithoutGil(),
      "float64 values as float32 of 11 bits, and what is left over with 11 more.");
}

}  // namespace oneglance
