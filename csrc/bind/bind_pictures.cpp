#include <pybind11/typing.h>

#include <cstdint>
#include <string_view>

#include "bind.h"
#include "oneglance/check.h"
#include "oneglance/picture_scores.h"

namespace py = pybind11;

namespace oneglance {
namespace {

py::typing::Tuple<double, double, double, double, double, std::uint64_t> picture_scores_binding(const py::bytes& rgb,
                                                                                                std::int64_t height,
                                                                                                std::int64_t width) {
  const std::string_view pixels = rgb;
  require(height > 0 && width > 0 && static_cast<std::int64_t>(pixels.size()) == 3 * height * width,
          "rgb must be height x width x 3 bytes.");
  PictureScores scores;
  {
    const py::gil_scoped_release nogil;
    scores = picture_scores(reinterpret_cast<const std::uint8_t*>(pixels.data()), height, width);
  }
  return py::make_tuple(scores.low, scores.high, scores.entropy, scores.edges, scores.colour, scores.hash);
}

}  // namespace

void bind_pictures(py::module_& module) {
  module.def("picture_scores", &picture_scores_binding, py::arg("rgb"), py::arg("height"), py::arg("width"),
             "(low, high, entropy, edges, colour, hash) of the pixels of one picture.");
}

}  // namespace oneglance
