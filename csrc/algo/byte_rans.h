#pragma once
#include <cstdint>
#include <vector>

#include "byte_stream.h"

namespace oneglance {

/// Appends the bits of a mask, n weights of which `ones` are 1 (neither 0 nor n), as static rANS over bytes.
void encode_bytes(const std::uint8_t* bits, std::int64_t n, std::int64_t ones, std::vector<std::uint8_t>& out);

/// The inverse, into ceil(n / 8) bytes. Throws BadStream.
void decode_bytes(ByteReader& in, std::int64_t n, std::int64_t ones, std::uint8_t* bits);

}  // namespace oneglance
