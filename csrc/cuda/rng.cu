#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "oneglance/philox.h"
#include "rng.h"

namespace oneglance::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 1 << 16;  // the rest is a grid-stride loop, so n_items may pass 2^31

__global__ void philox_uniforms_kernel(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw,
                                       const std::int64_t* items, std::int64_t n_items, double* out) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n_items; i += stride) {
    out[i] = philox_uniform(seed, purpose, draw, static_cast<std::uint64_t>(items[i]));
  }
}

}  // namespace

void philox_uniforms(std::uint64_t seed, std::uint32_t purpose, std::uint32_t draw, const std::int64_t* items,
                     std::int64_t n_items, double* out, std::uintptr_t stream) {
  if (n_items == 0) return;
  const auto blocks = static_cast<unsigned>(std::min((n_items + kThreads - 1) / kThreads, kMostBlocks));
  philox_uniforms_kernel<<<blocks, kThreads, 0, reinterpret_cast<cudaStream_t>(stream)>>>(seed, purpose, draw, items,
                                                                                          n_items, out);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA could not start philox_uniforms: ") + cudaGetErrorString(status));
  }
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace oneglance::cuda
