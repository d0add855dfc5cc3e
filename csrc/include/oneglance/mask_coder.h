#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace oneglance {

/// How the bits of a mask are stored. docs/mask_format.md describes each, byte by byte.
///   raw        as they are
///   bytes      static rANS over whole bytes, by their number of ones; hundreds of MB/s
///   adaptive   adaptive binary arithmetic coder, which follows rates that change along the tensor; about 10 MB/s
///   magnitude  the same, with an estimate per quantile of |weight|: who decodes needs the same weights
enum class MaskCoder : std::uint8_t { raw = 0, bytes = 1, adaptive = 2, magnitude = 3 };

/// A mask to encode: n weights in ceil(n / 8) bytes, of which `ones` are 1; the base's weights for `magnitude`.
struct MaskBits {
  const std::uint8_t* bits = nullptr;
  std::int64_t n = 0;
  std::int64_t ones = 0;
  const float* weights = nullptr;
};

/// What may be tried; the shortest stream is taken, the first of equals.
struct CoderChoice {
  std::vector<MaskCoder> coders;
  /// Masks of at most so many weights try `adaptive`, too: they are few bytes, and tables would be many of them.
  std::int64_t adaptive_up_to = 0;
};

/// A stream that can be decoded by itself: coder, n, ones, crc32 of the bits and of the stream, and the coded bits.
/// Whole numbers only: the same bytes on every machine.
std::vector<std::uint8_t> encode_mask(const MaskBits& mask, const CoderChoice& choice);

/// Bits and ones of a stream, or what is wrong with it. Any bytes may come: no more than n bits are ever written, and
/// what has another checksum, or does not end as an encoder would have ended it, is an error.
struct DecodedMask {
  std::vector<std::uint8_t> bits;
  std::int64_t ones = 0;
  std::string error;
};

/// n: weights that the caller expects. weights: needed for `magnitude` only, may be null.
DecodedMask decode_mask(const std::uint8_t* stream, std::int64_t size, std::int64_t n, const float* weights);

}  // namespace oneglance
