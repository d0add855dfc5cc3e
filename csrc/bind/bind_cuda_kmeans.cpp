#include "../cuda/kmeans.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {

void bind_cuda_kmeans(py::module_& module) {
  module.def(
      "cluster_counts",
      [](Address labels, std::int64_t n_rows, Address counts, Address stream) {
        cuda::cluster_counts(at<const std::int64_t>(labels), n_rows, at<std::int64_t>(counts), stream);
      },
      py::arg("labels"), py::arg("n_rows"), py::arg("counts"), py::arg("stream"), WithoutGil(),
      "Adds the rows of each label to int64 counts.");
  module.def(
      "cluster_means",
      [](Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride, Address scale,
         Address order, Address starts, std::int64_t n_clusters, Address means, Address stream) {
        cuda::cluster_means(device_rows(rows, type, n_rows, n_dims, row_stride), at<const double>(scale),
                            at<const std::int64_t>(order), at<const std::int64_t>(starts), n_clusters,
                            at<double>(means), stream);
      },
      py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"), py::arg("row_stride"), py::arg("scale"),
      py::arg("order"), py::arg("starts"), py::arg("n_clusters"), py::arg("means"), py::arg("stream"), WithoutGil(),
      "float64 means of the rows of each cluster, added in order.");
}

}  // namespace oneglance
