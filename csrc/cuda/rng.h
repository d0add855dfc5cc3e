#pragma once
#include <cstdint>

namespace oneglance::cuda {

/// philox_uniforms on the device: the bits of the CPU version.
///   items, out  device pointers to n_items entries on the current device
///   stream      a cudaStream_t as an integer; the call returns before the work is done
/// Throws LaunchError with CUDA's own words when the launch fails.
void philox_uniforms(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, const std::int64_t* items,
                     std::int64_t n_items, double* out, std::uintptr_t stream);

}  // namespace oneglance::cuda
