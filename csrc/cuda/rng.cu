#include "rng.h"

#include "oneglance/philox.h"
#include "simt.h"

namespace oneglance::cuda {
namespace {

SIMT_KERNEL philox_uniforms_kernel(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw,
                                   const std::int64_t* items, std::int64_t n_items, double* out) {
  for (std::int64_t i = simt::first_of_thread(); i < n_items; i += simt::thread_step()) {
    out[i] = philox_uniform(seed, purpose, draw, static_cast<std::uint64_t>(items[i]));
  }
}

}  // namespace

void philox_uniforms(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, const std::int64_t* items,
                     std::int64_t n_items, double* out, std::uintptr_t stream) {
  simt::launch("philox_uniforms", philox_uniforms_kernel, simt::thread_per_item(n_items), stream, seed, purpose, draw,
               items, n_items, out);
}

}  // namespace oneglance::cuda
