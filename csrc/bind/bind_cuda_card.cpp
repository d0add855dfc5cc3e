#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include "../cuda/card.h"
#include "../cuda/rng.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {

void bind_cuda_card(py::module_& module) {
  module.def("device_count", &cuda::device_count, "Devices this process can use; 0 without a driver or a card.");
  module.def(
      "card",
      [](int device) -> py::typing::Dict<py::str, py::object> {
        const cuda::Card found = cuda::card(device);
        py::dict card;
        card["name"] = found.name;
        card["capability"] = found.capability;
        card["n_processors"] = found.n_processors;
        card["memory_bytes"] = found.memory_bytes;
        card["l2_bytes"] = found.l2_bytes;
        return card;
      },
      py::arg("device"), "name, capability (90 for 9.0), n_processors, memory_bytes, l2_bytes of a device.");
  module.def("device_of", &cuda::device_of, py::arg("address"), "The device whose memory the address lies in, or 0.");
  module.def("synchronize", &cuda::synchronize, py::arg("stream"), WithoutGil(),
             "Waits for the stream; raises LaunchError when work on it has failed.");
  module.def(
      "philox_uniforms",
      [](std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, Address items, std::int64_t n_items,
         Address out, Address stream) {
        cuda::philox_uniforms(seed, purpose, draw, at<const std::int64_t>(items), n_items, at<double>(out), stream);
      },
      py::arg("seed"), py::arg("purpose"), py::arg("draw"), py::arg("items"), py::arg("n_items"), py::arg("out"),
      py::arg("stream"), WithoutGil(), "Uniforms in [0, 1) for int64 items: the bits of the CPU.");
}

}  // namespace oneglance
