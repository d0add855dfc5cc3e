#include <pybind11/typing.h>

#include <string>

#include "array_in.h"
#include "bind.h"
#include "oneglance/check.h"
#include "oneglance/mask_bits.h"
#include "oneglance/mask_coder.h"

namespace py = pybind11;

namespace oneglance {
namespace {

using Bytes = py::array_t<std::uint8_t>;
using BytesIn = py::array_t<std::uint8_t, py::array::c_style>;
using FloatsIn = py::array_t<float, py::array::c_style>;

py::typing::Tuple<Bytes, py::int_> pack_binding(const BytesIn& mask) {
  const std::int64_t n = mask.size();
  Bytes bits((n + 7) / 8);
  std::uint8_t* out = bits.mutable_data();
  Packed packed;
  {
    const py::gil_scoped_release nogil;
    packed = pack_mask(mask.data(), n, out);
  }
  return py::make_tuple(bits, packed.ones);
}

py::typing::Tuple<Bytes, py::int_, py::int_> pack_scores_binding(const FloatsIn& scores, float mu) {
  const std::int64_t n = scores.size();
  Bytes bits((n + 7) / 8);
  std::uint8_t* out = bits.mutable_data();
  Packed packed;
  {
    const py::gil_scoped_release nogil;
    packed = pack_scores(scores.data(), mu, n, out);
  }
  return py::make_tuple(bits, packed.ones, packed.n_nan);
}

void unpack_binding(const BytesIn& bits, std::int64_t start, std::int64_t stop, Bytes& out) {
  require(0 <= start && start <= stop && stop <= 8 * bits.size() && out.size() == stop - start,
          "start and stop must lie within bits, and out must have stop - start entries.");
  require((out.flags() & py::array::c_style) != 0, "out must be contiguous.");
  std::uint8_t* mask = out.mutable_data();
  const py::gil_scoped_release nogil;
  unpack_mask(bits.data(), start, stop, mask);
}

std::int64_t popcount_binding(const BytesIn& bits) {
  const py::gil_scoped_release nogil;
  return mask_popcount(bits.data(), bits.size());
}

py::typing::Tuple<Bytes, py::int_> xor_binding(const BytesIn& a, const BytesIn& b) {
  require(a.size() == b.size(), "a and b must have as many bytes.");
  Bytes bits(a.size());
  std::uint8_t* out = bits.mutable_data();
  std::int64_t ones = 0;
  {
    const py::gil_scoped_release nogil;
    ones = mask_xor(a.data(), b.data(), a.size(), out);
  }
  return py::make_tuple(bits, ones);
}

void apply_binding(const py::array& weights, const BytesIn& bits, std::int64_t kept, py::array& out) {
  const std::int64_t n = weights.size();
  require(weights.dtype().kind() == 'f' && (weights.itemsize() == 4 || weights.itemsize() == 2) &&
              out.dtype().is(weights.dtype()) && out.size() == n && bits.size() == (n + 7) / 8 && kept >= 0 &&
              kept <= n && (weights.flags() & py::array::c_style) != 0 && (out.flags() & py::array::c_style) != 0,
          "weights and out must be contiguous float32 or float16 of one size, and bits must have a bit for each.");
  void* to = out.mutable_data();
  const bool single = weights.itemsize() == 4;
  const py::gil_scoped_release nogil;
  if (single) {
    apply_mask(static_cast<const float*>(weights.data()), bits.data(), kept, n, static_cast<float*>(to));
  } else {
    apply_mask(static_cast<const std::uint16_t*>(weights.data()), bits.data(), kept, n,
               static_cast<std::uint16_t*>(to));
  }
}

using WeightsIn = std::vector<std::optional<FloatsIn>>;

std::vector<const float*> weights_of(const WeightsIn& weights, const std::vector<std::int64_t>& sizes) {
  require(weights.size() == sizes.size(), "weights must have an entry, or None, per mask.");
  std::vector<const float*> pointers;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    require(!weights[k] || weights[k]->size() == sizes[k], "weights must have as many entries as their mask.");
    pointers.push_back(weights[k] ? weights[k]->data() : nullptr);
  }
  return pointers;
}

std::vector<Bytes> encode_binding(const std::vector<BytesIn>& bits, const std::vector<std::int64_t>& sizes,
                                  const std::vector<std::int64_t>& ones, const WeightsIn& weights,
                                  const std::vector<int>& coders, std::int64_t adaptive_up_to) {
  require(bits.size() == sizes.size() && bits.size() == ones.size(), "bits, sizes and ones must be as many.");
  const std::vector<const float*> pointers = weights_of(weights, sizes);
  CoderChoice choice;
  choice.adaptive_up_to = adaptive_up_to;
  for (const int id : coders) {
    require(0 <= id && id <= static_cast<int>(MaskCoder::magnitude), "coders must be 0..3.");
    choice.coders.push_back(static_cast<MaskCoder>(id));
  }
  require(!choice.coders.empty() && choice.coders.front() != MaskCoder::magnitude,
          "coders must begin with one that needs no weights.");
  std::vector<MaskBits> masks;
  for (std::size_t k = 0; k < bits.size(); ++k) {
    require(sizes[k] >= 0 && bits[k].size() == (sizes[k] + 7) / 8, "bits must have ceil(n / 8) bytes.");
    masks.push_back({bits[k].data(), sizes[k], ones[k], pointers[k]});
  }
  std::vector<std::vector<std::uint8_t>> streams(masks.size());
  {
    const py::gil_scoped_release nogil;
    for_each_lane(static_cast<std::int64_t>(masks.size()), active_threads(), stop_on_ctrl_c(), [&](const Lane& lane) {
      const auto k = static_cast<std::size_t>(lane.index);
      streams[k] = encode_mask(masks[k], choice);
    });
  }
  std::vector<Bytes> out;
  for (const auto& stream : streams) out.push_back(array_of(stream));
  return out;
}

std::vector<py::typing::Tuple<Bytes, py::int_, py::str>> decode_binding(const std::vector<BytesIn>& streams,
                                                                        const std::vector<std::int64_t>& sizes,
                                                                        const WeightsIn& weights) {
  require(streams.size() == sizes.size(), "streams and sizes must be as many.");
  const std::vector<const float*> pointers = weights_of(weights, sizes);
  for (const std::int64_t size : sizes) require(size >= 0, "sizes must be >= 0.");
  std::vector<std::pair<const std::uint8_t*, std::int64_t>> from;
  for (const BytesIn& stream : streams) from.emplace_back(stream.data(), stream.size());
  std::vector<DecodedMask> masks(streams.size());
  {
    const py::gil_scoped_release nogil;
    for_each_lane(static_cast<std::int64_t>(masks.size()), active_threads(), stop_on_ctrl_c(), [&](const Lane& lane) {
      const auto k = static_cast<std::size_t>(lane.index);
      masks[k] = decode_mask(from[k].first, from[k].second, sizes[k], pointers[k]);
    });
  }
  std::vector<py::typing::Tuple<Bytes, py::int_, py::str>> out;
  for (const DecodedMask& mask : masks) out.push_back(py::make_tuple(array_of(mask.bits), mask.ones, mask.error));
  return out;
}

}  // namespace

