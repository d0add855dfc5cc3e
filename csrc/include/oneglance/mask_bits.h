#pragma once
#include <cstdint>

#include "oneglance/parallel.h"

namespace oneglance {

// Masks of one bit per weight: weight i is bit i mod 8 of byte i / 8, the lowest bit first, bits after the last weight
// are 0. One reading each, at the speed of memory; on several threads in blocks, the same bytes from any number.

/// Ones, and scores that are NaN (which are packed as 0).
struct Packed {
  std::int64_t ones = 0;
  std::int64_t n_nan = 0;
};

/// bits (ceil(n / 8)): mask[i] != 0
Packed pack_mask(const std::uint8_t* mask, std::int64_t n, std::uint8_t* bits);
/// bits: scores[i] > mu
Packed pack_scores(const float* scores, float mu, std::int64_t n, std::uint8_t* bits);
/// mask (stop - start): 0 or 1 for weights start .. stop - 1
void unpack_mask(const std::uint8_t* bits, std::int64_t start, std::int64_t stop, std::uint8_t* mask);
std::int64_t mask_popcount(const std::uint8_t* bits, std::int64_t n_bytes);
/// out (n_bytes) = a xor b; returns the ones
std::int64_t mask_xor(const std::uint8_t* a, const std::uint8_t* b, std::int64_t n_bytes, std::uint8_t* out);

/// sqrt(r) of the keep rate r = kept / n, at least 1 / n, in float64 and rounded once; 1 where n is 0.
float mask_divisor(std::int64_t kept, std::int64_t n);
/// out[i] = kept ? weights[i] / mask_divisor(kept, n) : +0, divided in float32. `out` is `weights` or apart from it.
void apply_mask(const float* weights, const std::uint8_t* bits, std::int64_t kept, std::int64_t n, float* out);
/// The same of float16, rounded to nearest even.
void apply_mask(const std::uint16_t* weights, const std::uint8_t* bits, std::int64_t kept, std::int64_t n,
                std::uint16_t* out);

}  // namespace oneglance
