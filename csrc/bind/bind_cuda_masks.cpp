#include "../cuda/mask_bits.h"
#include "../cuda/sinkhorn.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {

void bind_cuda_masks(py::module_& module) {
  module.def(
      "pack_mask",
      [](Address mask, std::int64_t n, Address bits, Address ones, Address stream) {
        cuda::pack_mask(at<const std::uint8_t>(mask), n, at<std::uint8_t>(bits), at<std::int64_t>(ones), stream);
      },
      py::arg("mask"), py::arg("n"), py::arg("bits"), py::arg("ones"), py::arg("stream"), WithoutGil(),
      "bits of uint8 values, any but 0 a 1; the int64 ones is added to.");
  module.def(
      "pack_scores",
      [](Address scores, float mu, std::int64_t n, Address bits, Address counts, Address stream) {
        cuda::pack_scores(at<const float>(scores), mu, n, at<std::uint8_t>(bits), at<std::int64_t>(counts), stream);
      },
      py::arg("scores"), py::arg("mu"), py::arg("n"), py::arg("bits"), py::arg("counts"), py::arg("stream"),
      WithoutGil(), "bits of score > mu; the int64 counts of ones and NaN are added to.");
  module.def(
      "unpack_mask",
      [](Address bits, std::int64_t start, std::int64_t stop, Address mask, Address stream) {
        cuda::unpack_mask(at<const std::uint8_t>(bits), start, stop, at<std::uint8_t>(mask), stream);
      },
      py::arg("bits"), py::arg("start"), py::arg("stop"), py::arg("mask"), py::arg("stream"), WithoutGil(),
      "Weights start .. stop - 1 as 0 or 1.");
  module.def(
      "apply_masks",
      [](Address weights, int type, std::int64_t n, Address bits, std::int64_t bytes_step, Address divisors,
         std::int64_t n_masks, Address out, Address stream) {
        cuda::apply_masks(at<const void>(weights), static_cast<cuda::RowType>(type), n, at<const std::uint8_t>(bits),
                          bytes_step, at<const float>(divisors), n_masks, at<void>(out), stream);
      },
      py::arg("weights"), py::arg("type"), py::arg("n"), py::arg("bits"), py::arg("bytes_step"), py::arg("divisors"),
      py::arg("n_masks"), py::arg("out"), py::arg("stream"), WithoutGil(),
      "out (n_masks, n) = kept ? weights / divisor : 0, one reading of the weights for all masks.");
  module.def(
      "masked_linear",
      [](Address x, std::int64_t n, std::int64_t n_in, Address weight, std::int64_t n_out, Address bits,
         std::int64_t bytes_step, Address divisors, Address site, Address order, Address bias, Address out,
         Address stream) {
        cuda::masked_linear(at<const float>(x), n, n_in, at<const float>(weight), n_out, at<const std::uint8_t>(bits),
                            bytes_step, at<const float>(divisors), at<const std::int64_t>(site),
                            at<const std::int64_t>(order), at<const float>(bias), at<float>(out), stream);
      },
      py::arg("x"), py::arg("n"), py::arg("n_in"), py::arg("weight"), py::arg("n_out"), py::arg("bits"),
      py::arg("bytes_step"), py::arg("divisors"), py::arg("site"), py::arg("order"), py::arg("bias"), py::arg("out"),
      py::arg("stream"), WithoutGil(), "A linear map of which every sample has a mask of its own.");
  module.def(
      "sinkhorn",
      [](Address scores, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride, double eps,
         int n_iterations, Address plan, Address column, Address largest, Address stream) {
        cuda::sinkhorn(device_rows(scores, type, n_rows, n_dims, row_stride), eps, n_iterations, at<double>(plan),
                       at<double>(column), at<std::uint64_t>(largest), stream);
      },
      py::arg("scores"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"), py::arg("row_stride"), py::arg("eps"),
      py::arg("n_iterations"), py::arg("plan"), py::arg("column"), py::arg("largest"), py::arg("stream"), WithoutGil(),
      "Codes of a batch by Sinkhorn's rescaling in the logarithm, in float64.");
}

}  // namespace oneglance
