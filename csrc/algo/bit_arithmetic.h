#pragma once
#include <cstdint>
#include <vector>

#include "byte_stream.h"

namespace oneglance {

/// Appends the bits of a mask by an adaptive binary arithmetic coder. weights (n): an estimate per quantile of
/// |weight|; null: one for all.
void encode_adaptive(const std::uint8_t* bits, std::int64_t n, std::int64_t ones, const float* weights,
                     std::vector<std::uint8_t>& out);

/// The inverse, into ceil(n / 8) bytes; takes all that is left of the stream. Throws BadStream.
void decode_adaptive(ByteReader& in, std::int64_t n, std::int64_t ones, const float* weights, std::uint8_t* bits);

}  // namespace oneglance
