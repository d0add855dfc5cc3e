#include "oneglance/rng.h"

#include "oneglance/philox.h"

namespace oneglance {

void philox_uniforms(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, const std::int64_t* items,
                     std::int64_t n_items, double* out) {
  for (std::int64_t i = 0; i < n_items; ++i) {
    out[i] = philox_uniform(seed, purpose, draw, static_cast<std::uint64_t>(items[i]));
  }
}

}  // namespace oneglance
