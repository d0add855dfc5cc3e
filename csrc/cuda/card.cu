#include "card.h"

#include "simt.h"

namespace oneglance::cuda {

#if defined(ONEGLANCE_CUDA_EMULATED)

int device_count() { return 1; }
// A second level cache so small that tests see several tiles.
Card card(int /*device*/) { return {"emulated", 90, 4, std::int64_t{1} << 30, std::int64_t{1} << 17}; }
int device_of(std::uintptr_t /*address*/) { return 0; }
void synchronize(std::uintptr_t /*stream*/) {}

#else

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Card card(int device) {
  cudaDeviceProp found{};
  simt::check(cudaGetDeviceProperties(&found, device), "asking for the card's properties");
  return {found.name, 10 * found.major + found.minor, found.multiProcessorCount,
          static_cast<std::int64_t>(found.totalGlobalMem), found.l2CacheSize};
}

int device_of(std::uintptr_t address) {
  cudaPointerAttributes found{};
  simt::check(cudaPointerGetAttributes(&found, reinterpret_cast<const void*>(address)),
              "asking which device an address is on");
  return found.device < 0 ? 0 : found.device;
}

void synchronize(std::uintptr_t stream) {
  simt::check(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(stream)), "work given earlier to this stream");
}

#endif

}  // namespace oneglance::cuda