void bind_masks(py::module_& module) {
  module.def("pack_mask", &pack_binding, py::arg("mask"), "(bits, ones) of uint8 values, any but 0 a 1.");
  module.def("pack_scores", &pack_scores_binding, py::arg("scores"), py::arg("mu"),
             "(bits, ones, number of NaN) of score > mu.");
  module.def("unpack_mask", &unpack_binding, py::arg("bits"), py::arg("start"), py::arg("stop"),
             py::arg("out").noconvert(), "Weights start .. stop - 1 as 0 or 1.");
  module.def("mask_popcount", &popcount_binding, py::arg("bits"), "Ones in the bytes.");
  module.def("mask_xor", &xor_binding, py::arg("a"), py::arg("b"), "(bits, ones) of a xor b.");
  module.def("apply_mask", &apply_binding, py::arg("weights"), py::arg("bits"), py::arg("kept"), py::arg("out"),
             "out = kept ? weights / sqrt(max(kept, 1) / n) : 0.");
  module.def("encode_masks", &encode_binding, py::arg("bits"), py::arg("sizes"), py::arg("ones"), py::arg("weights"),
             py::arg("coders"), py::arg("adaptive_up_to"), "A stream per mask, by the shortest of the coders.");
  module.def("decode_masks", &decode_binding, py::arg("streams"), py::arg("sizes"), py::arg("weights"),
             "(bits, ones, what is wrong with the stream) per mask.");
}

}  // namespace oneglance
