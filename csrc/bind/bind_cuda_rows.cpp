#include "../cuda/row_norms.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {

void bind_cuda_rows(py::module_& module) {
  module.def(
      "row_norms2",
      [](Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride, Address out,
         Address n_bad, Address stream) {
        cuda::row_norms2(device_rows(rows, type, n_rows, n_dims, row_stride), at<double>(out), at<std::int64_t>(n_bad),
                         stream);
      },
      py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"), py::arg("row_stride"), py::arg("out"),
      py::arg("n_bad"), py::arg("stream"), WithoutGil(),
      "float64 |row|^2 of every row; rows with NaN or infinity are added to the int64 n_bad.");
}

}  // namespace oneglance
