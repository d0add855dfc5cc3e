#pragma once
#include <cstdint>

namespace oneglance {

/// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).
/// out[i] in [0, 1), 53 bits, a pure function of (seed, purpose, items[i], draw): the same for any
/// order, chunk or thread. Key = seed; counter = (item low, item high, purpose, draw).
void philox_uniforms(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, const std::int64_t* items,
                     std::int64_t n_items, double* out);

}  // namespace oneglance
